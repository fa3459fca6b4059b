"""When two names mean one model: what a name says is taken apart and compared part by part.

The *words* of a name, in order (family, version, variant: everything that is not listed below),
and its *sizes* (8b, 8x7b, a22b, 1.8t) must be the same on both sides; so quantisation, context
length and any word that nobody here knows tell models apart. Only this may differ:

* case, separators, a version's ``v``: ``Qwen2.5 7B`` and ``qwen-2-5-7b``;
* the vendor: left out on one side, in another form (``deepseek``, ``deepseek-ai``), or said in
  front of the name (``Meta Llama``); never another vendor;
* ``hf``, on either side;
* ``instruct`` (gemma's ``it``) and ``chat``: the id may have one more, but one that is asked for
  must be there: a base model is another;
* a date or ``latest``: the id may have one more, but one that is asked for must be there.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from attrs import frozen

COSTS = {"spelling": 0.01, "format": 0.02, "vendor": 0.05, "tuning": 0.10, "revision": 0.15}
"""What each difference adds to the distance of two names that mean one model."""

_EDGE, _END = r"(?<![0-9a-z.])", r"(?![0-9a-z])"
_YEAR, _MONTH, _DAY = r"20[12]\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_REVISION = re.compile(
    _EDGE
    + r"(?:"
    + "|".join(
        [
            rf"{_YEAR}[-_./]?{_MONTH}[-_./]?{_DAY}",
            rf"{_YEAR}[-_.]{_MONTH}",
            rf"{_MONTH}[-_.]{_YEAR}",
            rf"{_MONTH}[-_]{_DAY}$",
            rf"2\d{_MONTH}{_DAY}",  # 250115
            rf"2[2-9]{_MONTH}",  # 2507
            rf"(?!1024){_MONTH}{_DAY}",  # 0905; 1024 is a size as likely
            r"latest",
        ]
    )
    + r")"
    + _END
)
_SIZE = re.compile(rf"{_EDGE}(?:\d+x|[ae])?\d+(?:\.\d+)?[bmt]{_END}")
_GAP = "~"  # where something was taken out
_PARTS = re.compile(rf"[^\W\d_]+(?=\d)|[^\W_]+|{_GAP}")  # "qwen3" is two words, "4o" is one
_POINT = re.compile(r"(?<![0-9a-z])v?(\d+)p(\d+)(?![0-9a-z])")  # llama-v3p1
_LOW = re.compile(r"(?<=\d)_(?=\d)")
_TUNED = frozenset({"instruct", "chat"})
_PLACES = frozenset({"models", "model", "library", "hub"})  # accounts/fireworks/models/...
_ENDINGS = ("ai", "org", "team", "labs")
_SAME_VENDOR = (
    frozenset({"meta", "metallama", "facebook"}),
    frozenset({"qwen", "alibaba", "alibabacloud"}),
    frozenset({"zai", "zaiorg", "thudm", "zhipu", "zhipuai"}),
)
_COMPANIES = frozenset(
    ["alibaba", "amazon", "anthropic", "google", "ibm", "meta", "microsoft", "nvidia", "openai"]
)


@frozen
class Name:
    """What a name says.

    Attributes:
        vendor: Who made or published it, in letters and digits alone; ``""`` if it is not said.
        words: Family, version, variant, in order.
        sizes: Numbers of parameters, in order of their text.
        revision: Digits of its date, ``"latest"``, or ``""``.
        tuning: The word that says that it takes instructions, or ``""``.
        is_hf: Whether it says that it is in Hugging Face's format.
    """

    vendor: str
    words: tuple[str, ...]
    sizes: tuple[str, ...]
    revision: str = ""
    tuning: str = ""
    is_hf: bool = False


@frozen
class Match:
    """How a name and an id that mean one model differ.

    Attributes:
        differences: Keys of ``COSTS``; empty if the texts are the same.
    """

    differences: tuple[str, ...]

    @property
    def distance(self) -> float:
        """The sum of what the differences cost."""
        return round(sum(COSTS[difference] for difference in self.differences), 6)

    @property
    def rank(self) -> tuple[bool, bool]:
        """What goes before what: spelling alone, then the vendor, then words that may differ."""
        return (
            not {"format", "tuning", "revision"}.isdisjoint(self.differences),
            "vendor" in self.differences,
        )


@lru_cache(maxsize=16384)
def read(text: str) -> Name:
    """Take a name apart.

    >>> read("Qwen/Qwen3-235B-A22B-Instruct-2507")
    Name(vendor='qwen', words=('qwen', '3'), sizes=('235b', 'a22b'), revision='2507', \
tuning='instruct', is_hf=False)
    """
    plain = unicodedata.normalize("NFKC", text).casefold().replace("+", " plus ").replace(_GAP, " ")
    *path, name = [segment for segment in plain.split("/") if segment.strip()] or [""]
    vendor = _letters(path[-1]) if path and path[-1] not in _PLACES else ""
    name = _POINT.sub(r"\1.\2", name)
    if "-" in name:  # where that separates words, the other is a point: stablelm-2-1_6b
        name = _LOW.sub(".", name)
    found = list(_REVISION.finditer(name))
    revision = ""
    if found and found[-1].start() > 0:  # what a name begins with is the name
        last = found[-1]
        revision = re.sub(r"[-_./]", "", last[0])
        name = f"{name[: last.start()]} {_GAP} {name[last.end() :]}"
    sizes = tuple(sorted(_SIZE.findall(name)))
    return _of_words(vendor, _words(_SIZE.sub(f" {_GAP} ", name)), sizes, revision)


def _of_words(vendor: str, words: list[str], sizes: tuple[str, ...], revision: str) -> Name:
    tuned = _TUNED | {"it"} if any("gemma" in word for word in words[:2]) else _TUNED
    taken = [word if n and word in (*tuned, "hf") else "" for n, word in enumerate(words)]
    kept = [_GAP if out else word for word, out in zip(words, taken, strict=True)]
    return Name(
        vendor=vendor,
        words=_closed(kept),
        sizes=sizes,
        revision=revision,
        tuning=" ".join("instruct" if word == "it" else word for word in taken if word in tuned),
        is_hf="hf" in taken,
    )


def _words(name: str) -> list[str]:
    """Return words and numbers; a ``v`` that is written onto a number is a gap."""
    found = list(_PARTS.finditer(name))
    begins = {part.start() for part in found}
    return [_GAP if part[0] == "v" and part.end() in begins else part[0] for part in found]


def _closed(words: list[str]) -> tuple[str, ...]:
    """Leave out gaps but between two numbers: ``x-2-7b-v5`` is not ``x-2.5-7b``."""
    kept: list[str] = []
    for n, word in enumerate(words):
        following = next((w for w in words[n:] if w != _GAP), "")
        is_kept = kept and kept[-1][0].isdigit() and following[:1].isdigit()
        if word != _GAP or is_kept:
            kept.append(word)
    return tuple(kept)


def compared(asked: str, candidate: str) -> Match | None:
    """Return how *asked* and an id differ if they mean one model, else None.

    Args:
        asked: What a caller wrote.
        candidate: An id of a catalogue.
    """
    if asked == candidate:
        return Match(())
    one, other = read(asked), read(candidate)
    if one.sizes != other.sizes or not (one.words or one.sizes):
        return None
    if one.revision and one.revision != other.revision:
        return None
    if one.tuning and one.tuning != other.tuning:
        return None
    has_vendor_word = _is_vendor_said(one, other)
    if has_vendor_word is None or not _may_be_of(one.vendor, other.vendor):
        return None
    differences = {
        "spelling": True,
        "format": one.is_hf != other.is_hf,
        "vendor": has_vendor_word or one.vendor != other.vendor,
        "tuning": one.tuning != other.tuning,
        "revision": one.revision != other.revision,
    }
    return Match(tuple(name for name, is_there in differences.items() if is_there))


def _is_vendor_said(one: Name, other: Name) -> bool | None:
    """Whether a vendor stands before one of the names; None if they do not mean one model."""
    if one.words == other.words:
        return False
    for count in (1, 2):  # "Meta Llama", "Mistral AI Mistral"
        said, rest = "".join(one.words[:count]), one.words[count:]
        if rest and rest == other.words and _is_vendor(said, other.vendor):
            return True
    said, rest = other.words[0] if other.words else "", other.words[1:]
    is_of_its_own = said in _COMPANIES and _may_be_of(said, other.vendor)
    if rest and rest == one.words and is_of_its_own and _may_be_of(one.vendor, said):
        return True
    return None


def _is_vendor(said: str, vendor: str) -> bool:
    return _may_be_of(said, vendor) if vendor else said in _COMPANIES


def _may_be_of(one: str, other: str) -> bool:
    """Whether two vendors are the same, as far as both are said."""
    if not one or not other or one == other or _stem(one) == _stem(other):
        return True
    return any(one in group and other in group for group in _SAME_VENDOR)


def _stem(vendor: str) -> str:
    ending = next((e for e in _ENDINGS if vendor.endswith(e)), "")
    stem = vendor.removesuffix(ending)
    return stem if len(stem) >= 5 else vendor  # openai is not "open"


def _letters(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum())

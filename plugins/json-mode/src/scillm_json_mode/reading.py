"""Finding the JSON that a model meant, in the text that it wrote.

From the certain to the doubtful: the text itself; what follows its reasoning; a fenced block;
an object or array within prose, the outermost; and only then a repair, which is told. What
lies inside a broken object is never taken for the answer, and NaN is never JSON.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any, Literal

from attrs import frozen

from scillm_json_mode.lenient import Lenient, Unreadable
from scillm_json_mode.reasoning import answer_in
from scillm_json_mode.scanning import DECODER, Constant, Within, decoded, spans, strictly

__all__ = ["NotJSON", "Reading", "read", "strictly", "written"]

CLEAN: Literal["clean"] = "clean"
EXTRACTED: Literal["extracted"] = "extracted"
REPAIRED: Literal["repaired"] = "repaired"

_FENCE = re.compile(r"```([^\n`]*)\n")
_FENCE_END = re.compile(r"\n[ \t]*```")
MOST_REPAIRED = 8
_BEGINS = ("{", "[", '"')


class NotJSON(ValueError):
    """A text in which no JSON object or array can be found."""


@frozen
class Reading:
    """What a text was read as.

    Attributes:
        value: The object or array.
        text: It as JSON text: the part of the original, if nothing had to be repaired.
        how: ``"clean"``, the text was JSON; ``"extracted"``, it was around it; ``"repaired"``.
        is_cut: Whether the text stopped before its last bracket was closed.
    """

    value: Any
    text: str
    how: Literal["clean", "extracted", "repaired"]
    is_cut: bool = False


def read(text: str) -> Reading:
    """Read the JSON object or array that *text* holds.

    Raises:
        NotJSON: It holds none, or one with NaN or an infinity, or one too deep to be read.
    """
    try:
        if (whole := _parsed(text)) is not None:
            return whole
        said = answer_in(text)
        found = _fenced(said) or _within(said) or _unescaped(said)
    except Constant as error:
        raise NotJSON(str(error)) from None
    except RecursionError:
        raise NotJSON("the JSON is nested too deeply to be read") from None
    if found is None:
        shown = text.strip()[:80]
        raise NotJSON(f"there is no JSON object or array in {shown!r}")
    return found


def _parsed(text: str) -> Reading | None:
    """Return the text as it is, if it is JSON; a JSON text within a JSON string counts too."""
    start = len(text) - len(text.lstrip(" \t\r\n"))
    found = decoded(text, start) if text[start : start + 1] in _BEGINS else None
    if found is None or text[found[1] :].strip(" \t\r\n"):
        return None
    value = found[0]
    if isinstance(value, str):
        with contextlib.suppress(NotJSON):
            inner = read(value)
            how = REPAIRED if inner.how == REPAIRED else EXTRACTED
            return Reading(inner.value, inner.text, how, is_cut=inner.is_cut)
        return None
    return Reading(value, text, CLEAN) if isinstance(value, (dict, list)) else None


def _fenced(text: str) -> Reading | None:
    """Return the last fenced block that is JSON, or nearly; one marked so before others."""
    blocks = list(_blocks(text))
    for is_marked in (True, False):
        for mark, block in reversed(blocks):
            if mark.startswith("json") is not is_marked:
                continue
            if found := _parsed(block):
                how = REPAIRED if found.how == REPAIRED else EXTRACTED
                return Reading(found.value, found.text, how, is_cut=found.is_cut)
            if is_marked and block[:1] in ("{", "[") and (found := _repaired(block)):
                return found
    return None


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield mark and content of each fenced block; the last one may lack its end."""
    place, within = 0, None
    while (opening := _FENCE.search(text, place)) is not None:
        start = opening.start()
        if text[text.rfind("\n", 0, start) + 1 : start].strip():  # not where a fence should begin
            within = within or Within(text)
            if within.whole(start) or within.broken(start):
                place = opening.end()
                continue
        end = _FENCE_END.search(text, opening.end() - 1)
        stop, place = (end.start(), end.end()) if end else (len(text), len(text))
        yield opening[1].strip().lower(), text[opening.end() : max(stop, opening.end())].strip()


def _within(text: str) -> Reading | None:
    """Return the object that stands in the text, else the array; a repaired one says so.

    An answer is longer than what is said about it, so the longest counts, broken or not; of two
    alike the one that needs no repair, or else the later one.
    """
    whole, broken = _candidates(text)
    longest = max((len(each.text) for each in whole if isinstance(each.value, dict)), default=0)
    ranked = [(_rank(each, len(each.text)), each) for each in whole]
    ranked += [
        (_rank(repaired, len(part)), repaired)
        for part in sorted(broken, key=len, reverse=True)[:MOST_REPAIRED]
        if len(part) > longest and (repaired := _repaired(part)) is not None
    ]
    best = max(enumerate(ranked), key=lambda each: (each[1][0], each[0]), default=None)
    return best[1][1] if best is not None else None


def _rank(reading: Reading, length: int) -> tuple[bool, int, bool]:
    return isinstance(reading.value, dict), length, reading.how != REPAIRED


def _candidates(text: str) -> tuple[list[Reading], list[str]]:
    """Return what can be read in the text, outermost only, and the parts that are broken."""
    whole: list[Reading] = []
    broken: list[str] = []
    for start, end, found in spans(text):
        if found is None:
            broken.append(text[start:end])
        else:
            whole.append(Reading(found[0], text[start:end], EXTRACTED))
    return whole, broken


def _repaired(part: str) -> Reading | None:
    reader = Lenient(part)
    try:
        value = reader.read()
    except Unreadable as error:
        if "not JSON" in str(error):
            raise Constant(str(error)) from None
        return None
    except ValueError:  # Python's bound on the digits of an integer
        return None
    if not value:
        return None
    return Reading(value, written(value), REPAIRED, is_cut=reader.is_cut)


def written(value: Any) -> str:
    """Return a value as JSON text that can be encoded, whatever its strings hold."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates
        return json.dumps(value, allow_nan=False)
    return text


def _unescaped(text: str) -> Reading | None:
    """Read JSON that was escaped as if for a string, without the quotes of one."""
    text = text.strip()
    if '\\"' not in text or text[:1] not in ("{", "["):
        return None
    try:
        inner = DECODER.decode(f'"{text}"')
    except ValueError:
        return None
    found = _parsed(inner)
    return found and Reading(found.value, found.text, REPAIRED)

"""What a name means among the ids of one host. Pure."""

from __future__ import annotations

import difflib
from functools import lru_cache

from attrs import frozen

from scillm_preflight.names import COSTS, Match, compared, read

MOST_NEAREST = 3
_FAR = sum(COSTS.values())
_WORDS = {
    "spelling": "spelling",
    "format": "hf",
    "vendor": "vendor",
    "tuning": "instruct or chat",
    "revision": "date",
}
assert _WORDS.keys() == COSTS.keys()


@frozen(kw_only=True)
class Resolution:
    """What a name means.

    Attributes:
        asked: The name.
        canonical: The id that it means, or None if there is none or more than one.
        distance: How far apart the two are: 0 for the same text, up to 0.33 for an id that
            differs in all that may differ. Without an id, from there to 1, by how unlike the
            nearest looks.
        reason: Why, in words.
        candidates: The ids among which nothing decides; empty unless there are several.
    """

    asked: str
    canonical: str | None = None
    distance: float
    reason: str
    candidates: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def resolve(asked: str, ids: frozenset[str], cutoff: float) -> Resolution:
    """Return what *asked* means, if exactly one id is left.

    An id that differs in spelling alone goes before one of which the vendor differs, and that
    before one with further words; within the first of these that has any, nothing is guessed.

    Args:
        asked: The name.
        ids: The ids of the host.
        cutoff: How alike a name and an id must be: 1 less their distance.
    """
    if asked in ids:
        return Resolution(asked=asked, canonical=asked, distance=0.0, reason="exact")
    found = [(match, one) for one in ids if (match := compared(asked, one)) is not None]
    alike = [(match, one) for match, one in found if 1 - match.distance >= cutoff]
    if not alike:
        return _unknown(asked, ids, [one for _, one in found], cutoff)
    first = min(match.rank for match, _ in alike)
    left = sorted((one, match) for match, one in alike if match.rank == first)
    if len(left) == 1:
        (one, match), *_ = left
        return Resolution(
            asked=asked, canonical=one, distance=match.distance, reason=_difference(match)
        )
    names = tuple(one for one, _ in left)
    return Resolution(
        asked=asked,
        distance=min(match.distance for _, match in left),
        reason=f"ambiguous: {', '.join(names)}",
        candidates=names,
    )


def nearest(asked: str, ids: frozenset[str], most: int = MOST_NEAREST) -> tuple[str, ...]:
    """Return the ids that look most like a name, the most alike first; for a person to read."""
    plain = {one: _shown(one) for one in sorted(ids)}
    wanted = _shown(asked)
    close = difflib.get_close_matches(wanted, plain.values(), most, cutoff=0.3)
    by_text: dict[str, list[str]] = {}
    for one, text in plain.items():
        by_text.setdefault(text, []).append(one)
    found = [one for text in dict.fromkeys(close) for one in by_text[text]]
    return tuple(found[:most])


def _unknown(asked: str, ids: frozenset[str], unlike: list[str], cutoff: float) -> Resolution:
    near = nearest(asked, ids)
    if unlike:
        reason = f"below the cutoff of {cutoff:g}: {', '.join(sorted(unlike))}"
    else:
        reason = f"unknown; nearest: {', '.join(near)}" if near else "unknown"
    ratio = difflib.SequenceMatcher(None, _shown(asked), _shown(near[0])).ratio() if near else 0.0
    return Resolution(asked=asked, distance=round(1 - (1 - _FAR) * ratio, 6), reason=reason)


def _difference(match: Match) -> str:
    return "but for " + ", ".join(_WORDS[difference] for difference in match.differences)


def _shown(text: str) -> str:
    """Return a name without its vendor, so that vendors do not decide what looks alike."""
    name = read(text)
    return " ".join([*name.words, *name.sizes, *name.tuning.split(), name.revision]).strip()

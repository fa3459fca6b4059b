"""Where JSON stands in a text, and where it would stand if it were not broken."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

_OPENING = re.compile(r"[{\[]")
# What an object or array may begin with, also one that is not quite JSON.
_LIKE_JSON = re.compile(
    r"""\{\s*(?:\}|["'“]|[A-Za-z_][\w-]*\s*:|//|/\*)"""
    r"""|\[\s*(?:\]|[{\["'“]|-?\d|NaN\b|-?Infinity\b|true\b|false\b|null\b|True\b|False\b|None\b)"""
)


class Constant(ValueError):
    """NaN or an infinity, which JSON does not have."""


def strictly(text: str) -> Any:
    """Parse JSON, and nothing but JSON.

    Raises:
        ValueError: It is not JSON, or nested too deeply; NaN and infinities are not.
    """
    try:
        return DECODER.decode(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply to be read") from None


def _refused(constant: str) -> Any:
    raise Constant(f"{constant} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    if value in (float("inf"), float("-inf")):
        raise Constant(f"{number[:40]} is larger than any number that can be kept")
    return value


DECODER = json.JSONDecoder(parse_constant=_refused, parse_float=_finite)


def decoded(text: str, start: int) -> tuple[Any, int] | None:
    """Return the value at *start* and where it ends, None if it is not JSON."""
    try:
        return DECODER.raw_decode(text, start)
    except Constant:
        raise
    except json.JSONDecodeError:
        return None
    except ValueError:  # Python's bound on the digits of an integer
        raise Constant("it holds an integer of more digits than can be kept") from None


def spans(text: str) -> Iterator[tuple[int, int, tuple[Any] | None]]:
    """Yield begin, end and value of each object or array, outermost only; None if it is broken."""
    place = 0
    while (opening := _OPENING.search(text, place)) is not None:
        start = opening.start()
        if not _LIKE_JSON.match(text, start):
            place = start + 1
            continue
        place = _end(text, start)
        # Cut out, since the decoder's error counts the lines before it: quadratic in a long text.
        found = decoded(text[start:place], 0)
        is_whole = found is not None and found[1] == place - start
        yield start, place, (found[0],) if found is not None and is_whole else None


def _end(text: str, start: int) -> int:
    """Return where the bracket at *start* is closed; the end of the text if it never is."""
    depth = 0
    for place, sign in _signs(text, start):
        depth += 1 if sign in "{[" else -1
        if depth == 0:
            return place + 1
    return len(text)


def _signs(text: str, start: int) -> Iterator[tuple[int, str]]:
    """Yield the brackets outside of strings."""
    is_string = is_escaped = False
    for place in range(start, len(text)):
        sign = text[place]
        if is_string:
            if is_escaped:
                is_escaped = False
            elif sign == "\\":
                is_escaped = True
            elif sign == '"':
                is_string = False
        elif sign == '"':
            is_string = True
        elif sign in "{}[]":
            yield place, sign


class Within:
    """Tells whether a place lies within an object or array."""

    def __init__(self, text: str) -> None:
        self._spans = [(start, end, found is not None) for start, end, found in spans(text)]
        self._starts = [start for start, _, _ in self._spans]

    def whole(self, place: int) -> bool:
        """Tell whether it is one that can be read."""
        return self._is_within(place, is_whole=True)

    def broken(self, place: int) -> bool:
        """Tell whether it is one that is broken."""
        return self._is_within(place, is_whole=False)

    def _is_within(self, place: int, *, is_whole: bool) -> bool:
        number = bisect_right(self._starts, place) - 1
        if number < 0:
            return False
        start, end, is_read = self._spans[number]
        return start <= place < end and is_read is is_whole

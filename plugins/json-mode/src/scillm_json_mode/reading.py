"""Finding the JSON that a model meant, in the text that it wrote.

From the certain to the doubtful: the text itself; what follows its reasoning; a fenced block;
an object or array within prose, the outermost; and only then a repair, which is told. What
lies inside a broken object is never taken for the answer, and NaN is never JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

from attrs import frozen

CLEAN: Literal["clean"] = "clean"
EXTRACTED: Literal["extracted"] = "extracted"
REPAIRED: Literal["repaired"] = "repaired"

_REASONING = re.compile(
    r"<(think|thinking|reasoning|reflection)\b[^>]*>.*?</\1\s*>", re.DOTALL | re.IGNORECASE
)
_REASONING_END = re.compile(
    r".*</(?:think|thinking|reasoning|reflection)\s*>", re.DOTALL | re.IGNORECASE
)
_FENCE = re.compile(r"```[ \t]*([\w+-]*)[^\n`]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_OPENING = re.compile(r"[{\[]")
# What an object or array may begin with, also one that is not quite JSON.
_LIKE_JSON = re.compile(
    r"""\{\s*(?:\}|["'“]|[A-Za-z_][\w-]*\s*:|//|/\*)"""
    r"""|\[\s*(?:\]|[{\["'“]|-?\d|true\b|false\b|null\b|True\b|False\b|None\b)"""
)


class NotJSON(ValueError):
    """A text in which no JSON object or array can be found."""


class _Constant(ValueError):
    """NaN or an infinity, which JSON does not have."""


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
        said = _answer(text)
        found = _fenced(said) or _within(said)
    except _Constant as error:
        raise NotJSON(str(error)) from None
    except RecursionError:
        raise NotJSON("the JSON is nested too deeply to be read") from None
    if found is None:
        shown = text.strip()[:80]
        raise NotJSON(f"there is no JSON object or array in {shown!r}")
    return found


def strictly(text: str) -> Any:
    """Parse JSON, and nothing but JSON.

    Raises:
        ValueError: It is not JSON; NaN and infinities are not.
    """
    return _DECODER.decode(text)


def _refused(constant: str) -> Any:
    raise _Constant(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refused)


def _parsed(text: str) -> Reading | None:
    """Return the text as it is, if it is JSON; a JSON text within a JSON string counts too."""
    try:
        value = _DECODER.decode(text)
    except _Constant:
        raise
    except ValueError:
        return None
    if isinstance(value, str):
        inner = _parsed(value)
        return inner and Reading(inner.value, inner.text, EXTRACTED)
    return Reading(value, text, CLEAN) if isinstance(value, (dict, list)) else None


def _answer(text: str) -> str:
    """Return what follows the reasoning."""
    without = _REASONING.sub("", text)
    end = _REASONING_END.match(without)
    return without[end.end() :] if end else without


def _fenced(text: str) -> Reading | None:
    """Return the last fenced block that is JSON, one marked so before others."""
    blocks = [(match[1].lower(), match[2].strip()) for match in _FENCE.finditer(text)]
    for is_marked in (True, False):
        for mark, block in reversed(blocks):
            if mark.startswith("json") is is_marked and (found := _parsed(block)):
                return Reading(found.value, found.text, EXTRACTED)
    return None


def _within(text: str) -> Reading | None:
    """Return the object that stands in the text, else the array, else a repaired one."""
    whole, broken = _candidates(text)
    objects = [reading for reading in whole if isinstance(reading.value, dict)]
    # An answer is longer than what is said about it; of two alike the later one counts.
    best = max(
        enumerate(objects or whole), key=lambda each: (len(each[1].text), each[0]), default=None
    )
    if best is not None and (isinstance(best[1].value, dict) or not broken):
        return best[1]
    repaired = [found for part in broken if (found := _repaired(part)) is not None]
    if repaired:
        return max(repaired, key=lambda reading: len(reading.text))
    return best[1] if best is not None else None


def _candidates(text: str) -> tuple[list[Reading], list[str]]:
    """Return what can be read in the text, outermost only, and the parts that are broken."""
    whole: list[Reading] = []
    broken: list[str] = []
    place = 0
    while (opening := _OPENING.search(text, place)) is not None:
        start = opening.start()
        try:
            value, place = _DECODER.raw_decode(text, start)
        except _Constant:
            raise
        except ValueError:
            if _LIKE_JSON.match(text, start):
                place = _end(text, start)
                broken.append(text[start:place])
            else:
                place = start + 1
        else:
            whole.append(Reading(value, text[start:place], EXTRACTED))
    return whole, broken


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


def _repaired(part: str) -> Reading | None:
    from json_repair import repair_json  # slow to import, and seldom needed

    if re.search(r"[:\[,]\s*-?(?:NaN|Infinity)\b", part):
        raise _Constant("NaN and infinities are not JSON")
    value: Any = repair_json(part, return_objects=True)
    if not isinstance(value, (dict, list)) or not value:
        return None
    if isinstance(value, dict) != (part[0] == "{"):
        return None
    depth = sum(1 if sign in "{[" else -1 for _, sign in _signs(part, 0))
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return Reading(value, text, REPAIRED, is_cut=depth > 0)

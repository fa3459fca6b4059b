"""What was seen, beside what is right."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .plan import FAULTS, PARALLEL, Right

RIGHT, HALF, WRONG, NOT_OFFERED = "right", "half", "wrong", "not offered"
SHOWN_CHARS = 110
CAME = {"nothing": "no piece at all", "mixed": "pieces that are not the beginning of the text"}
VERDICTS = (RIGHT, HALF, WRONG, NOT_OFFERED)


@dataclass(frozen=True)
class Verdict:
    """What a cell is worth.

    Args:
        word: one of `VERDICTS`.
        reason: what is not right, "" if all is.
    """

    word: str
    reason: str = ""


def judge(name: str, door: str, seen: dict[str, Any]) -> Verdict:
    """Compare what was seen in a cell with what is right.

    Args:
        name: of the fault.
        door: through which it was met.
        seen: `slots`, and where they are known `elapsed_s` and `requests`.
    """
    fault = FAULTS[name]
    if seen["slots"][0]["end"] == NOT_OFFERED:
        return Verdict(NOT_OFFERED)
    reason = _wrong(fault.right_through(door), door, seen)
    if not reason:
        return Verdict(RIGHT)
    has_half = fault.half is not None and door not in fault.by_door
    if has_half and not _wrong(fault.half, door, seen):
        return Verdict(HALF, reason)
    return Verdict(WRONG, reason)


def _wrong(right: Right, door: str, seen: dict[str, Any]) -> str:
    """The first thing that is not right, "" if all is."""
    calls = max(len(seen["slots"]), PARALLEL if door == "parallel" else 1)
    requests, elapsed_s = seen.get("requests", 0), seen.get("elapsed_s", 0.0)
    if requests > right.requests * calls:
        return f"{_times(requests)} sent where {right.requests * calls} may be{_ending(seen)}"
    for slot in seen["slots"]:
        reason = _wrong_slot(right, slot, seen)
        if reason:
            return reason
    if elapsed_s < right.not_before_s:
        return f"over after {elapsed_s:.1f} s, though asked to wait {right.not_before_s:.0f} s"
    return ""


def _times(requests: int) -> str:
    return f"{requests} requests" if requests != 1 else "1 request"


def _ending(seen: dict[str, Any]) -> str:
    """What came of a call, as an appendix."""
    slot = seen["slots"][0]
    return f", then {_words(slot, seen)}"


def _wrong_slot(right: Right, slot: dict[str, Any], seen: dict[str, Any]) -> str:
    """What is not right with one call."""
    if slot["end"] not in right.ends:
        return _words(slot, seen)
    if slot["end"] != "raised":
        return ""
    if slot["shows_key"]:
        return f"the key is in the text of {_words(slot, seen)}"
    if not set(right.errors) & set(slot["names"]):
        return _words(slot, seen)
    if right.status and slot["status"] != right.status:
        return f"{_words(slot, seen)}, whose status is {slot['status'] or 'not told'}"
    if right.has_begun and slot["came"] != "begun":
        return f"{_words(slot, seen)}, after {CAME[slot['came']]}"
    if right.tells_s and not any(_tells(told, right.tells_s) for told in slot["tells"]):
        return f"{_words(slot, seen)}, which does not say how long to wait"
    return ""


def _tells(text: str, seconds: int) -> bool:
    """Whether the number stands in a text by itself, not within an address."""
    return re.search(rf"(?<![\w.-]){seconds}(\.0*)?(?![\w-])", text) is not None


def _words(slot: dict[str, Any], seen: dict[str, Any]) -> str:
    """How a call ended."""
    if slot["end"] == "answered":
        return "an answer"
    if slot["end"] == "waiting":
        return f"nothing within {seen['watch_s']:g} s"
    if slot["end"] != "raised":
        return str(slot["words"])
    text = " ".join(slot["text"].split())
    shown = text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."
    return f"{slot['module']}'s {slot['names'][0]}: {shown}".removeprefix("builtins's ")

"""What a model says before its answer: told apart by tags, unless they stand within JSON."""

from __future__ import annotations

import re
from bisect import bisect_right

from scillm_json_mode.scanning import spans

_TAG = re.compile(
    r"<(/?)(think|thinking|thought|reasoning|reflection)\b[^<>]{0,200}>"
    r"|\[(/?)(THINK)\]|<\|channel\|>(?P<channel>\w+)<\|message\|>",
    re.IGNORECASE,
)


def answer_in(text: str) -> str:
    """Return what is no reasoning: nothing, if that never ends; all, if there are no tags."""
    tags = list(_TAG.finditer(text))
    if not tags:
        return text
    within = _Within(text)
    parts: list[str] = []
    begun, opened = 0, ""
    for tag in tags:
        name = tag[2] or tag[4] or "channel"
        is_closing = bool(tag[1] or tag[3]) if name != "channel" else tag["channel"] == "final"
        if within.whole(tag.start()) or (not is_closing and within.broken(tag.start())):
            continue
        if is_closing:
            if opened in ("", name.lower()):
                parts = parts if opened else []
                begun, opened = tag.end(), ""
        elif not opened:
            parts.append(text[begun : tag.start()])
            opened = name.lower()
    return "".join(parts if opened else [*parts, text[begun:]])


class _Within:
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

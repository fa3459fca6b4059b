"""How large a model is, as far as its name tells."""

from __future__ import annotations

import math
import re

from attrs import frozen

_UNIT = {"M": 0.001, "B": 1.0, "T": 1000.0}
# Neither `A22B` (parameters at work) nor `4bit` nor the `8B` of `x8B1` is a size.
_TOTAL = re.compile(
    r"(?<![A-Za-z0-9.])(?:(\d{1,3})x)?(\d{1,5}(?:\.\d{1,3})?)([MBT])(?![A-Za-z0-9])", re.IGNORECASE
)
_ACTIVE = re.compile(r"(?<![A-Za-z0-9.])A(\d{1,4}(?:\.\d{1,3})?)B(?![A-Za-z0-9])", re.IGNORECASE)
_EXPERTS = re.compile(r"^-\d{1,4}E(?![A-Za-z0-9])", re.IGNORECASE)


@frozen
class Size:
    """Parameters of a model, in billions.

    Attributes:
        total_b: All of them.
        active_b: Those at work for one token, where the name tells that they are fewer.
    """

    total_b: float
    active_b: float | None = None

    def octaves_from(self, other: Size) -> float:
        """Return how often one must be doubled to be as large as the other; 0 for equals."""
        return abs(math.log2(self.total_b / other.total_b))

    def __str__(self) -> str:
        total = f"{self.total_b / 1000:g}T" if self.total_b >= 1000 else f"{self.total_b:g}B"
        return total if self.active_b is None else f"{total}, {self.active_b:g}B active"


def size_of(model: str) -> Size | None:
    """Return the size that a model's name tells, None if it tells none.

    ``8x7B`` counts as 56 billion. ``17B-16E`` tells the active parameters alone, and so no size.

    >>> size_of("Qwen/Qwen3-235B-A22B"), size_of("moonshotai/Kimi-K2-Instruct")
    (Size(total_b=235.0, active_b=22.0), None)
    """
    name = model.rpartition("/")[2]
    found = [
        float(each[1] or 1) * float(each[2]) * _UNIT[each[3].upper()]
        for each in _TOTAL.finditer(name)
        if not _EXPERTS.match(name[each.end() :])
    ]
    totals = [total_b for total_b in found if total_b > 0]
    if not totals:
        return None
    active = _ACTIVE.search(name)
    return Size(max(totals), float(active[1]) if active else None)

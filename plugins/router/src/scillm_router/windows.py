"""How much there was in the last minute: requests or tokens, against a limit."""

from __future__ import annotations

from collections import deque

from attrs import define

MINUTE_S = 60.0


@define(eq=False)
class Entry:
    """One amount, and when it was taken.

    Attributes:
        at_s: When.
        amount: How much.
        is_counted: Whether it is of the last minute still.
    """

    at_s: float
    amount: float
    is_counted: bool = True


class Window:
    """A sliding minute; not safe for threads, who uses it locks.

    Args:
        limit: The most that it may hold before it is full.
    """

    def __init__(self, limit: float) -> None:
        self._limit, self._total = limit, 0.0
        self._entries: deque[Entry] = deque()

    def add(self, now_s: float, amount: float) -> Entry:
        """Count an amount; it may be corrected later."""
        self._forget(now_s)
        entry = Entry(now_s, amount)
        self._entries.append(entry)
        self._total += amount
        return entry

    def correct(self, entry: Entry, amount: float) -> None:
        """Say how much it was in truth; what is older than a minute no longer matters."""
        if entry.is_counted:
            self._total += amount - entry.amount
        entry.amount = amount

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until there is room; 0 if there is now."""
        self._forget(now_s)
        total = self._total
        if total < self._limit:
            return 0.0
        for entry in self._entries:
            total -= entry.amount
            if total < self._limit:
                return entry.at_s + MINUTE_S - now_s
        return 0.0

    def _forget(self, now_s: float) -> None:
        while self._entries and self._entries[0].at_s <= now_s - MINUTE_S:
            entry = self._entries.popleft()
            entry.is_counted = False
            self._total -= entry.amount
        if not self._entries:
            self._total = 0.0  # what floats have left of sums

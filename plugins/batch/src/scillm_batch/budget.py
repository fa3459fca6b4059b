"""What a run may spend; at the end of it, it stops cleanly and can be resumed."""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import frozen

from scillm_batch.rows import Row, who


@frozen(kw_only=True)
class Limits:
    """What a run may spend; None is no limit.

    Attributes:
        max_requests: Requests, each attempt counted.
        max_tokens: Tokens of prompts and answers, as providers count them.
        max_cost: USD, where the cost of answers is known.
        max_wall_time_s: Seconds.
    """

    max_requests: int | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    max_wall_time_s: float | None = None


class Budget:
    """What a run has spent of its limits.

    What is under way is counted as the average of what came before, so that a limit is
    passed by little if at all.

    Args:
        limits: What it may spend.
        clock: Tells seconds that never go back.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._begun_s = clock()
        self.requests = self.tokens = self.under_way = self._rows = 0
        self.cost: float | None = None
        self.unpriced = ""

    def begun(self, items: int = 1) -> None:
        """Take note of items that are handed out."""
        self.under_way += items

    def ended(self, row: Row) -> None:
        """Take note of a row."""
        self.under_way -= 1
        self._rows += 1
        self.requests += row.attempts
        self.tokens += int((row.usage or {}).get("total_tokens") or 0)
        if row.cost is None and row.response is not None:
            self.unpriced = who(row.served_by) or "an answer"
        if row.cost is not None:
            self.cost = (self.cost or 0.0) + row.cost

    def exhausted(self) -> str:
        """Return why nothing more may begin, ``""`` if something may."""
        limits = self._limits
        if limits.max_cost is not None and self.unpriced:
            return (
                f"nobody knows what {self.unpriced} costs, so max_cost cannot be kept: give its "
                "price by SCILLM_PRICES or prices={...}"
            )
        spent_s = self._clock() - self._begun_s
        pairs = (
            ("max_requests", limits.max_requests, self.requests + self.under_way),
            ("max_tokens", limits.max_tokens, self._expected(self.tokens)),
            ("max_cost", limits.max_cost, self._expected(self.cost or 0.0)),
            ("max_wall_time_s", limits.max_wall_time_s, spent_s),
        )
        return next(
            (
                f"{n} is reached"
                for n, limit, spent in pairs
                if limit is not None and spent >= limit
            ),
            "",
        )

    def permitted(self, most: int) -> int:
        """Return how many items of so many may begin, if no limit is reached yet."""
        if self._limits.max_requests is None:
            return most
        return min(most, self._limits.max_requests - self.requests - self.under_way)

    def _expected(self, spent: float) -> float:
        return spent + (spent / self._rows * self.under_way if self._rows else 0)

"""What may leave for one address; the library for it is loaded where there is a limit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from pyrate_limiter import Rate

# A quarter of a second more than a minute: a host counts calls when they arrive, and the first of a
# window may have been longer on its way than the one that begins the next.
MINUTE_MS = 60_250


@frozen
class Limits:
    """What is asked of the environment; None where nothing is.

    Attributes:
        per_second: Calls a second, evenly spaced.
        per_minute: Calls in any minute.
        tokens_per_minute: Tokens in any minute.
        at_a_time: Calls under way.
        cooldown_s: Seconds without a call after a 429.
    """

    per_second: float | None = None
    per_minute: float | None = None
    tokens_per_minute: float | None = None
    at_a_time: int | None = None
    cooldown_s: float | None = None

    def rates(self) -> list[Rate]:
        """Return the limits on calls, as so many in so many milliseconds, the shortest first.

        A turn is taken of all of them together, so a limit that the other implies is left out:
        the bucket wants each to add something.
        """
        from pyrate_limiter import Rate  # only who paces pays for it

        minute = Rate(max(1, int(self.per_minute)), MINUTE_MS) if self.per_minute else None
        second = _even(self.per_second) if self.per_second else None
        if minute is None or second is None:
            return [rate for rate in (minute, second) if rate is not None]
        short, long = sorted((second, minute), key=lambda rate: rate.interval)
        if short.interval == long.interval:
            return [min(short, long, key=lambda rate: rate.limit)]
        if long.limit <= short.limit:
            return [long]
        if long.limit * short.interval > short.limit * long.interval:
            return [short]
        return [short, long]


def _even(per_second: float) -> Rate:
    """Return a rate that spaces calls evenly, as far as milliseconds can tell."""
    from pyrate_limiter import Rate  # the same

    if per_second <= 100:
        return Rate(1, math.ceil(1000 / per_second))
    return Rate(math.floor(per_second / 10), 100)

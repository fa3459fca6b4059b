"""What a user allows: how many attempts, how long the waits, how much time in all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

from scillm_retry import settings as knob
from scillm_retry.settings import in_force, is_given

if TYPE_CHECKING:
    from scillm import Call, Timeouts

BUDGET_S = 600.0

Draw = Callable[[float, float], float]
"""Returns a number between two others, each as likely as the next."""


@frozen(kw_only=True)
class Policy:
    """The limits of one call.

    Attributes:
        attempts: How many may be made, the first included; None is no limit.
        first_s: The longest that the first wait takes.
        growth: By how much each wait may be longer than the one before.
        longest_s: The longest that any wait of our own choice takes.
        chance: The share of a wait that is drawn, from 0 to 1.
        honors_retry_after: Whether a wait that the provider asks for is the shortest one.
        is_noted: Whether the answer is to say what it took.
    """

    attempts: int | None
    first_s: float
    growth: float
    longest_s: float
    chance: float
    honors_retry_after: bool
    is_noted: bool = False

    @classmethod
    def of(cls, call: Call) -> Policy:
        """Read the limits of *call*.

        Raises:
            BadRequestError: An argument that is out of its range.
            ValueError: A variable that is.
        """
        is_tenacious = in_force(knob.TENACIOUS, call)
        growth = in_force(knob.BACKOFF_BASE, call) if is_tenacious else 2.0
        longest = knob.BACKOFF_CAP_S if is_tenacious else knob.MAX_S
        return cls(
            attempts=_attempts(call, is_tenacious=is_tenacious),
            first_s=growth if is_tenacious else _first_s(call),
            growth=growth,
            longest_s=in_force(longest, call),
            chance=in_force(knob.JITTER_PCT, call),
            honors_retry_after=in_force(knob.HONOR_RETRY_AFTER, call),
            is_noted=in_force(knob.META, call),
        )

    def backoff_s(self, failures: int, draw: Draw) -> float:
        """Return how long to wait after so many failures: "full jitter".

        Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

        Args:
            failures: How many attempts have failed, 1 or more.
            draw: Where chance comes from.
        """
        try:
            grown_s = self.first_s * self.growth ** (failures - 1)
        except OverflowError:
            grown_s = self.longest_s
        most_s = min(self.longest_s, grown_s)
        return draw(most_s * (1 - self.chance), most_s)


def budget_s(call: Call, timeouts: Timeouts) -> float:
    """Return the seconds that all attempts and waits of *call* may take; may be infinite.

    Where nobody says, a single attempt may still take as long as its own deadlines allow.
    """
    if in_force(knob.TENACIOUS, call):
        return in_force(knob.MAX_WALL_TIME_S, call)
    given_s = in_force(knob.TIME_BUDGET_S, call)
    if given_s is not None:
        return given_s
    deadlines = (timeouts.total_s, timeouts.read_s)
    return max(BUDGET_S, *(float("inf") if d is None else d for d in deadlines))


def _attempts(call: Call, *, is_tenacious: bool) -> int | None:
    if not in_force(knob.ENABLED, call):
        return 1
    if is_tenacious:
        return None
    if is_given(call, knob.NUM_RETRIES):
        return 1 + (in_force(knob.NUM_RETRIES, call) or 0)
    if is_given(call, knob.MAX_RETRIES):
        return 1 + in_force(knob.MAX_RETRIES, call)
    attempts, by_other_name = knob.MAX_ATTEMPTS.value(), knob.NUM_RETRIES.value()
    if attempts is not None:
        return attempts
    return 1 + (knob.MAX_RETRIES.value() if by_other_name is None else by_other_name)


def _first_s(call: Call) -> float:
    if is_given(call, knob.RETRY_AFTER):
        return in_force(knob.RETRY_AFTER, call)
    first_s = knob.BASE_S.value()
    return knob.RETRY_AFTER.value() if first_s is None else first_s

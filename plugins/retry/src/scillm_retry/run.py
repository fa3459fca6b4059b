"""One call being made: its attempts, the waits between them, and when to give up."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from scillm import APIError, Failure, FailureKind, Timeout
from scillm_retry import settings as knob
from scillm_retry.limit import Limit
from scillm_retry.pace import Pace
from scillm_retry.policy import Draw, Policy, budget_s
from scillm_retry.telling import LOG, Callbacks, print_line, tell

if TYPE_CHECKING:
    from scillm import Call, Event, Request


class Run:
    """What is known of a call that is being made.

    Args:
        call: What was asked.
        request: What goes out with each attempt.
        draw: Where the chance in the waits comes from.
        policy: The limits, if they have been read; else the first failure reads them.
        callbacks: Whom to tell.
    """

    # Until a call has failed these stay the class's own: a call that does not pays for none.
    _budget_s: float | None = None
    _attempts, _slept_s = 1, 0.0
    _last_retry_after_s: float | None = None
    _has_answer = False
    _pace: Pace | None = None
    _last_said = ""
    _why: str | None = None  # why the call was given up, if that was ours to decide

    def __init__(
        self,
        call: Call,
        request: Request,
        *,
        draw: Draw,
        policy: Policy | None,
        callbacks: Callbacks | None,
    ) -> None:
        self._call, self._request, self._draw = call, request, draw
        self._policy, self.callbacks = policy, callbacks
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        if policy is not None:
            self._budget_s = budget_s(call, request.timeouts)
        self._begun_s = self._attempt_begun_s = self._clock()

    async def first(self, events: AsyncGenerator[Event, None]) -> Event | None:
        """Return the first event of an attempt, None if it has none.

        Raises:
            Timeout: The time of all attempts together is over.
        """
        if self._attempts > 1:
            self._attempt_begun_s = self._clock()
        event = None
        with Limit(self._deadline_s, self._loop, is_patient=self._policy is None) as limit:
            event = await anext(events, None)
        if limit.has_cut:
            raise limit.problem or self._cut()
        self._has_answer = True
        if event is not None and self._attempts > 1 and self._policy and self._policy.is_noted:
            return event.with_notes("router", {"retries": self._retries()})
        return event

    async def rested(self, error: APIError) -> bool:
        """Wait until the call may be made once more; False if it may not, and *error* stands."""
        wait_s = self._wait_s(error.failure)
        if wait_s is None or not await self._waited(wait_s, error):
            await self._tell_lost(error)
            return False
        self._attempts += 1
        return True

    def last_word(self, error: APIError) -> APIError:
        """Return the error to raise: *error*, saying what was tried if anything was."""
        if self._has_answer or (self._attempts == 1 and self._why is None):
            return error
        told = copy.copy(error)
        told.message = f"{error.message} ({self._summary()})"
        told.args = (told.message,)
        vars(told)["retries"] = self._retries()
        return told.with_traceback(error.__traceback__)

    async def won(self) -> None:
        """Tell that the answer is complete."""
        if self.callbacks is None:
            return
        payload = {
            "latency_ms": self._elapsed_s() * 1000,
            "attempts": self._attempts,
            "retries": self._attempts - 1,
            "cumulative_sleep_s": self._slept_s,
        }
        await tell(self.callbacks.on_success, payload)

    def _deadline_s(self) -> float:
        if self._budget_s is None:
            self._budget_s = budget_s(self._call, self._request.timeouts)
        return self._begun_s + self._budget_s

    def _left_s(self) -> float:
        return self._deadline_s() - self._clock()

    def _elapsed_s(self) -> float:
        return self._clock() - self._begun_s

    def _cut(self) -> Timeout:
        route = self._request.route
        where = f"{route.provider}/{route.model}" if route.model else route.provider
        before = f"; before that: {self._last_said[:300]}" if self._last_said else ""
        said = f"no answer within the {self._budget_s:g} s that all attempts may take{before}"
        failure = Failure(kind=FailureKind.TIMEOUT, detail=said)
        return Timeout(
            f"{where}: {said}", llm_provider=route.provider, model=route.model, failure=failure
        )

    def _wait_s(self, failure: Failure) -> float | None:
        """Return the wait before the next attempt, None if there is to be none."""
        if self._has_answer or not failure.is_transient:
            return None
        if self._policy is None:
            self._policy = Policy.of(self._call)
        policy, left_s = self._policy, self._left_s()
        if failure.retry_after_s is not None:
            self._last_retry_after_s = failure.retry_after_s
        if policy.attempts is not None and self._attempts >= policy.attempts:
            self._why = "" if policy.attempts > 1 else None
            return None
        asked_s = failure.retry_after_s if policy.honors_retry_after else None
        wait_s = max(asked_s or 0.0, policy.backoff_s(self._attempts, self._draw))
        if wait_s < left_s:
            return wait_s
        self._why = self._too_long(wait_s, is_asked=wait_s == asked_s)
        return None

    async def _waited(self, wait_s: float, error: APIError) -> bool:
        until_s = self._clock() + wait_s
        await self._tell_attempt(wait_s, error)
        self._last_said = error.message
        begun_s = self._clock()
        self._pace = self._pace or Pace(self._clock)
        is_over = not await self._pace.wait(until_s, error)
        self._slept_s += self._clock() - begun_s
        if not is_over and self._left_s() <= 0:  # a function of the caller took its time
            self._why, is_over = self._too_long(0.0), True
        return not is_over

    async def _tell_attempt(self, wait_s: float, error: APIError) -> None:
        failure, model = error.failure, self._model()
        LOG.info("%s: attempt %d failed, next in %.3f s: %s", model, self._attempts, wait_s, error)
        if knob.LOG_JSON.value() and (self._attempts - 1) % knob.LOG_EVERY.value() == 0:
            fields = {"model": model, "attempt": self._attempts, "sleep_s": round(wait_s, 3)}
            fields |= {"elapsed_s": round(self._elapsed_s(), 3)}
            print_line("retry", failure, {**fields, "retry_after_s": failure.retry_after_s})
        if self.callbacks is not None:
            await tell(self.callbacks.on_attempt, self._of_attempt(wait_s, failure))

    def _of_attempt(self, wait_s: float, failure: Failure) -> Mapping[str, Any]:
        most = self._policy.attempts if self._policy else None
        return {
            "event": "attempt",
            "model": self._model(),
            "attempt_no": self._attempts,
            "next_sleep_s": wait_s,
            "reason": str(failure.kind),
            "retry_after": failure.retry_after_s,
            "remaining_time_s": self._left_s(),
            "remaining_attempts": None if most is None else most - self._attempts,
            "cumulative_sleep_s": self._slept_s,
            "attempt_start_monotonic": self._attempt_begun_s,
        }

    async def _tell_lost(self, error: APIError) -> None:
        elapsed_s = self._elapsed_s()
        if self._why is not None and knob.LOG_JSON.value():
            fields = {"model": self._model(), "attempts": self._attempts}
            fields |= {"elapsed_s": round(elapsed_s, 3), "error": error.message}
            print_line("giveup", error.failure, fields)
        if self.callbacks is not None:
            payload = {"attempts": self._attempts, "elapsed_s": elapsed_s, "last_error": error}
            await tell(self.callbacks.on_giveup, payload)

    def _retries(self) -> dict[str, Any]:
        return {
            "attempts": self._attempts,
            "total_sleep_s": round(self._slept_s, 3),
            "last_retry_after_s": self._last_retry_after_s,
        }

    def _summary(self) -> str:
        plural = "" if self._attempts == 1 else "s"
        why = f": {self._why}" if self._why else ""
        return f"gave up after {self._attempts} attempt{plural} in {self._elapsed_s():.1f} s{why}"

    def _too_long(self, wait_s: float, *, is_asked: bool = False) -> str:
        is_tenacious = self._policy is not None and self._policy.attempts is None
        more = "max_wall_time_s" if is_tenacious else "retry_time_budget_s or tenacious=True"
        if self._left_s() <= 0:
            return f"the time of this call is over; {more} allows more"
        left = f"{self._left_s():.1f} s are left of the {self._budget_s:g} s of this call"
        wait = "the provider asks for a wait of" if is_asked else "the next wait would be"
        return f"{wait} {wait_s:.1f} s, and {left}; {more} allows more"

    def _model(self) -> str:
        route = self._request.route
        return self._call.model or f"{route.provider}/{route.model}"

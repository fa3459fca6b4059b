"""The hooks: what an error means, and a Sender that tries again."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from typing import TYPE_CHECKING

from scillm import APIError, hookimpl
from scillm_retry.capacity import corrected
from scillm_retry.policy import Draw, Policy
from scillm_retry.run import Run
from scillm_retry.settings import OPTIONS, SETTINGS, TIMED, check
from scillm_retry.telling import Callbacks

if TYPE_CHECKING:
    from scillm import Call, Event, Failure, Request, Sender


class Retry:
    """Makes a call again that failed for a reason that may pass.

    Args:
        draw: Returns a number between two others; where the chance in the waits comes from.
    """

    ORDER = 300
    SETTINGS = SETTINGS

    def __init__(self, draw: Draw = random.uniform) -> None:
        self._draw = draw

    @hookimpl(wrapper=True)
    def classify_error(self, error: Exception) -> Generator[None, Failure, Failure]:
        """Correct what was said below of an error that speaks of capacity, or of a bare one."""
        failure = yield
        return corrected(failure, error)

    @hookimpl(wrapper=True)
    def send(self, call: Call) -> Generator[None, Sender | None, Sender | None]:
        """Wrap the Sender below; a wrong argument is told before anything is sent."""
        inner = yield
        if inner is None:
            return None
        policy, callbacks = None, None
        if call.options and not OPTIONS.isdisjoint(call.options):
            callbacks = Callbacks.of(call)
            if TIMED.isdisjoint(call.options):
                check(call)
            else:
                policy = Policy.of(call)
        return self._persistent(call, inner, policy, callbacks)

    def _persistent(
        self, call: Call, inner: Sender, policy: Policy | None, callbacks: Callbacks | None
    ) -> Sender:
        async def send(request: Request) -> AsyncGenerator[Event, None]:
            run = Run(call, request, draw=self._draw, policy=policy, callbacks=callbacks)
            while True:
                try:
                    async with aclosing(inner(request)) as events:
                        if (first := await run.first(events)) is not None:
                            yield first
                        async for event in events:
                            yield event
                    break
                except APIError as error:
                    if not await run.rested(error):
                        raise run.last_word(error) from error.__cause__
            await run.won()

        return send

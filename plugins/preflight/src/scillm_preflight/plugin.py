"""The plugin: looks at the model's id of each request before anything is sent.

It wraps ``send`` beneath a Router, so that every deployment's own id is looked at, and around all
that costs anything: keys, pacing, the wire. Off, it is not there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from scillm import Request, Setting, hookimpl
from scillm_preflight.settings import ALIAS, GUARD, SETTINGS

if TYPE_CHECKING:
    from scillm import Call, Event, Sender
    from scillm.answers import Answer
    from scillm_preflight.checking import Checks
    from scillm_preflight.choosing import Ask

NOTES = "preflight"


class Preflight:
    """Refuses ids that a host does not have, and resolves names; each only if asked for.

    Args:
        clock: Tells seconds since 1970.
        ask: What asks the model that chooses; None is ``scillm.acompletion``.
    """

    ORDER = 355
    SETTINGS: tuple[Setting[Any], ...] = SETTINGS

    def __init__(self, clock: Callable[[], float] = time.time, ask: Ask | None = None) -> None:
        self._clock, self._ask = clock, ask
        self._checks: Checks | None = None
        self._lock = threading.Lock()

    @property
    def checks(self) -> Checks:
        """What is known and done; made when it is first needed, which for most is never."""
        with self._lock:
            if self._checks is None:
                from scillm_preflight.checking import Checks  # the rest of the package

                self._checks = Checks(self._clock, self._ask)
            return self._checks

    @hookimpl(wrapper=True)
    def send(self, call: Call) -> Generator[None, Sender | None, Sender | None]:
        """Wrap the Sender, if ids are to be looked at."""
        inner = yield
        if inner is None or call.operation == "models":
            return inner
        is_guarded, is_aliased = GUARD.value(call), ALIAS.value(call)
        if not (is_guarded or is_aliased):
            return inner
        return self._checked(inner, call, is_guarded=is_guarded, is_aliased=is_aliased)

    def _checked(self, inner: Sender, call: Call, *, is_guarded: bool, is_aliased: bool) -> Sender:
        async def send(request: Request) -> AsyncGenerator[Event, None]:
            asked = self.checks.model_of(request)
            if is_aliased:
                request, chooser = await self.checks.resolved(call, request, is_guarded=is_guarded)
                notes = _notes(asked, self.checks.model_of(request), chooser)
            else:
                self.checks.guard(call, request)
                notes = {}
            async with aclosing(inner(request)) as events:
                async for event in events:
                    yield event.with_notes(NOTES, notes) if notes else event
                    notes = {}

        return send

    @hookimpl(wrapper=True)
    def post_process(self, call: Call) -> Generator[None, Answer, Answer]:
        """Say what was asked on an answer from memory too, which no Sender of ours saw."""
        answer = yield
        served = answer.served_by
        if served is None or call.operation == "models" or NOTES in answer.additional_kwargs:
            return answer
        if call.model.endswith(served.model) or not ALIAS.value(call):
            return answer
        asked = call.model_for(call.provider or call.model.partition("/")[0]) or call.model
        return answer.with_notes(NOTES, _notes(asked, served.model))


def _notes(requested: str, resolved: str, chooser: str = "") -> dict[str, Any]:
    notes = {"requested_model_id": requested, "resolved_model_id": resolved}
    return {**notes, "resolved_by": chooser} if chooser else notes

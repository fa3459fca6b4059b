"""The deadline of an attempt, at the price of one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any

PATIENCE_S = 0.05
"""How long an attempt runs before anybody looks up how long it may."""


class Limit:
    """A context that ends what runs in it, by cancelling the task, when a time is reached.

    ``asyncio.timeout`` wants to know the time when it is entered. Here it is asked for only when
    the attempt has lasted a while: most calls of a fast server end without reading a setting.

    Attributes:
        has_cut: Whether the time was reached; what ran has been cancelled, and the context has
            swallowed that.
        problem: What went wrong when asking for the time; it cuts, too.

    Args:
        deadline_s: Returns the time, as the loop's clock will show it; may be infinite.
        loop: The running loop.
        is_patient: Whether to ask only after ``PATIENCE_S``.
    """

    _timer: asyncio.TimerHandle | None = None
    _is_reached = has_cut = False
    problem: Exception | None = None

    def __init__(
        self,
        deadline_s: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        *,
        is_patient: bool,
    ) -> None:
        self._deadline_s, self._loop, self._is_patient = deadline_s, loop, is_patient

    def __enter__(self) -> Limit:
        task: Any = asyncio.current_task(self._loop)  # its methods differ from 3.10 to 3.11
        self._task = task
        self._cancelling = self._task.cancelling() if hasattr(self._task, "cancelling") else 0
        if self._is_patient:
            self._timer = self._loop.call_later(PATIENCE_S, self._look)
        else:
            self._look()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_reached:
            return False
        # Since 3.11 a task counts who cancels it, so that a caller who leaves now is not missed.
        others = self._task.uncancel() if hasattr(self._task, "uncancel") else 0
        self.has_cut = others <= self._cancelling and kind is asyncio.CancelledError
        return self.has_cut

    def _look(self) -> None:
        try:
            deadline_s = self._deadline_s()
        except Exception as error:  # noqa: BLE001  # raised by the attempt, not by the loop
            self.problem = error
            deadline_s = 0.0
        # Also a time that is over cuts by the loop: a task that cancels itself is cancelled at its
        # next wait, which may come after this context.
        if deadline_s < float("inf"):
            self._timer = self._loop.call_at(deadline_s, self._cut)

    def _cut(self) -> None:
        self._is_reached = True
        self._task.cancel()

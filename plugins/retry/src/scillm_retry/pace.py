"""The waits between the attempts of one call, kept by stamina."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from scillm import APIError

if TYPE_CHECKING:
    from stamina import Attempt

_IS_OURS: ContextVar[bool] = ContextVar("is_ours", default=False)


class Pace:
    """Makes a call wait; the first failure makes one, so that a call without any pays nothing.

    stamina's switches and instrumentation hold for our waits too: ``stamina.set_active(False)``
    ends retries, ``stamina.set_testing`` takes the waits out, ``set_on_retry_hooks`` counts them.

    Args:
        clock: Tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until_s = 0.0
        self._attempts: Any = None  # stamina's iterator, whose class has no public name
        self._attempt: Attempt | None = None

    async def wait(self, until_s: float, error: APIError) -> bool:
        """Wait after *error* until the clock shows *until_s*; False if stamina is not to."""
        if self._attempt is None:
            self._attempts = _begun(self._left_s)
            self._attempt = await self._attempts.__anext__()  # the one that has just failed
        self._until_s = until_s
        # Told, not raised: a raise would tie the error to this frame, and this frame to it.
        self._attempt.__exit__(type(error), error, error.__traceback__)
        mark = _IS_OURS.set(True)
        try:
            self._attempt = await self._attempts.__anext__()
        except APIError:
            return False
        finally:
            _IS_OURS.reset(mark)
        return True

    def _left_s(self, error: Exception) -> float | bool:
        """Answer stamina's question how long to wait."""
        return isinstance(error, APIError) and max(0.0, self._until_s - self._clock())


def _begun(wait_s: Callable[[Exception], float | bool]) -> Any:
    import stamina  # slow to import: only a failure pays for it

    logging.getLogger("stamina").addFilter(_is_told_by_us)
    context = stamina.retry_context(on=wait_s, attempts=None, timeout=None)
    return context.__aiter__()


def _is_told_by_us(record: logging.LogRecord) -> bool:
    """Drop stamina's own line about our waits: it names neither the model nor the reason."""
    return not _IS_OURS.get()

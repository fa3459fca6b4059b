"""What is told of retries while they happen: the caller's functions, and lines of JSON."""

from __future__ import annotations

import inspect
import json
import logging
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from scillm import BadRequestError, FailureKind
from scillm_retry.settings import CALLBACKS

if TYPE_CHECKING:
    from scillm import Call, Failure

LOG = logging.getLogger("scillm.retry")
_CAPACITY = frozenset({FailureKind.RATE_LIMIT, FailureKind.OVERLOADED})

Callback = Callable[[Mapping[str, Any]], Any]


@frozen(kw_only=True)
class Callbacks:
    """The caller's functions, plain or async; each takes one mapping."""

    on_attempt: Callback | None = None
    on_success: Callback | None = None
    on_giveup: Callback | None = None

    @classmethod
    def of(cls, call: Call) -> Callbacks | None:
        """Return the functions that *call* brings, None if there are none.

        Raises:
            BadRequestError: One of them cannot be called.
        """
        names = [setting.option for setting in CALLBACKS if setting.option]
        given = {name: call.options[name] for name in names if call.options.get(name) is not None}
        for name, callback in given.items():
            if not callable(callback):
                raise BadRequestError(f"{name}={callback!r} cannot be called: give a function")
        return cls(**given) if given else None


async def tell(callback: Callback | None, payload: Mapping[str, Any]) -> None:
    """Call one of the caller's functions; whatever goes wrong in it is logged."""
    if callback is None:
        return
    try:
        result = callback(payload)
        if inspect.isawaitable(result):
            await result
    except Exception:  # the caller's own code: its failure must not lose the answer
        LOG.exception("%r failed; the call goes on", callback)


def print_line(event: str, failure: Failure, fields: Mapping[str, Any]) -> None:
    """Print one line of JSON on standard output.

    The name of the event begins with ``429_`` where capacity is what was lacking.
    """
    name = f"429_{event}" if failure.kind in _CAPACITY else event
    line = json.dumps({"event": name, **fields})
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):  # closed, a broken pipe, or no console at all
        LOG.warning("standard output does not take the line %s", line)

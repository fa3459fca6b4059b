"""All steps of fault scripts: the named ones, statuses and redirects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from . import bodies, failures, sizes, streams
from .actions import Action, Exchange, Pause, Step

STEPS: Mapping[str, Step] = {**bodies.STEPS, **failures.STEPS, **sizes.STEPS, **streams.STEPS}


def is_step(word: str) -> bool:
    """Whether this is the name of a step, or a status that a step may answer with."""
    return word in STEPS or word in failures.REDIRECTS or _is_error_status(word)


def _is_error_status(word: str) -> bool:
    return len(word) == 3 and word.isdigit() and 400 <= int(word) <= 599


def actions_of(step: str, exchange: Exchange) -> Iterator[Action]:
    """What happens on the connection for a step, the latency of the URL first.

    Args:
        step: a name that `is_step` accepts.
        exchange: the request and the plan.
    """
    latency_s = exchange.plan.latency_s()
    if latency_s:
        yield Pause(latency_s)
    if step in STEPS:
        yield from STEPS[step](exchange)
    elif step in failures.REDIRECTS:
        yield from failures.redirect(int(step), exchange)
    else:
        yield from failures.status(int(step), exchange)

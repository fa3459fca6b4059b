"""A Sender that is watched: what passes is noted on a record, and who asked for it is told."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from scillm_telemetry.record import CURRENT, Record

if TYPE_CHECKING:
    from scillm import Call, Event, Request, Route, Sender
    from scillm_telemetry.pricing import Pricing

LOG = logging.getLogger("scillm.telemetry")


class Observer(Protocol):
    """Who is told of calls."""

    def begin(self, record: Record) -> None:
        """A call begins."""

    def end(self, record: Record) -> None:
        """It is over."""


@frozen
class Plan:
    """What is to be done about one call.

    Attributes:
        observers: Who is told.
        pricing: What finds the cost, if that is wanted.
        where: Where the content goes, of span and event.
    """

    observers: tuple[Observer, ...]
    pricing: Pricing | None = None
    where: tuple[str, ...] = ()


def watched(call: Call, inner: Sender, plan: Plan) -> Sender:
    """Return a Sender that does what *inner* does, and tells of it."""

    async def send(request: Request) -> AsyncGenerator[Event, None]:
        record = Record(call=call, route=request.route, request=request, where=plan.where)
        pricing = plan.pricing
        _each(plan.observers, "begin", record)
        loading = None if pricing is None else pricing.loading(record)
        error: BaseException | None = None
        try:
            async with aclosing(_stepped(inner(request), record)) as events:
                async for event in events:
                    if loading is not None and _can_tell(pricing, event):
                        await loading
                        loading = None
                    yield _seen(event, record, pricing)
        except BaseException as failed:
            error = failed
            raise
        finally:
            record.end(error)
            _each(plan.observers, "end", record)

    return send


def refused(call: Call, route: Route | None, error: Exception, plan: Plan) -> None:
    """Tell of a call that ended before anything was sent."""
    record = Record(call=call, route=route, where=plan.where)
    _each(plan.observers, "begin", record)
    record.end(error)
    _each(plan.observers, "end", record)


async def _stepped(
    events: AsyncGenerator[Event, None], record: Record
) -> AsyncGenerator[Event, None]:
    """Yield events; the record and its span are the current ones while the next is made.

    Not in between: there the caller's own code runs, and a generator shares its context.
    """
    async with aclosing(events):
        while True:
            token = CURRENT.set(record)
            detach = record.attach() if record.attach is not None else None
            try:
                event = await anext(events, None)
            finally:
                if detach is not None:
                    detach()
                CURRENT.reset(token)
            if event is None:
                return
            yield event


def _seen(event: Event, record: Record, pricing: Pricing | None) -> Event:
    """Return an event, noted and with its cost. It may be of a shape that nobody expects."""
    try:
        record.see(event)
        if pricing is not None and pricing.can_tell(event):
            return pricing.priced(event, record)
    except Exception:
        LOG.exception("telemetry failed to read an event; it is passed on as it is")
    return event


def _can_tell(pricing: Pricing | None, event: Event) -> bool:
    try:
        return pricing is not None and pricing.can_tell(event)
    except Exception:  # noqa: BLE001  # of a shape that nobody expects; `_seen` says so
        return False


def _each(observers: tuple[Observer, ...], what: str, record: Record) -> None:
    """Tell all of them. What goes wrong in one must not lose the answer."""
    for observer in observers:
        try:
            getattr(observer, what)(record)
        except Exception:
            LOG.exception("telemetry failed to %s the record of a call; the call goes on", what)

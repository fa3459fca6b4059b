"""The plugin: watches calls from the moment they are made to the end of their answers."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen

from scillm import UnknownModelError, hookimpl
from scillm_telemetry import settings as knob
from scillm_telemetry.lines import Lines
from scillm_telemetry.record import CURRENT, Record

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from scillm import Call, Event, Failure, Request, Route, Sender
    from scillm_telemetry.exposition import Server
    from scillm_telemetry.pricing import Pricing

LOG = logging.getLogger("scillm.telemetry")
PORT_AGAIN_S = 10.0


class Observer(Protocol):
    """Who is told of calls."""

    def begin(self, record: Record) -> None:
        """A call begins."""

    def end(self, record: Record) -> None:
        """It is over."""


@frozen
class _Plan:
    """What is to be done about one call."""

    observers: tuple[Observer, ...]
    pricing: Pricing | None
    where: tuple[str, ...]


class Telemetry:
    """Tells what calls do and cost; does nothing unless asked.

    Args:
        tracer_provider: Whose spans to make; None takes the process's own.
        meter_provider: Whose metrics to record; None takes the process's own.
        logger_provider: Who gets events with content; None takes the process's own.
    """

    ORDER = 100
    SETTINGS = knob.SETTINGS

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: Any = None,
    ) -> None:
        self._providers = (tracer_provider, meter_provider, logger_provider)
        self._otel: tuple[Observer, ...] | None = None
        self._counts: tuple[Observer, ...] | None = None
        self._lines = Lines()
        self._servers: dict[tuple[str, int], Server] = {}
        self._port_busy_until_s: dict[tuple[str, int], float] = {}

    @hookimpl(wrapper=True)
    def resolve_model(self, call: Call) -> Generator[None, Route | None, Route | None]:
        """See the calls that nobody answers for."""
        try:
            route = yield
        except Exception as error:
            self._refused(call, None, error)
            raise
        if route is None:
            self._refused(call, None, UnknownModelError("no plugin answers for this model"))
        return route

    @hookimpl(wrapper=True)
    def prepare_request(
        self, call: Call, route: Route
    ) -> Generator[None, Request | None, Request | None]:
        """See the calls that are refused before anything is sent."""
        try:
            request = yield
        except Exception as error:
            self._refused(call, route, error)
            raise
        return request

    @hookimpl(wrapper=True)
    def send(self, call: Call, request: Request) -> Generator[None, Sender | None, Sender | None]:
        """Wrap the Sender, if anybody wants to know."""
        try:
            inner = yield
        except Exception as error:
            self._refused(call, request.route, error)
            raise
        plan = None if inner is None else self._plan(call)
        return inner if inner is None or plan is None else _watched(call, inner, plan)

    @hookimpl(wrapper=True)
    def classify_error(self) -> Generator[None, Failure, Failure]:
        """Note each attempt that failed on the record of its call."""
        failure = yield
        if (record := CURRENT.get()) is not None:
            record.failures.append(failure)
            if record.span is not None:
                from scillm_telemetry.spans import tell_failure

                tell_failure(record, failure)
        return failure

    @property
    def metrics_url(self) -> str | None:
        """Where the counts are served, if they are."""
        return next((s.url for s in self._servers.values() if s.is_open), None)

    async def aclose(self) -> None:
        """Stop serving counts, unless another kernel of the process wants them."""
        servers = [*self._servers.values()]
        self._servers.clear()
        if servers:
            import asyncio

            from scillm_telemetry.exposition import release

            for server in servers:  # it waits for its thread, which the loop must not
                await asyncio.get_running_loop().run_in_executor(None, release, server)

    def _plan(self, call: Call) -> _Plan | None:
        observers: list[Observer] = []
        where: tuple[str, ...] = ()
        if knob.OTEL.value(call):
            observers += self._of_otel()
            where = knob.captured(call)
        if knob.LOG_CALLS.value(call):
            observers.append(self._lines)
        if metrics := knob.METRICS.value():
            observers += self._of_counts(metrics)
        pricing = _pricing(call, is_told=bool(observers))
        if not observers and pricing is None:
            return None
        return _Plan(tuple(observers), pricing, where)

    def _of_otel(self) -> tuple[Observer, ...]:
        if self._otel is None:
            self._otel = self._made(self._make_otel, "SCILLM_OTEL", "otel")
        return self._otel

    def _make_otel(self) -> tuple[Observer, ...]:
        from scillm_telemetry.meters import Meters
        from scillm_telemetry.sdk import set_up
        from scillm_telemetry.spans import Spans

        tracer_provider, meter_provider, logger_provider = self._providers
        if tracer_provider is None:
            set_up()
        return Meters(meter_provider), Spans(tracer_provider, logger_provider)

    def _of_counts(self, metrics: str) -> tuple[Observer, ...]:
        if self._counts is None:
            self._counts = self._made(_make_counts, "SCILLM_METRICS", "prometheus")
        if metrics == knob.PROM and self._counts:
            self._serve((knob.METRICS_ADDR.value(), knob.METRICS_PORT.value()))
        return self._counts

    def _made(
        self, make: Callable[[], tuple[Observer, ...]], variable: str, extra: str
    ) -> tuple[Observer, ...]:
        """Return what *make* does; without its libraries nothing, with a word about it."""
        try:
            return make()
        except ImportError as error:
            LOG.warning(
                "%s is on, and %s is not installed, so nothing is told: "
                "pip install 'scillm-telemetry[%s]'",
                variable,
                error.name,
                extra,
            )
            return ()

    def _serve(self, key: tuple[str, int]) -> None:
        server = self._servers.get(key)
        if server is not None and server.is_open:
            return
        now_s = time.monotonic()
        if now_s < self._port_busy_until_s.get(key, now_s):
            return
        from scillm_telemetry.exposition import serve

        is_first = key not in self._port_busy_until_s
        self._port_busy_until_s[key] = now_s + PORT_AGAIN_S
        try:
            server = self._servers[key] = serve(*key)
        except OSError as error:
            if is_first:
                LOG.warning(
                    "the metrics of this process cannot be served at %s:%d (%s): calls go on "
                    "without, and it is tried again; set SCILLM_METRICS_PORT to a free port, or 0",
                    *key,
                    error.strerror or error,
                )
        else:
            del self._port_busy_until_s[key]
            LOG.info("metrics are served at %s", server.url)

    def _refused(self, call: Call, route: Route | None, error: Exception) -> None:
        """Tell of a call that ended before anything was sent; not of a part of a running one."""
        if CURRENT.get() is not None:
            return
        try:
            plan = self._plan(call)
        except Exception:  # noqa: BLE001  # what the caller gets is the error at hand
            return
        if plan is not None:
            record = Record(call=call, route=route, where=plan.where)
            _each(plan.observers, "begin", record)
            record.end(error)
            _each(plan.observers, "end", record)


def _make_counts() -> tuple[Observer, ...]:
    import prometheus_client  # noqa: F401  # whether it is there is told once

    from scillm_telemetry.prometheus import Counts

    return (Counts(),)


def _pricing(call: Call, *, is_told: bool) -> Pricing | None:
    is_wanted = knob.COST.value(call)
    if is_wanted is None:
        is_wanted = is_told or knob.PRICES.value(call) is not None
    if not is_wanted:
        return None
    from scillm_telemetry.pricing import Pricing

    return Pricing.of(call)


def _watched(call: Call, inner: Sender, plan: _Plan) -> Sender:
    pricing = plan.pricing if call.operation != "models" else None

    async def send(request: Request) -> AsyncGenerator[Event, None]:
        record = Record(call=call, route=request.route, request=request, where=plan.where)
        _each(plan.observers, "begin", record)
        loading = None if pricing is None else pricing.loading(record)
        error: BaseException | None = None
        try:
            async with aclosing(_stepped(inner(request), record)) as events:
                async for event in events:
                    record.see(event)
                    if pricing is not None and pricing.can_tell(event):
                        if loading is not None:
                            await loading
                        yield pricing.priced(event, record)
                    else:
                        yield event
        except BaseException as failed:
            error = failed
            raise
        finally:
            record.end(error)
            _each(plan.observers, "end", record)

    return send


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


def _each(observers: tuple[Observer, ...], what: str, record: Record) -> None:
    """Tell all of them. What goes wrong in one must not lose the answer."""
    for observer in observers:
        try:
            getattr(observer, what)(record)
        except Exception:
            LOG.exception("telemetry failed to %s the record of a call; the call goes on", what)

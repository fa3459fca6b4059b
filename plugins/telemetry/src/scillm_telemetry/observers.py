"""Who is told of a call: made when first asked for, and given back when the kernel is closed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scillm_telemetry import settings as knob
from scillm_telemetry.lines import Lines
from scillm_telemetry.watching import Observer, Plan

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from scillm import Call
    from scillm_telemetry.exposition import Server
    from scillm_telemetry.pricing import Pricing

LOG = logging.getLogger("scillm.telemetry")
PORT_AGAIN_S = 10.0  # after so long a port that was taken is tried again
Made = tuple[Observer, ...]


class Observers:
    """The observers of one kernel; arguments are those of ``Telemetry``."""

    def __init__(
        self,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        logger_provider: Any,
    ) -> None:
        self._providers = (tracer_provider, meter_provider, logger_provider)
        self._otel: Made | None = None
        self._counts: Made | None = None
        self._lines = Lines()
        self._servers: dict[tuple[str, int], Server] = {}
        self._port_busy_until_s: dict[tuple[str, int], float] = {}

    def plan(self, call: Call) -> Plan | None:
        """Return what is to be done about a call, None if it is nothing.

        Raises:
            BadRequestError: The call brings prices that cannot be read.
            ValueError: A variable cannot be read.
        """
        if knob.is_silent(call):
            return None
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
        return Plan(tuple(observers), pricing, where)

    @property
    def url(self) -> str | None:
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
                await asyncio.get_running_loop().run_in_executor(None, release, server, self)

    def _of_otel(self) -> Made:
        if self._otel is None:
            self._otel = _made(self._make_otel, knob.OTEL.variable, "otel")
        return self._otel

    def _make_otel(self) -> Made:
        from scillm_telemetry.meters import Meters
        from scillm_telemetry.sdk import set_up
        from scillm_telemetry.spans import Spans

        tracer_provider, meter_provider, logger_provider = self._providers
        if tracer_provider is None:
            set_up()
        return Meters(meter_provider), Spans(tracer_provider, logger_provider)

    def _of_counts(self, metrics: str) -> Made:
        if self._counts is None:
            self._counts = _made(_make_counts, knob.METRICS.variable, "prometheus")
        if metrics == knob.PROM and self._counts:
            self._serve((knob.METRICS_ADDR.value(), knob.METRICS_PORT.value()))
        return self._counts

    def _serve(self, key: tuple[str, int]) -> None:
        """Serve the counts there, unless it is done; a port that is taken is left for a while."""
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
            server = self._servers[key] = serve(*key, self)
        except OSError as error:
            if is_first:
                LOG.warning(
                    "the metrics of this process cannot be served at %s:%d (%s): calls go on "
                    "without, and it is tried again; set SCILLM_METRICS_PORT to a free port, or 0",
                    *key,
                    error.strerror or error,
                )
        else:
            self._port_busy_until_s.pop(key, None)
            LOG.info("metrics are served at %s", server.url)


def _made(make: Callable[[], Made], variable: str, extra: str) -> Made:
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


def _make_counts() -> Made:
    import prometheus_client  # noqa: F401  # whether it is there is told once

    from scillm_telemetry.prometheus import Counts

    return (Counts(),)


def _pricing(call: Call, *, is_told: bool) -> Pricing | None:
    if call.operation == "models":
        return None
    is_wanted = knob.COST.value(call)
    if is_wanted is None:
        is_wanted = is_told or knob.PRICES.value(call) is not None
    if not is_wanted:
        return None
    from scillm_telemetry.pricing import Pricing

    return Pricing.of(call)

"""The plugin: watches calls from the moment they are made to the end of their answers."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from scillm import UnknownModelError, hookimpl
from scillm_telemetry.observers import Observers
from scillm_telemetry.record import CURRENT
from scillm_telemetry.settings import SETTINGS
from scillm_telemetry.watching import refused, watched

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from scillm import Call, Failure, Request, Route, Sender


class Telemetry:
    """Tells what calls do and cost; does nothing unless asked.

    Args:
        tracer_provider: Whose spans to make; None takes the process's own.
        meter_provider: Whose metrics to record; None takes the process's own.
        logger_provider: Who gets events with content; None takes the process's own.
    """

    ORDER = 100
    SETTINGS = SETTINGS

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: Any = None,
    ) -> None:
        self._observers = Observers(tracer_provider, meter_provider, logger_provider)

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
            return (yield)
        except Exception as error:
            self._refused(call, route, error)
            raise

    @hookimpl(wrapper=True)
    def send(self, call: Call, request: Request) -> Generator[None, Sender | None, Sender | None]:
        """Wrap the Sender, if anybody wants to know."""
        try:
            inner = yield
        except Exception as error:
            self._refused(call, request.route, error)
            raise
        plan = None if inner is None else self._observers.plan(call)
        return inner if inner is None or plan is None else watched(call, inner, plan)

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
        """Where the counts of Prometheus are served, if they are."""
        return self._observers.url

    async def aclose(self) -> None:
        """Stop serving counts, unless another kernel of the process wants them."""
        await self._observers.aclose()

    def _refused(self, call: Call, route: Route | None, error: Exception) -> None:
        """Tell of a call that ended before it was sent; parts of a running one are none."""
        if CURRENT.get() is not None:
            return
        try:
            plan = self._observers.plan(call)
        except Exception:  # noqa: BLE001  # what the caller gets is the error at hand
            return
        if plan is not None:
            refused(call, route, error, plan)

"""A kernel whose telemetry is kept in memory, and an environment without settings."""

import logging
import os

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import scillm_openai_like
from pytest_scillm import Wire
from scillm import Kernel
from scillm_telemetry import Telemetry

ASK = [{"role": "user", "content": "hi"}]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


def whole(text="ok", **more):
    """A whole answer, as it comes over the wire."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    told = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-x"}
    return {**told, "choices": [choice], "usage": USAGE, **more}


def piece(text="", finish=None, **more):
    """A piece of a streamed answer."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    told = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-x"}
    return {**told, "choices": [choice], **more}


class Script(Wire):
    """The scripted wire, with answers to queue."""

    def whole(self, text="ok", **more):
        """Queue a whole answer."""
        return self.reply(whole(text, **more))

    def pieces(self, *, is_cut=False, usage=USAGE):
        """Queue a stream that says ``ok``, or one that breaks off."""
        ends = [piece(finish="stop"), {**piece(), "choices": [], "usage": usage}, b"[DONE]"]
        return self.reply(piece("o"), piece("k"), *([] if is_cut else ends))


@pytest.fixture
def wire():
    """A transport that answers from a script."""
    return Script()


class Seen:
    """What telemetry has told, kept in memory."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.events_exporter = InMemoryLogRecordExporter()
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(
            SimpleLogRecordProcessor(self.events_exporter)
        )

    @property
    def spans(self):
        """The spans that ended."""
        return self.exporter.get_finished_spans()

    @property
    def span(self):
        """The one span."""
        (span,) = self.spans
        return span

    @property
    def events(self):
        """The events."""
        return [each.log_record for each in self.events_exporter.get_finished_logs()]

    def points(self, name):
        """The data points of a metric."""
        told = self.reader.get_metrics_data()
        resources = told.resource_metrics if told else ()
        scopes = [scope for resource in resources for scope in resource.scope_metrics]
        metrics = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        return [point for metric in metrics for point in metric.data.data_points]

    def plugin(self):
        """A plugin that tells it."""
        return Telemetry(self.tracer_provider, self.meter_provider, self.logger_provider)


@pytest.fixture
def seen():
    """What telemetry has told."""
    return Seen()


@pytest.fixture
def kernel(wire, seen):
    """The plugin, one provider, and the scripted wire."""
    return Kernel.of(wire, scillm_openai_like, seen.plugin())


@pytest.fixture
def ask(kernel):
    """Ask from sync code."""

    def asked(model="openai/gpt-4o-mini", messages=ASK, **arguments):
        return kernel.completion(model, messages, **{"api_key": "sk-0123456789", **arguments})

    return asked


@pytest.fixture
def lines(caplog):
    """The lines of calls, as mappings."""
    caplog.set_level(logging.INFO, "scillm.calls")
    return lambda: [r.scillm_call for r in caplog.records if r.name == "scillm.calls"]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SCILLM_", "LITELLM_", "OTEL_", "PROMETHEUS_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SCILLM_DOTENV", "0")


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    logger = logging.getLogger("scillm.calls")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers

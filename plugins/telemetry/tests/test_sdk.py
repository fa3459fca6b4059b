"""OpenTelemetry as a process has it: its own set-up, the variables', or none."""

import http.server
import os
import subprocess
import sys
import threading

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

CALL = """
import sys
from pytest_scillm import Wire
import scillm_openai_like
from scillm import Kernel
from scillm_telemetry import Telemetry

message = {"role": "assistant", "content": "ok"}
choice = {"index": 0, "message": message, "finish_reason": "stop"}
usage = {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}
wire = Wire().reply({"choices": [choice], "usage": usage, "model": "m"})
kernel = Kernel.of(wire, scillm_openai_like, Telemetry())
for _ in range(2):
    answer = kernel.completion("openai/m", [{"role": "user", "content": "hi"}], api_key="sk-secret")
print(answer.text)
"""


class Collector(http.server.ThreadingHTTPServer):
    """A collector that keeps what it is sent, by path."""

    daemon_threads = True

    def __init__(self):
        self.bodies = {}
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.setdefault(self.path, []).append(body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def collector():
    """A collector on loopback."""
    with Collector() as server:
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


def ran(program=CALL, **variables):
    """What a process of its own says: its answer, and what it warns of."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "SCILLM_OTEL": "1", **variables},
    )
    assert done.stdout == "ok\n", done.stderr
    return done.stderr


def test_the_standard_variables_are_enough_to_reach_a_collector(collector):
    """Spans and metrics arrive by OTLP, from a program that has no code for it."""
    warned = ran(
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}",
        OTEL_SERVICE_NAME="mine",
        OTEL_EXPORTER_OTLP_COMPRESSION="none",
    )
    assert warned == ""
    traces = ExportTraceServiceRequest()
    for body in collector.bodies["/v1/traces"]:
        traces.MergeFromString(body)
    spans = [s for r in traces.resource_spans for scope in r.scope_spans for s in scope.spans]
    assert [span.name for span in spans] == ["chat m", "chat m"]
    told = {a.key: a.value for a in traces.resource_spans[0].resource.attributes}
    assert told["service.name"].string_value == "mine"
    assert b"sk-secret" not in b"".join(collector.bodies["/v1/traces"])
    metrics = ExportMetricsServiceRequest()
    for body in collector.bodies["/v1/metrics"]:
        metrics.MergeFromString(body)
    names = {
        metric.name
        for resource in metrics.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"} <= names


def test_a_process_that_nobody_set_up_is_told_so_once():
    """Spans that go nowhere are worth a word; calls go on."""
    warned = ran()
    assert warned.count("spans go nowhere") == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in warned


def test_what_the_program_has_set_up_is_taken(collector):
    """The variables then belong to it, and nothing is set up a second time."""
    program = (
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import SimpleSpanProcessor\n"
        "from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter\n"
        "exporter, provider = InMemorySpanExporter(), TracerProvider()\n"
        "provider.add_span_processor(SimpleSpanProcessor(exporter))\n"
        "trace.set_tracer_provider(provider)\n"
        f"{CALL}\n"
        "assert trace.get_tracer_provider() is provider\n"
        "assert len(exporter.get_finished_spans()) == 2\n"
    )
    warned = ran(
        program,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}",
        OTEL_METRICS_EXPORTER="none",
    )
    assert warned == ""
    assert not collector.bodies


def test_a_provider_that_is_set_up_late_gets_the_later_calls():
    """The first call does not fix whom the next one tells."""
    program = CALL.replace(
        "print(answer.text)",
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import SimpleSpanProcessor\n"
        "from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter\n"
        "exporter, provider = InMemorySpanExporter(), TracerProvider()\n"
        "provider.add_span_processor(SimpleSpanProcessor(exporter))\n"
        "trace.set_tracer_provider(provider)\n"
        "kernel.completion('openai/m', [{'role': 'user', 'content': 'hi'}], api_key='k')\n"
        "assert len(exporter.get_finished_spans()) == 1\n"
        "print(answer.text)",
    )
    ran(program)


def test_an_exporter_that_is_not_installed_is_named():
    """With what brings one."""
    warned = ran(OTEL_TRACES_EXPORTER="nosuch", OTEL_METRICS_EXPORTER="none")
    assert "no exporter 'nosuch' for traces is installed" in warned
    assert "pip install 'scillm-telemetry[sdk]'" in warned


def test_without_the_api_there_is_a_warning_and_calls_go_on():
    """It says how to get it, once."""
    warned = ran(f"import sys; sys.modules['opentelemetry'] = None\n{CALL}")
    assert warned.count("pip install 'scillm-telemetry[otel]'") == 1


def test_a_switched_off_sdk_is_respected(collector):
    """OTEL_SDK_DISABLED sends nothing."""
    ran(
        OTEL_SDK_DISABLED="true",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}",
    )
    assert not collector.bodies

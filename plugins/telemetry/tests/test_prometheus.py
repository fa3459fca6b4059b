"""Counts for Prometheus, fetched over HTTP and read as it reads them."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

import scillm_openai_like
from scillm import Kernel, RateLimitError, Request, Response, Route, hookimpl
from scillm_cache import Caching
from scillm_retry import Retry
from scillm_router import Router

ASK = [{"role": "user", "content": "hi"}]


@pytest.fixture(autouse=True)
def _served(monkeypatch):
    monkeypatch.setenv("SCILLM_METRICS", "prom")
    monkeypatch.setenv("SCILLM_METRICS_PORT", "0")


@pytest.fixture
def kernel(wire, seen):
    """A kernel that is closed after the test, and its server with it."""
    with Kernel.of(wire, scillm_openai_like, seen.plugin()) as kernel:
        yield kernel


@pytest.fixture
def plugin(kernel):
    """The kernel's telemetry."""
    return next(p for p in kernel.plugins.active() if hasattr(p, "metrics_url"))


def scraped(url):
    """What Prometheus reads: value by name and labels."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/plain")
        text = answer.read().decode()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return {(s.name, *sorted(s.labels.items())): s.value for s in samples}


def count(found, name, **labels):
    """One value of those."""
    return found.get((name, *sorted(labels.items())), 0)


def test_calls_are_counted_and_served_on_loopback(ask, plugin, wire):
    """By route, result, whether it was retried, and tier."""
    wire.whole()
    ask("openai/counted")
    assert plugin.metrics_url.startswith("http://127.0.0.1:")
    found = scraped(plugin.metrics_url)
    route = "openai/counted"
    labels = {"route": route, "result": "ok", "retried": "false", "model_tier": "primary"}
    assert count(found, "scillm_requests_total", **labels) == 1
    assert count(found, "scillm_requests_in_flight", route=route) == 0
    assert count(found, "scillm_tokens_total", route=route, direction="input") == 1000
    assert count(found, "scillm_request_latency_seconds_count") >= 1


def test_the_cost_is_counted(ask, plugin, wire):
    """In US dollars, where it is known."""
    wire.whole()
    ask("openai/priced", prices={"openai/priced": {"request_usd": 0.25}})
    found = scraped(plugin.metrics_url)
    assert count(found, "scillm_cost_usd_total", route="openai/priced") == 0.25


def test_a_failure_is_counted_as_one(ask, plugin, wire):
    """With its result."""
    wire.fail(429)
    with pytest.raises(RateLimitError):
        ask("openai/failing")
    labels = {"result": "error", "retried": "false", "model_tier": "primary"}
    found = scraped(plugin.metrics_url)
    assert count(found, "scillm_requests_total", route="openai/failing", **labels) == 1


def test_retries_are_counted_by_their_reason(wire, seen):
    """Each attempt that was made again."""
    wire.fail(503).fail(503).whole()
    plugin = seen.plugin()
    with Kernel.of(wire, scillm_openai_like, Retry(), plugin) as kernel:
        kernel.completion("openai/first", ASK, api_key="k", retry_after=0)
        before = count(scraped(plugin.metrics_url), "scillm_retries_total", reason="overloaded")
        wire.answers[:0] = wire.fail(503).answers[-1:]
        kernel.completion("openai/retried", ASK, api_key="k", retry_after=0)
        found = scraped(plugin.metrics_url)
    assert before >= 2
    assert count(found, "scillm_retries_total", reason="overloaded") == before + 1
    labels = {"result": "ok", "retried": "true", "model_tier": "primary"}
    assert count(found, "scillm_requests_total", route="openai/retried", **labels) == 1


def test_fallbacks_of_a_router_are_counted_and_are_no_retries(wire, seen):
    """By their reason; the call's tier is that of a fallback."""
    wire.fail(500).whole()
    plugin = seen.plugin()
    with Kernel.of(wire, scillm_openai_like, plugin) as within:
        entries = [
            {"model_name": name, "litellm_params": {"model": "openai/m", "api_key": "k"}}
            for name in ("main", "spare")
        ]
        router = Router(entries, fallbacks=[{"main": ["spare"]}], kernel=within)
        router.completion("main", ASK)
        found = scraped(plugin.metrics_url)
    labels = {"result": "ok", "retried": "false", "model_tier": "fallback"}
    assert count(found, "scillm_requests_total", route="router/main", **labels) == 1
    assert count(found, "scillm_router_fallbacks_total", reason="server") >= 1


def test_tokens_of_an_answer_from_the_cache_are_not_counted_again(wire, seen):
    """They were not used again, and the call was made."""
    plugin = seen.plugin()
    with Kernel.of(wire.whole(), scillm_openai_like, Caching(), plugin) as kernel:
        for _ in range(2):
            kernel.completion("openai/kept", ASK, api_key="k", cache=True)
        found = scraped(plugin.metrics_url)
    route = "openai/kept"
    labels = {"route": route, "result": "ok", "retried": "false", "model_tier": "primary"}
    assert count(found, "scillm_requests_total", **labels) == 2
    assert count(found, "scillm_tokens_total", route=route, direction="output") == 100


class Gated:
    """A provider that answers when it is let."""

    PROVIDERS = ("gated",)

    def __init__(self):
        self.is_asked, self.gate = asyncio.Event(), asyncio.Event()

    @hookimpl
    def resolve_model(self, call):
        return Route(provider="gated", model="m") if call.model_for("gated") else None

    @hookimpl
    def prepare_request(self, call, route):
        return Request(route=route, url="gated:", read=lambda frame: ())

    @hookimpl
    def send(self):
        return self._send

    async def _send(self, request):
        self.is_asked.set()
        await self.gate.wait()
        message = {"role": "assistant", "content": "ok"}
        yield Response({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


def test_calls_under_way_are_counted_while_they_are(seen):
    """Up at the start, down at the end."""

    async def main():
        gated, plugin = Gated(), seen.plugin()
        async with Kernel.of(gated, plugin) as kernel:
            task = asyncio.ensure_future(kernel.acompletion("gated/m", ASK))
            await gated.is_asked.wait()
            during = await asyncio.to_thread(scraped, plugin.metrics_url)
            gated.gate.set()
            await task
            return during, await asyncio.to_thread(scraped, plugin.metrics_url)

    during, after = asyncio.run(main())
    assert count(during, "scillm_requests_in_flight", route="gated/m") == 1
    assert count(after, "scillm_requests_in_flight", route="gated/m") == 0


def test_closing_the_kernel_stops_the_server(wire, seen):
    """The port is free again, and a later call serves again."""
    plugin = seen.plugin()
    kernel = Kernel.of(wire.whole(), scillm_openai_like, plugin)
    kernel.completion("openai/m", ASK, api_key="k")
    url = plugin.metrics_url
    kernel.close()
    assert plugin.metrics_url is None
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=10)
    kernel.completion("openai/m", ASK, api_key="k")
    assert scraped(plugin.metrics_url)
    kernel.close()


def test_two_kernels_share_a_server_until_the_last_is_closed(wire, seen, monkeypatch):
    """A port belongs to the process."""
    monkeypatch.setenv("SCILLM_METRICS_PORT", str(free_port()))
    wire.whole()
    plugins = [seen.plugin(), seen.plugin()]
    kernels = [Kernel.of(wire, scillm_openai_like, plugin) for plugin in plugins]
    for kernel in kernels:
        kernel.completion("openai/m", ASK, api_key="k")
    assert plugins[0].metrics_url == plugins[1].metrics_url
    kernels[0].close()
    assert scraped(plugins[1].metrics_url)
    kernels[1].close()


def test_threads_that_begin_at_once_share_one_server(ask, plugin, wire):
    """One kernel wants it once, however many of its calls come first; so closing it is enough."""
    wire.whole()
    barrier = threading.Barrier(8)

    def work():
        barrier.wait(10)
        ask("openai/threads")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    labels = {"result": "ok", "retried": "false", "model_tier": "primary"}
    found = scraped(plugin.metrics_url)
    assert count(found, "scillm_requests_total", route="openai/threads", **labels) == 8
    url = plugin.metrics_url
    asyncio.run(plugin.aclose())
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=10)


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_port_that_is_taken_is_a_warning_and_calls_go_on(ask, plugin, wire, monkeypatch, caplog):
    """Said once, tried again, served when it is free."""
    monkeypatch.setattr("scillm_telemetry.observers.PORT_AGAIN_S", 0.0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("SCILLM_METRICS_PORT", str(port))
        wire.whole()
        assert ask().text == "ok"
        assert ask().text == "ok"
        assert plugin.metrics_url is None
    (warning,) = [r for r in caplog.records if r.levelname == "WARNING"]
    assert f"cannot be served at 127.0.0.1:{port}" in warning.getMessage()
    assert "SCILLM_METRICS_PORT" in warning.getMessage()
    ask()
    assert scraped(plugin.metrics_url)


def test_counting_alone_serves_nothing(ask, plugin, wire, monkeypatch):
    """For a program that serves the registry of prometheus_client itself."""
    from prometheus_client import REGISTRY

    monkeypatch.setenv("SCILLM_METRICS", "registry")
    wire.whole()
    ask("openai/registered")
    labels = {"route": "openai/registered", "result": "ok", "retried": "false"}
    labels["model_tier"] = "primary"
    assert plugin.metrics_url is None
    assert REGISTRY.get_sample_value("scillm_requests_total", labels) == 1


def test_nothing_is_counted_unless_asked(ask, plugin, wire, monkeypatch):
    """Off by default."""
    from prometheus_client import REGISTRY

    monkeypatch.delenv("SCILLM_METRICS")
    wire.whole()
    ask("openai/uncounted")
    assert plugin.metrics_url is None
    found = {s.labels.get("route") for family in REGISTRY.collect() for s in family.samples}
    assert "openai/uncounted" not in found


def test_a_word_that_means_nothing_is_an_error_that_names_the_variable(ask, wire, monkeypatch):
    """And says what there is."""
    monkeypatch.setenv("SCILLM_METRICS", "statsd")
    wire.whole()
    with pytest.raises(Exception, match="SCILLM_METRICS='statsd'.*expected prom, registry or 0"):
        ask()


PROGRAM = """
import json, os, sys, urllib.request
from pytest_scillm import Wire
import scillm_openai_like
from scillm import Kernel
from scillm_telemetry import Telemetry

message = {"role": "assistant", "content": "ok"}
wire = Wire().reply({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
plugin = Telemetry()
kernel = Kernel.of(wire, scillm_openai_like, plugin)
ask = lambda: kernel.completion("openai/m", [{"role": "user", "content": "x"}], api_key="k")
fetch = lambda: urllib.request.urlopen(plugin.metrics_url, timeout=10).read().decode()
counted = lambda: [line for line in fetch().splitlines() if "requests_total{" in line]
"""


def ran(rest, **variables):
    """What a program of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + rest],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_a_forked_child_serves_at_a_port_of_its_own():
    """What it has inherited nobody would answer."""
    said, _ = ran(
        "ask()\n"
        "mine = plugin.metrics_url\n"
        "read, write = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    ask()\n"
        "    os.write(write, f'{plugin.metrics_url} {counted()[0]}'.encode())\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "print(mine)\n"
        "print(os.read(read, 999).decode())\n"
        "print(counted()[0])\n"
    )
    mine, child, after = said.splitlines()
    assert child.split()[0] != mine
    assert child.endswith("2.0")  # it begins with what its parent had counted
    assert after.endswith("1.0")


def test_several_processes_count_together_in_a_folder(tmp_path):
    """Whoever has the port answers for all of them."""
    said, _ = ran(
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os.environ['SCILLM_METRICS'] = 'registry'\n"
        "    ask(); ask()\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "ask()\n"
        "print(counted()[0])\n",
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path),
    )
    assert said.strip().endswith("3.0")


def test_without_the_library_there_is_a_warning_and_calls_go_on():
    """It says how to get it."""
    said, warned = ran("sys.modules['prometheus_client'] = None\nprint(ask().text, ask().text)\n")
    assert said == "ok ok\n"
    assert warned.count("pip install 'scillm-telemetry[prometheus]'") == 1

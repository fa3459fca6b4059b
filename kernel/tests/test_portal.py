"""The sync door."""

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest

from scillm import Kernel, _portal, unfold

ASK = [{"role": "user", "content": "hi"}]


def test_sync_calls_share_one_loop(kernel):
    """However many threads call at a time, one helper thread at most is made for them."""
    said = []

    def call():
        said.extend(kernel.completion("echo/m", ASK).text for _ in range(20))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == ["hi"] * 160
    assert len([t for t in threading.enumerate() if t.name == "scillm-portal"]) <= 1


def test_a_call_that_is_alone_runs_on_its_own_thread(echoing, monkeypatch):
    """Waking another costs as much as the call."""
    monkeypatch.setattr(_portal, "_portal", None)  # no stream of an earlier test is in its way
    seen = []

    class Sees(echoing):
        async def _send(self, request):
            seen.append(threading.current_thread())
            async for event in super()._send(request):
                yield event

    Kernel.of(Sees()).completion("echo/m", ASK)
    assert seen == [threading.current_thread()]


def test_calls_go_on_while_a_stream_is_open(echoing, whole):
    """An unfinished stream does not hold the door."""
    kernel = Kernel.of(echoing(*[c for _ in range(400) for c in unfold(whole("a"))]))
    with kernel.completion("echo/m", ASK, stream=True) as stream:
        next(stream)
        assert kernel.completion("echo/m", ASK).text.startswith("a")
        next(stream)


def test_a_sync_call_works_inside_a_running_loop(kernel):
    """As in a notebook."""

    async def main():
        return kernel.completion("echo/m", ASK).text

    assert asyncio.run(main()) == "hi"


def test_a_sync_call_on_the_portals_own_thread_is_refused(kernel):
    """It would wait for itself."""

    async def main():
        return kernel.completion("echo/m", ASK)

    with pytest.raises(RuntimeError, match="use the async form"):
        _portal.run(main())


def test_an_async_stream_cannot_be_iterated_in_sync(kernel):
    """It belongs to its own loop, and says so."""

    async def main():
        stream = await kernel.acompletion("echo/m", ASK, stream=True)
        try:
            with pytest.raises(TypeError, match="await its aclose"):
                stream.close()
            list(stream)  # the first chunk is there already
        finally:
            await stream.aclose()

    with pytest.raises(TypeError, match="iterate it with `async for`"):
        asyncio.run(main())


def test_a_sync_stream_cannot_be_iterated_in_async(kernel):
    """It belongs to the portal's loop, and says so."""

    async def main():
        with kernel.completion("echo/m", ASK, stream=True) as stream:
            async for _ in stream:
                pass

    with pytest.raises(TypeError, match="with a plain `for`"):
        asyncio.run(main())


def test_a_reader_that_runs_ahead_waits(echoing, whole):
    """A slow taker does not fill the memory: the reader stops at its limit, and nothing is lost."""
    chunks = [c for _ in range(400) for c in unfold(whole("a"))]
    echo = echoing(*chunks)
    stream = Kernel.of(echo).completion("echo/m", ASK, stream=True)
    first = next(stream)
    assert stream._pump._room.waiting <= stream._pump._room.ahead
    assert len([first, *stream]) == sum(bool(chunk.choices) for chunk in chunks)


def test_a_forgotten_stream_is_closed(echoing, whole):
    """Dropping the last reference stops the reader."""
    import gc

    echo = echoing(*[c for _ in range(400) for c in unfold(whole("a"))])
    stream = Kernel.of(echo).completion("echo/m", ASK, stream=True)
    next(stream)
    del stream
    gc.collect()
    _portal.run(_turns(5))
    assert echo.closed == 1


async def _turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
def test_a_forked_child_can_call(kernel):
    """The child has no portal thread and makes one."""
    kernel.completion("echo/m", ASK)
    code = "ok" if _in_child(lambda: kernel.completion("echo/m", ASK).text == "hi") else "no"
    assert code == "ok"
    assert kernel.completion("echo/m", ASK).text == "hi"


FORKED = """
import os, signal, sys
import scillm_echo_of_tests as tests
call = tests.call
stream = tests.stream()
next(stream)
pid = os.fork()
if pid == 0:
    signal.alarm(10)
    stream.close()
    sys.exit(0)
signal.alarm(20)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
stream.close()
print(code, call())
"""
CALLS = """
from scillm import Chunk, Kernel, Request, Response, Route, hookimpl
class Echo:
    __name__ = "echo"
    @hookimpl
    def resolve_model(self): return Route(provider="p", model="m")
    @hookimpl
    def prepare_request(self, route, call):
        frames = "sse" if call.stream else "json"
        return Request(route=route, url="x:", read=lambda f: (), frames=frames)
    @hookimpl
    def send(self): return self._send
    async def _send(self, request):
        import asyncio
        await asyncio.sleep(0.01)
        if request.frames == "sse":
            for _ in range(1000):
                yield Chunk({"choices": [{"index": 0, "delta": {}}]})
        yield Response({"choices": [{"index": 0, "message": {"content": "hi"}}]})
kernel = Kernel.of(Echo())
def call(): return kernel.completion("p/m", [{"role": "user", "content": "x"}]).text
def stream(): return kernel.completion("p/m", [{"role": "user", "content": "x"}], stream=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
def test_a_forked_child_that_just_ends_leaves_its_parent_alone(tmp_path):
    """What it inherited is not closed under its parent, nor waited for."""
    (tmp_path / "scillm_echo_of_tests.py").write_text(CALLS)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=40, env=environment
    )
    assert run.stdout.strip() == "0 hi"


def _in_child(work):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of any fork with threads
        pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


INTERRUPTED = """
import asyncio, os, signal, threading
from scillm import Kernel, Request, Route, hookimpl
closed = threading.Event()
class Slow:
    __name__ = "slow"
    @hookimpl
    def resolve_model(self): return Route(provider="p", model="m")
    @hookimpl
    def prepare_request(self, route): return Request(route=route, url="x:", read=lambda f: ())
    @hookimpl
    def send(self): return self._send
    async def _send(self, request):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
            yield
        finally:
            closed.set()
try:
    Kernel.of(Slow()).completion("p/m", [{"role": "user", "content": "x"}], stream=STREAM)
except KeyboardInterrupt:
    print("interrupted", closed.wait(5))
"""


@pytest.mark.parametrize("stream", ["False", "True"])
def test_ctrl_c_cancels_the_call(stream):
    """The caller gets KeyboardInterrupt, and the sender is closed."""
    code = INTERRUPTED.replace("STREAM", stream)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert run.stdout.strip() == "interrupted True"


ENDING = """
import asyncio
from scillm import Kernel, Request, Route, hookimpl
class Slow:
    __name__ = "slow"
    @hookimpl
    def resolve_model(self): return Route(provider="p", model="m")
    @hookimpl
    def prepare_request(self, route): return Request(route=route, url="x:", read=lambda f: ())
    @hookimpl
    def send(self): return self._send
    async def _send(self, request):
        from scillm import Chunk
        try:
            for _ in range(1000):
                yield Chunk({"choices": [{"index": 0, "delta": {}}]})
            await asyncio.Event().wait()
        finally:
            print("closed", flush=True)
stream = Kernel.of(Slow()).completion("p/m", [{"role": "user", "content": "x"}], stream=True)
next(stream)
"""


def test_the_end_of_the_process_closes_what_is_open():
    """A script that just ends leaves no connection to the garbage collector, and no warning."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", ENDING], capture_output=True, text=True, timeout=30
    )
    assert (run.stdout.strip(), run.stderr.strip(), run.returncode) == ("closed", "", 0)


def test_context_variables_reach_the_call(echoing):
    """Tracing relies on them."""
    from contextvars import ContextVar

    seen, mark = [], ContextVar("mark", default="none")

    class Sees(echoing):
        async def _send(self, request):
            seen.append(mark.get())
            async for event in super()._send(request):
                yield event

    kernel = Kernel.of(Sees())
    mark.set("mine")
    kernel.completion("echo/m", ASK)
    list(kernel.completion("echo/m", ASK, stream=True))
    assert seen == ["mine", "mine"]


def test_a_sender_that_wants_to_exit_does_not_stop_the_portal(echoing, whole):
    """The helper thread survives it; who waited gets the error, and the next call its answer."""

    class Leaves(echoing):
        async def _send(self, request):
            if request.body["messages"][-1]["content"] == "leave":
                raise SystemExit(3)
            async for event in super()._send(request):
                yield event

    kernel = Kernel.of(Leaves())
    with pytest.raises(SystemExit):
        kernel.completion("echo/m", [{"role": "user", "content": "leave"}], stream=True)
    stream = kernel.completion("echo/m", ASK, stream=True)
    assert "".join(chunk.text for chunk in stream) == "hi"


def test_an_abandoned_stream_is_closed_without_another_call(echoing, whole):
    """Its connection must not stay open until somebody calls again."""
    import gc
    import time

    echo = echoing(*[c for _ in range(400) for c in unfold(whole("a"))])
    stream = Kernel.of(echo).completion("echo/m", ASK, stream=True)
    next(stream)
    del stream
    gc.collect()
    end = time.monotonic() + 5
    while not echo.closed and time.monotonic() < end:
        threading.Event().wait(0.01)
    assert echo.closed == 1

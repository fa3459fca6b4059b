"""What every HTTP transport must do, tried against a real server that misbehaves on demand."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from pytest_scillm.conformance.openai_probe import KEY, OpenaiProbe
from pytest_scillm.conformance.suite import Suite
from scillm import (
    APIConnectionError,
    APIError,
    BadRequestError,
    InvalidResponse,
    Kernel,
    Timeout,
    Timeouts,
)

if TYPE_CHECKING:
    from pytest_scillm.endpoint import Endpoint

ASK = [{"role": "user", "content": "hi"}]
_BROKEN = (APIConnectionError, InvalidResponse)


class TransportConformance(Suite):
    """Inherit, fill in the attribute, run pytest.

    Attributes:
        plugin: The transport's class; a fresh instance is made for each test.
        can_fork: Whether a forked child may use the transport that its parent has used.
    """

    plugin: ClassVar[Any]
    can_fork: ClassVar[bool] = True

    @pytest.fixture
    def kernel(self) -> Iterator[Kernel]:
        """A kernel of the transport and a probe."""
        with Kernel.of(self.plugin(), OpenaiProbe()) as kernel:
            yield kernel

    @pytest.fixture
    def ask(self, kernel: Kernel, endpoint: Endpoint) -> Callable[..., Any]:
        """Ask the endpoint, with options of its URL."""

        def ask(options: str = "", **more: Any) -> Any:
            arguments = {"api_base": endpoint.url(options), "timeout": 10, **more}
            return kernel.completion("probe/m", ASK, **arguments)

        return ask

    # -- answers ---------------------------------------------------------------------------

    def test_a_whole_answer(self, ask: Callable[..., Any]) -> None:
        """It arrives, and the connection is used again."""
        assert ask().text.startswith("The quick brown fox")
        assert ask("echo").text == "hi"

    def test_a_stream_arrives_in_pieces(self, ask: Callable[..., Any]) -> None:
        """Each event by itself, in order, up to the end mark."""
        stream = ask("n50-gap0", stream=True)
        texts = [chunk.text for chunk in stream if chunk.text]
        assert len(texts) == 50
        assert stream.response.text == "".join(texts)
        assert stream.response.choices[0].finish_reason == "stop"

    def test_what_is_sent(self, ask: Callable[..., Any], endpoint: Endpoint) -> None:
        """Method, body and headers arrive as the request says; the key is revealed only here."""
        ask(extra_headers={"x-trace": "t1"})
        sent = endpoint.requests[-1]
        assert (sent.method, sent.json["messages"]) == ("POST", ASK)
        assert sent.headers["authorization"] == f"Bearer {KEY}"
        assert sent.headers["x-trace"] == "t1"
        assert sent.headers["content-type"] == "application/json"

    def test_a_connection_is_used_again(self, ask: Callable[..., Any], endpoint: Endpoint) -> None:
        """Twenty calls in a row need one connection, streams included."""
        ask()
        before = endpoint.connections
        for _ in range(10):
            ask()
            list(ask(stream=True))
        assert endpoint.connections - before <= 1

    def test_many_calls_at_a_time(self, kernel: Kernel, endpoint: Endpoint) -> None:
        """More than a hundred wait together, and each gets its answer."""

        async def main() -> float:
            loop = asyncio.get_running_loop()
            begin = loop.time()
            base = endpoint.url("lat200-echo")
            await asyncio.gather(*(one(base, n) for n in range(256)))
            return loop.time() - begin

        async def one(base: str, n: int) -> None:
            messages = [{"role": "user", "content": str(n)}]
            answer = await kernel.acompletion("probe/m", messages, api_base=base)
            assert answer.text == str(n)

        assert asyncio.run(main()) < 5

    def test_separators_that_are_none(self, ask: Callable[..., Any]) -> None:
        """U+2028, U+0085, comments, CRLF and CR, and characters cut in two do no harm."""
        stream = ask("u2028", stream=True)
        list(stream)
        text = stream.response.text
        assert {"\u2028", "\u2029", "\u0085"} <= set(text)
        assert "\ufffd" not in text

    # -- failures --------------------------------------------------------------------------

    @pytest.mark.parametrize("is_stream", [False, True])
    @pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
    def test_a_status_is_an_error(
        self, ask: Callable[..., Any], status: int, is_stream: bool
    ) -> None:
        """With the body's words and the wait that the server asks for; no piece comes before it."""
        with pytest.raises(APIError, match=f"{status}") as info:
            ask(f"s{status}-ra3", stream=is_stream)
        assert info.value.status_code == status
        assert info.value.failure.retry_after_s == 3.0

    @pytest.mark.parametrize("is_stream", [False, True])
    @pytest.mark.parametrize("step", ["drop", "trunc", "mid"])
    def test_a_broken_exchange_is_an_error(
        self, ask: Callable[..., Any], step: str, is_stream: bool
    ) -> None:
        """A truncated answer is never taken for a whole one."""
        with pytest.raises(_BROKEN):
            list(ask(step, stream=is_stream))

    def test_a_stream_that_breaks_hands_over_what_had_come(self, ask: Callable[..., Any]) -> None:
        """The pieces are in the error."""
        with pytest.raises(_BROKEN) as info:
            list(ask("mid-gap0", stream=True))
        assert info.value.partial is not None
        assert info.value.partial.choices[0].message.content

    @pytest.mark.parametrize(
        ("options", "is_stream"),
        [
            ("bad", False),
            ("html", False),
            ("html", True),
            ("empty", False),
            ("empty", True),
            ("badutf8", False),
            ("badutf8", True),
            ("nan", False),
            ("nan", True),
            ("cutsse", False),
            ("cutsse", True),
            ("wrongtype", True),
        ],
    )
    def test_what_is_no_answer_is_an_invalid_response(
        self, ask: Callable[..., Any], options: str, is_stream: bool
    ) -> None:
        """Malformed, of another type, or short of its end."""
        with pytest.raises(InvalidResponse):
            list(ask(options, stream=is_stream))

    def test_a_stream_without_end_mark_but_with_a_finish_is_whole(
        self, ask: Callable[..., Any]
    ) -> None:
        """Also when its last event has no blank line behind it."""
        stream = ask("nodone", stream=True)
        list(stream)
        assert stream.response.choices[0].finish_reason == "stop"

    def test_an_error_inside_a_stream_is_raised(self, ask: Callable[..., Any]) -> None:
        """After the pieces that came before it."""
        stream, seen = ask("errsse", stream=True), list[str]()
        with pytest.raises(APIError) as info:
            seen.extend(chunk.text for chunk in stream)
        assert info.value.partial is not None

    @pytest.mark.parametrize("is_stream", [False, True])
    def test_a_huge_answer_is_bounded(self, ask: Callable[..., Any], is_stream: bool) -> None:
        """It is refused when it passes the limit, not when the memory is full."""
        with pytest.raises(InvalidResponse, match="longer than 1000000 bytes"):
            list(ask("huge", stream=is_stream))

    # -- deadlines -------------------------------------------------------------------------

    @pytest.mark.parametrize("is_stream", [False, True])
    def test_silence_is_a_timeout(self, ask: Callable[..., Any], is_stream: bool) -> None:
        """Nobody waits longer than asked to."""
        with pytest.raises(Timeout):
            ask("hang", stream=is_stream, timeout=0.3)

    def test_a_slow_body_is_a_timeout(self, ask: Callable[..., Any]) -> None:
        """Headers in time do not make a whole answer in time."""
        with pytest.raises(Timeout, match="within 0.3 s"):
            ask("slow", timeout=0.3)

    def test_a_long_stream_is_no_timeout(self, ask: Callable[..., Any]) -> None:
        """A stream is bounded between its pieces, not as a whole."""
        stream = ask("n20-gap50", stream=True, timeout=0.6)
        assert len([chunk for chunk in stream if chunk.text]) == 20

    def test_an_address_that_swallows_connections(self, ask: Callable[..., Any]) -> None:
        """The connect deadline holds."""
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            waiting = [socket.socket() for _ in range(4)]
            for client in waiting:
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", port))
            with pytest.raises(Timeout):
                ask(
                    api_base=f"http://127.0.0.1:{port}/v1",
                    timeout=Timeouts(total_s=2, connect_s=0.3),
                )
            for client in waiting:
                client.close()

    def test_an_address_where_nobody_listens(self, ask: Callable[..., Any]) -> None:
        """Named in the message."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with pytest.raises(APIConnectionError, match=f"127.0.0.1:{port}"):
            ask(api_base=f"http://127.0.0.1:{port}/v1")

    # -- trust -----------------------------------------------------------------------------

    @pytest.mark.parametrize("is_stream", [False, True])
    def test_a_redirect_to_another_host_is_refused(
        self, ask: Callable[..., Any], endpoint: Endpoint, is_stream: bool
    ) -> None:
        """A key is not carried elsewhere unasked; the message names the other host."""
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            other.settimeout(0.2)
            host = f"127.0.0.1:{other.getsockname()[1]}"
            with pytest.raises(
                BadRequestError, match=f"redirects .*{host}.*a key and the messages"
            ):
                ask(f"redir307.{host}", stream=is_stream)
            with pytest.raises(TimeoutError):
                other.accept()

    def test_a_redirect_on_the_same_host_is_followed(self, ask: Callable[..., Any]) -> None:
        """With method and body."""
        assert ask("redir307").text.startswith("The quick")

    def test_a_header_cannot_smuggle_another(self, ask: Callable[..., Any]) -> None:
        """A line break in a key is refused before it is sent, and not shown."""
        with pytest.raises(BadRequestError, match="not a single line") as info:
            ask(extra_headers={"authorization": "Bearer a\r\nx-evil: 1"})
        assert "evil" not in str(info.value)

    def test_a_key_stands_in_no_error(self, ask: Callable[..., Any]) -> None:
        """Not even when the server says it back."""
        with pytest.raises(APIError) as info:
            ask("leak")
        told = [str(info.value), repr(info.value.failure), str(info.value.__cause__)]
        assert KEY not in "".join(told)

    def test_an_unknown_certificate_is_refused(
        self, ask: Callable[..., Any], tls_endpoint: Endpoint
    ) -> None:
        """TLS is checked unless it is asked not to be."""
        with pytest.raises(APIConnectionError, match="(?i)certificate"):
            ask(api_base=tls_endpoint.url())
        assert ask(api_base=tls_endpoint.url("echo"), ssl_verify=tls_endpoint.ca_path).text == "hi"
        assert ask(api_base=tls_endpoint.url("echo"), ssl_verify=False).text == "hi"
        with pytest.raises(BadRequestError, match="no readable bundle"):
            ask(api_base=tls_endpoint.url(), ssl_verify="nowhere.pem")

    def test_a_proxy_is_used(
        self, ask: Callable[..., Any], endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By argument, and from the environment unless NO_PROXY names the host."""
        proxy = endpoint.origin
        assert ask(api_base="http://upstream.invalid/v1", proxy=proxy).text.startswith("The")
        assert "upstream.invalid" in endpoint.requests[-1].path
        monkeypatch.setenv("SCILLM_PROXY", proxy)
        _forget_environment()
        assert ask(api_base="http://upstream.invalid/v1").text.startswith("The")
        monkeypatch.delenv("SCILLM_PROXY")
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        _forget_environment()
        assert ask(api_base="http://upstream.invalid/v1").text.startswith("The")
        assert ask("echo").text == "hi"
        assert "invalid" not in endpoint.requests[-1].path
        monkeypatch.undo()
        _forget_environment()

    def test_a_proxy_of_another_kind_is_refused(self, ask: Callable[..., Any]) -> None:
        """And its password is not shown."""
        with pytest.raises(BadRequestError, match="not an address of an HTTP proxy") as info:
            ask(proxy="socks5://user:secret@127.0.0.1:1")
        assert "secret" not in str(info.value)

    # -- loops, threads, processes ---------------------------------------------------------

    def test_one_kernel_over_several_loops(self, kernel: Kernel, endpoint: Endpoint) -> None:
        """Repeated ``asyncio.run``, without leftovers that warn."""
        base = endpoint.url("echo")

        async def main() -> str:
            answers = await asyncio.gather(
                *(kernel.acompletion("probe/m", ASK, api_base=base) for _ in range(3))
            )
            return "".join(answer.text for answer in answers)

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert [asyncio.run(main()) for _ in range(3)] == ["hihihi"] * 3
            gc.collect()

    def test_one_kernel_in_several_threads(self, kernel: Kernel, endpoint: Endpoint) -> None:
        """Each with a loop of its own, and sync calls beside them."""
        base, said = endpoint.url("echo"), []

        async def main() -> None:
            for _ in range(5):
                answer = await kernel.acompletion("probe/m", ASK, api_base=base)
                said.append(answer.text)

        def sync() -> None:
            said.extend(kernel.completion("probe/m", ASK, api_base=base).text for _ in range(5))

        threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(4)]
        threads += [threading.Thread(target=sync) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert said == ["hi"] * 40

    def test_a_loop_that_was_closed_is_forgotten(self, kernel: Kernel, endpoint: Endpoint) -> None:
        """The next loop gets connections of its own."""
        base = endpoint.url("echo")
        for _ in range(2):
            loop = asyncio.new_event_loop()
            call = kernel.acompletion("probe/m", ASK, api_base=base)
            assert loop.run_until_complete(call).text == "hi"
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def test_a_closed_kernel_can_be_used_again(
        self, kernel: Kernel, ask: Callable[..., Any]
    ) -> None:
        """``close`` gives back connections; the next call opens new ones."""
        ask()
        kernel.close()
        assert ask("echo").text == "hi"

    def test_a_kernel_can_be_closed_inside_a_loop(self, kernel: Kernel, endpoint: Endpoint) -> None:
        """The sync ``close`` does not wait for the loop that waits for it."""
        base = endpoint.url("echo")

        async def main() -> None:
            assert (await kernel.acompletion("probe/m", ASK, api_base=base)).text == "hi"
            kernel.close()
            await asyncio.sleep(0.05)

        asyncio.run(main())
        assert kernel.completion("probe/m", ASK, api_base=base).text == "hi"

    def test_a_cancelled_call_leaves_nothing(self, kernel: Kernel, endpoint: Endpoint) -> None:
        """Its connection is dropped, and the next call is not disturbed."""

        async def main() -> None:
            hanging = kernel.acompletion("probe/m", ASK, api_base=endpoint.url("hang"))
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(hanging, 0.2)
            answer = await kernel.acompletion("probe/m", ASK, api_base=endpoint.url("echo"))
            assert answer.text == "hi"

        asyncio.run(main())

    def test_an_endless_stream_can_be_left(self, kernel: Kernel, endpoint: Endpoint) -> None:
        """The server sees the connection close."""

        async def main() -> None:
            stream = await kernel.acompletion(
                "probe/m", ASK, api_base=endpoint.url("endless"), stream=True
            )
            seen = 0
            async for _ in stream:
                seen += 1
                if seen == 20:
                    break
            await stream.aclose()

        before = endpoint.open_connections
        asyncio.run(main())
        assert endpoint.wait_until(lambda seen: seen.open_connections <= before)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
    def test_a_forked_child_can_call(self, kernel: Kernel, endpoint: Endpoint) -> None:
        """And the parent's connections live on."""
        if not self.can_fork:
            pytest.xfail("the client library keeps threads that a fork does not copy")
        base = endpoint.url("echo")
        assert kernel.completion("probe/m", ASK, api_base=base).text == "hi"
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # 3.12 warns of any fork with threads
            pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            try:
                answer = kernel.completion("probe/m", ASK, api_base=base)
                os._exit(0 if answer.text == "hi" else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert kernel.completion("probe/m", ASK, api_base=base).text == "hi"


def _forget_environment() -> None:
    """Let the next call read proxies anew: what transports share reads them once a second."""
    if shared := sys.modules.get("scillm_transport.connection"):
        shared.reread_environment()

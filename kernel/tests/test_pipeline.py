"""One call, from question to answer."""

import asyncio

import pytest
from attrs import evolve

import scillm
from scillm import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    BadRequestError,
    Failure,
    FailureKind,
    InvalidResponse,
    Kernel,
    PluginError,
    RateLimitError,
    Request,
    Response,
    Route,
    ServiceUnavailableError,
    Timeout,
    UnknownModelError,
    hookimpl,
    unfold,
)
from scillm.errors import StatusError

ASK = [{"role": "user", "content": "hi"}]


def test_a_call_is_answered_whole(kernel):
    """Resolve, prepare, send, fold; and the answer says who gave it."""
    response = kernel.completion("echo/m", ASK)
    assert (response.text, response.served_by) == (
        "hi",
        Route(provider="echo", model="m", base_url="echo:"),
    )


def test_async_and_sync_give_the_same(kernel):
    """Two doors, one house."""
    assert asyncio.run(kernel.acompletion("echo/m", ASK)) == kernel.completion("echo/m", ASK)


def test_a_stream_of_a_whole_answer_is_cut(kernel, whole):
    """A provider that does not stream can be asked for a stream."""
    stream = kernel.completion("echo/m", ASK, stream=True)
    assert "".join(chunk.text for chunk in stream) == "hi"
    assert stream.response == whole("hi")


def test_chunks_fold_to_a_whole_answer(echoing, whole):
    """A provider that only streams can be asked for a whole answer."""
    kernel = Kernel.of(echoing(*unfold(whole("abc"))))
    assert kernel.completion("echo/m", ASK).to_dict() == whole("abc").to_dict()


def test_an_async_stream_has_aclose_and_a_final_response(kernel):
    """As the quickstart uses it."""

    async def main():
        stream = await kernel.acompletion("echo/m", ASK, stream=True)
        seen = [chunk.text async for chunk in stream]
        await stream.aclose()
        return seen, stream.response.text

    assert asyncio.run(main()) == (["hi", ""], "hi")


def test_a_chunk_without_choices_is_folded_and_not_handed_on(kernel, whole):
    """``chunk.choices[0]`` is safe, as nobody asked for the chunk that has only the usage."""
    stream = kernel.completion("echo/m", ASK, stream=True)
    assert [chunk.choices[0].delta.content for chunk in stream] == ["hi", None]
    assert stream.response.usage == whole().usage


def test_a_caller_who_sets_stream_options_gets_every_chunk(kernel):
    """As OpenAI's own client gives them."""
    options = {"include_usage": True}
    *_, last = kernel.completion("echo/m", ASK, stream=True, stream_options=options)
    assert (last.choices, last.usage.total_tokens) == ((), 3)


@pytest.mark.parametrize("leave", ["aclose", "with"])
def test_leaving_a_stream_early_closes_the_sender(echoing, whole, leave):
    """Walking away gives the connection back at once; ``response`` says that it is not whole."""
    echo = echoing(*unfold(whole("abc")))
    kernel = Kernel.of(echo)

    async def main():
        stream = await kernel.acompletion("echo/m", ASK, stream=True)
        if leave == "with":
            async with stream:
                async for _ in stream:
                    break
        else:
            await stream.aclose()
        assert echo.closed == 1
        with pytest.raises(RuntimeError, match="has not ended"):
            _ = stream.response
        assert stream.partial.choices[0].message.content == "abc"

    asyncio.run(main())


def test_leaving_a_sync_stream_early_closes_the_sender(echoing, whole):
    """Also behind the sync door, whose reader runs ahead."""
    echo = echoing(*[c for _ in range(200) for c in unfold(whole("abc"))])
    with Kernel.of(echo).completion("echo/m", ASK, stream=True) as stream:
        next(stream)
    assert echo.closed == 1
    with pytest.raises(StopIteration):
        next(stream)


def test_an_error_before_the_first_chunk_is_raised_by_the_call(echoing):
    """So that a fallback can act: nothing was handed over."""

    class Broken(echoing):
        async def _send(self, request):
            raise StatusError(429, "", {"Retry-After": "3"})
            yield

    kernel = Kernel.of(Broken())
    with pytest.raises(RateLimitError) as info:
        kernel.completion("echo/m", ASK, stream=True)
    assert info.value.failure.retry_after_s == 3.0

    async def main():
        with pytest.raises(RateLimitError):
            await kernel.acompletion("echo/m", ASK, stream=True)

    asyncio.run(main())


def test_an_error_inside_a_stream_carries_what_had_come(echoing, whole):
    """The pieces are not lost with the connection."""
    head = list(unfold(whole("abc")))[:1]
    kernel = Kernel.of(echoing(*head, error=ConnectionError("cut")))
    stream = kernel.completion("echo/m", ASK, stream=True)
    assert next(stream).text == "abc"
    with pytest.raises(APIConnectionError, match="echo/m: cut") as info:
        next(stream)
    assert info.value.partial.choices[0].message.content == "abc"


@pytest.mark.parametrize(
    ("raised", "error", "text"),
    [
        (
            StatusError(400, '{"error": {"message": "bad", "code": "context_length_exceeded"}}'),
            scillm.ContextWindowExceededError,
            "status 400 from echo:: bad",
        ),
        (
            StatusError(400, '{"error": {"message": "no", "code": "content_filter"}}'),
            scillm.ContentPolicyViolationError,
            "no",
        ),
        (StatusError(404, "plain text"), scillm.NotFoundError, "plain text"),
        (StatusError(418, ""), BadRequestError, "status 418"),
        (StatusError(599, "[1]"), scillm.InternalServerError, "[1]"),
        (StatusError(503, '{"detail": "loading"}'), scillm.ServiceUnavailableError, "loading"),
        (TimeoutError("late"), Timeout, "late"),
        (ConnectionRefusedError("refused"), APIConnectionError, "refused"),
        (InvalidResponse("odd"), InvalidResponse, "echo/m: odd"),
        (KeyError("x"), PluginError, "KeyError: 'x'"),
    ],
)
def test_what_a_sender_raises_gets_a_name(echoing, raised, error, text):
    """Every error of the edge becomes one below APIError, with provider and model."""
    with pytest.raises(error) as info:
        Kernel.of(echoing(error=raised)).completion("echo/m", ASK)
    assert type(info.value) is error
    assert text in str(info.value)
    assert (info.value.llm_provider, info.value.model) == ("echo", "m")


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"Retry-After-Ms": "50"}, 0.05),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "inf"}, None),
        ({"retry-after-ms": "nan"}, None),
        ({}, None),
    ],
)
def test_the_wait_is_read_in_all_its_forms(echoing, headers, wait):
    """Seconds, milliseconds, a date; nonsense is no wait."""
    with pytest.raises(RateLimitError) as info:
        Kernel.of(echoing(error=StatusError(429, "", headers))).completion("echo/m", ASK)
    assert info.value.failure.retry_after_s == wait


def test_a_plugin_may_name_an_error_better(echoing):
    """classify_error is asked before the kernel's own answer."""

    class Knows:
        __name__ = "knows"

        @hookimpl
        def classify_error(self, error):
            if isinstance(error, StatusError) and "capacity" in error.text:
                return Failure(
                    kind=FailureKind.RATE_LIMIT, detail="no capacity", status=error.status
                )
            return None

    kernel = Kernel.of(echoing(error=StatusError(500, "at capacity")), Knows())
    with pytest.raises(RateLimitError, match="no capacity"):
        kernel.completion("echo/m", ASK)


def test_an_error_that_has_a_name_keeps_it(echoing):
    """A kernel inside a kernel names an error once."""
    inner = RateLimitError("inner", llm_provider="deep", model="d")
    with pytest.raises(RateLimitError) as info:
        Kernel.of(echoing(error=inner)).completion("echo/m", ASK)
    assert info.value is inner


def test_a_wrapper_changes_the_answer(echo):
    """post_process is called once, on the whole, also for a stream."""

    class Shout:
        __name__ = "shout"

        @hookimpl(wrapper=True)
        def post_process(self):
            response = yield
            return response.with_notes("shout", {"text": response.text.upper()})

    kernel = Kernel.of(echo, Shout())
    assert kernel.completion("echo/m", ASK).additional_kwargs["shout"]["text"] == "HI"
    stream = kernel.completion("echo/m", ASK, stream=True)
    list(stream)
    assert stream.response.additional_kwargs["shout"]["text"] == "HI"


def test_nobody_answers(kernel, echo):
    """The message names who was wanted, and the nearest provider, or those that are here."""
    with pytest.raises(
        UnknownModelError, match=r"for the provider 'ecco'\. did you mean 'echo/...'\?"
    ):
        kernel.completion("ecco/m", ASK)
    with pytest.raises(UnknownModelError, match="'nobody'. providers here: echo; `scillm plugins`"):
        kernel.models("nobody")
    with pytest.raises(UnknownModelError, match="providers here: none"):
        Kernel.of().completion("x/y", ASK)


def test_a_bare_model_is_told_how_to_name_its_provider(kernel):
    """Without a provider and an address nobody can know whom to ask."""
    with pytest.raises(UnknownModelError, match=r"write 'provider/gpt-4o', or give.*api_base="):
        kernel.completion("gpt-4o", ASK)


def test_many_providers_are_counted_not_listed(echo):
    """A list of two dozen names is no help."""
    echo.PROVIDERS = tuple(f"p{n}" for n in range(20))
    with pytest.raises(UnknownModelError, match="providers here: 20; `scillm plugins` lists them"):
        Kernel.of(echo).completion("quite-else/m", ASK)


def test_no_transport(echoing):
    """A request that nobody carries says where it wanted to go."""

    class Mute(echoing):
        @hookimpl
        def send(self, request):
            return None

    with pytest.raises(
        UnknownModelError,
        match="no active plugin carries requests to 'echo:': install a transport. `scillm plugins`",
    ):
        Kernel.of(Mute()).completion("echo/m", ASK)


def test_a_plugin_that_breaks_the_rules_is_named(echo):
    """A wrong type or an exception inside a hook is a PluginError, not the kernel's traceback."""

    class Wrong:
        __name__ = "wrong"
        ORDER = 1

        @hookimpl
        def resolve_model(self, call):
            if call.model == "boom":
                raise KeyError("x")
            return {"provider": "p"}

    kernel = Kernel.of(echo, Wrong())
    with pytest.raises(
        PluginError, match="plugin 'wrong' answered resolve_model with .* which is no Route"
    ):
        kernel.completion("echo/m", ASK)
    with pytest.raises(PluginError, match="failed in resolve_model: KeyError"):
        kernel.completion("boom", ASK)


def test_a_wrapper_that_breaks_the_rules_is_not_blamed_on_another(echo):
    """What no plugin answers by itself, a wrapper made of it."""

    class Bending:
        @hookimpl(wrapper=True)
        def resolve_model(self):
            yield
            return "mine"

    with pytest.raises(PluginError, match="a wrapper answered resolve_model with 'mine'"):
        Kernel.of(echo, Bending()).completion("echo/m", ASK)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_event_is_told_as_such(echoing, whole, stream, place):
    """A Sender that yields a dict, first or later, whole or streamed."""
    events = [*unfold(whole("a"))][:1]
    events.insert(place, {"text": "hi"})
    with pytest.raises(PluginError, match=r"yielded \{'text': 'hi'\}, which is no event"):
        list(Kernel.of(echoing(*events)).completion("echo/m", ASK, stream=stream))


def test_a_sender_that_is_a_coroutine_is_told_as_such(echoing):
    """``async def`` without ``yield`` is an easy mistake."""

    class Whole(echoing):
        async def _send(self, request):
            return [request]

    with pytest.raises(PluginError, match="its Sender returned <coroutine.*async generator funct"):
        Kernel.of(Whole()).completion("echo/m", ASK)


def test_an_error_of_a_hook_shows_no_frame_of_pluggy(echoing):
    """A missing key is the caller's business, and pluggy's inside is not."""
    import traceback

    class Locked(echoing):
        @hookimpl
        def prepare_request(self):
            raise AuthenticationError("no key")

    class Around:
        @hookimpl(wrapper=True)
        def prepare_request(self):
            return (yield)

    with pytest.raises(AuthenticationError) as info:
        Kernel.of(Locked(), Around()).completion("echo/m", ASK)
    frames = traceback.extract_tb(info.value.__traceback__)
    assert not [f for f in frames if "pluggy" in f.filename or "asyncio" in f.filename]
    assert len(frames) < 9
    assert frames[-1].name == "prepare_request"


def test_kernels_do_not_know_each_other(echoing, whole):
    """Two in one process may have different plugins, also at the same time."""
    one, other = Kernel.of(echoing(whole("1"))), Kernel.of(echoing(whole("2")))

    async def main():
        answers = await asyncio.gather(*(k.acompletion("echo/m", ASK) for k in (one, other) * 10))
        return [a.text for a in answers]

    assert asyncio.run(main()) == ["1", "2"] * 10


def test_closing_a_kernel_closes_its_plugins(echoing):
    """``aclose`` of every plugin is awaited, by the method or by leaving the block."""

    class Holds(echoing):
        shut = 0

        async def aclose(self):
            self.shut += 1

    holds = Holds()
    with Kernel.of(holds) as kernel:
        kernel.completion("echo/m", ASK)

    async def main():
        async with Kernel.of(holds):
            pass

    asyncio.run(main())
    assert holds.shut == 2


def test_a_cancelled_call_closes_the_sender(echoing):
    """Cancelling is not an error of the provider, and leaves nothing open."""

    class Slow(echoing):
        async def _send(self, request):
            try:
                await asyncio.Event().wait()
                yield
            finally:
                self.closed += 1

    slow = Slow()

    async def main():
        task = asyncio.ensure_future(Kernel.of(slow).acompletion("echo/m", ASK))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert slow.closed == 1

    asyncio.run(main())


def test_embeddings_and_model_lists_go_the_same_way(echoing):
    """One pipeline for all operations."""
    vectors = scillm.EmbeddingResponse(
        {"object": "list", "data": [{"index": 0, "embedding": [0.5]}], "model": "m"}
    )
    echo = echoing(vectors)
    kernel = Kernel.of(echo)
    assert kernel.embedding("echo/m", ["a"], dimensions=1).data[0].embedding == [0.5]
    assert echo.calls[0].operation == "embedding"
    assert echo.calls[0].params == {"input": ["a"], "dimensions": 1}
    names = scillm.ModelList({"object": "list", "data": [{"id": "a"}]})
    assert [m.id for m in Kernel.of(echoing(names)).models("echo").data] == ["a"]


def test_the_kernel_adds_little():
    """A request can be written without a body, and reads no environment."""
    request = Request(
        route=Route(provider="p", model="m"), url="x:", read=lambda f: (Response({}),)
    )
    assert request.encode() == b""
    assert list(request.events(b"")) == [Response({})]


class Breaking:
    """A strategy whose Sender has a bug."""

    __name__ = "breaking"
    ORDER = 300

    @hookimpl(wrapper=True)
    def send(self):
        inner = yield
        return inner and self._send

    async def _send(self, request):
        raise KeyError("x")
        yield


@pytest.mark.parametrize("stream", [False, True])
def test_a_bug_in_a_senders_strategy_names_the_plugin(echo, stream):
    """The caller sees a PluginError that says who, whatever was raised."""
    kernel = Kernel.of(Breaking(), echo)
    with pytest.raises(PluginError, match="the Sender of plugin .* failed: KeyError: 'x'"):
        kernel.completion("echo/m", ASK, stream=stream)


class Marking:
    """A strategy that notes its name on what passes."""

    def __init__(self, name, order):
        self.__name__, self.ORDER = name, order

    @hookimpl(wrapper=True)
    def send(self):
        inner = yield
        return inner and self._marked(inner)

    def _marked(self, inner):
        async def send(request):
            async for event in inner(request):
                yield event.with_notes(self.__name__, {"was": "here"})

        return send


class Doubting:
    """A strategy that also names errors."""

    __name__ = "doubting"
    ORDER = 300

    @hookimpl
    def classify_error(self):
        return Failure(kind=FailureKind.OVERLOADED, detail="by another name")


def test_beneath_leaves_out_what_lies_around(echoing, echo):
    """The same plugins; those at or outside the place do not wrap, and do all else."""
    outer, inner = Marking("outer", 350), Marking("inner", 400)
    response = Kernel.of(outer, inner, echo).beneath(350).completion("echo/m", ASK)
    assert dict(response.additional_kwargs) == {"inner": {"was": "here"}}
    assert len(echo.calls) == 1

    failing = echoing(error=OSError("x"))
    with pytest.raises(ServiceUnavailableError, match="by another name"):
        Kernel.of(Doubting(), failing).beneath(350).completion("echo/m", ASK)


def test_who_served_may_be_said_by_the_sender(echoing, whole):
    """A plugin that asks others passes on whom they name."""
    other = Route(provider="other", model="n")
    response = Kernel.of(echoing(whole().served(other))).completion("echo/m", ASK)
    assert response.served_by == other


def test_notes_of_several_plugins_are_all_kept_in_a_stream(echo):
    """Each may note on another chunk, or on the same; the whole has all of them."""
    stream = Kernel.of(Marking("a", 100), Marking("b", 200), echo).completion(
        "echo/m", ASK, stream=True
    )
    list(stream)
    assert stream.response.additional_kwargs == {"a": {"was": "here"}, "b": {"was": "here"}}
    assert stream.response._hidden_params == {"was": "here"}


def test_the_variable_timeout_bounds_a_call_that_names_none(kernel, echo, monkeypatch):
    """An argument wins over it; what is no time is refused by the same words."""
    monkeypatch.setenv("SCILLM_TIMEOUT", "7")
    kernel.completion("echo/m", ASK)
    kernel.completion("echo/m", ASK, timeout=3)
    assert [request.timeouts.total_s for request in echo.requests] == [7, 3]
    monkeypatch.setenv("SCILLM_TIMEOUT", "-1")
    with pytest.raises(BadRequestError, match="timeout=-1.0 is not a time"):
        kernel.completion("echo/m", ASK)


def test_a_plugin_that_fails_to_close_does_not_keep_the_others_open():
    """Each has its turn; the first error is told."""
    closed = []

    class Closing:
        def __init__(self, name, error=None):
            self.__name__, self.error = name, error

        async def aclose(self):
            closed.append(self.__name__)
            if self.error:
                raise self.error

    kernel = Kernel.of(Closing("a", OSError("stuck")), Closing("b", KeyError("x")), Closing("c"))
    with pytest.raises(OSError, match="stuck"):
        kernel.close()
    assert closed == ["a", "b", "c"]


def test_a_key_in_the_query_of_an_address_shows_in_no_message(echoing):
    """Some hosts want it there."""

    class Queried(type(echoing())):
        @hookimpl
        def prepare_request(self, call, route):
            return evolve(super().prepare_request(call, route), url="echo:?api-key=sk-in-address")

        @hookimpl
        def send(self):
            return self._send

    with pytest.raises(APIError, match=r"status 429 from echo:\?\*\*\*") as info:
        Kernel.of(Queried(error=StatusError(429))).completion("echo/m", ASK)
    assert "sk-in-address" not in repr(vars(info.value))


def test_the_cost_is_there_to_be_read_whether_or_not_anybody_told_it(echoing):
    """None is not known, and no field of its own."""
    with Kernel.of(echoing()) as kernel:
        answer = kernel.completion("echo/m", ASK)
    assert answer.cost is None
    assert "cost" not in answer.model_dump()
    assert answer.evolve(cost=0.5).cost == 0.5


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_without_any_event_is_no_answer(echoing, stream):
    """It would look like an empty text; a retry may ask again."""

    class Silent(type(echoing())):
        async def _send(self, request):
            for event in ():
                yield event

    with pytest.raises(InvalidResponse, match="echo/m: the answer holds nothing"):
        Kernel.of(Silent()).completion("echo/m", ASK, stream=stream)

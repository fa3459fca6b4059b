"""One span for each call, from the moment it is made to its end."""

import asyncio
import threading

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

import scillm_openai_like
from scillm import (
    AuthenticationError,
    Chunk,
    Kernel,
    RateLimitError,
    Request,
    Response,
    Route,
    UnknownModelError,
    hookimpl,
)
from scillm_cache import Caching
from scillm_hedge import Hedge
from scillm_http import Http
from scillm_retry import Retry
from scillm_router import Router

ASK = [{"role": "user", "content": "hi"}]


def test_a_call_is_one_client_span_by_the_conventions(ask, wire, seen):
    """Name, kind, who was asked for what, who answered, and what it took."""
    details = {"cached_tokens": 40, "cache_write_tokens": 5}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    usage |= {"prompt_tokens_details": details}
    usage |= {"completion_tokens_details": {"reasoning_tokens": 7}}
    wire.whole(usage=usage)
    ask(otel=True, temperature=0, max_tokens=9, stop="x", seed=3, n=2, extra_body={"top_k": 5})

    span = seen.span
    assert (span.name, span.kind) == ("chat gpt-4o-mini", SpanKind.CLIENT)
    assert span.status.status_code is StatusCode.UNSET
    told = dict(span.attributes)
    assert told.pop("scillm.cost_usd") > 0
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.stop_sequences": ("x",),
        "gen_ai.request.seed": 3,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.top_k": 5.0,
        "gen_ai.response.id": "c-1",
        "gen_ai.response.model": "gpt-4o-mini-x",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.cache_creation.input_tokens": 5,
        "gen_ai.usage.reasoning.output_tokens": 7,
        "server.address": "api.openai.com",
        "server.port": 443,
        "scillm.result": "ok",
        "scillm.retries": 0,
        "scillm.cost_source": "genai-prices",
    }


def test_what_a_sampler_decides_on_is_there_at_the_start(wire, seen):
    """Operation, provider, model and server are given when the span is made."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    asked = []

    class Sampler(type(ALWAYS_OFF)):
        def should_sample(self, parent, trace_id, name, kind=None, attributes=None, *rest, **more):
            asked.append(dict(attributes))
            return super().should_sample(parent, trace_id, name, kind, attributes, *rest, **more)

    seen.tracer_provider.sampler = Sampler(ALWAYS_OFF._decision)
    kernel = Kernel.of(wire.whole(), scillm_openai_like, seen.plugin())
    kernel.completion("openai/m", ASK, api_key="k", otel=True)
    assert asked == [
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "m",
            "server.address": "api.openai.com",
            "server.port": 443,
        }
    ]
    assert not seen.spans


def test_nothing_is_told_unless_asked(ask, wire, seen):
    """Off by default, and off for a call that says so."""
    wire.whole()
    ask()
    ask(otel=False)
    assert not seen.spans


def test_a_variable_switches_spans_on_and_a_call_off(ask, wire, seen, monkeypatch):
    """SCILLM_OTEL=1 holds for all calls but those that say otherwise."""
    monkeypatch.setenv("SCILLM_OTEL", "1")
    wire.whole()
    ask()
    ask(otel=False)
    assert len(seen.spans) == 1


def test_a_stream_is_one_span_to_its_end_and_tells_when_it_began(ask, wire, seen):
    """The time to the first chunk, the last usage, and one end."""
    wire.pieces()
    stream = ask(stream=True, otel=True)
    assert "".join(chunk.text for chunk in stream) == "ok"
    told = seen.span.attributes
    assert told["gen_ai.request.stream"] is True
    assert told["gen_ai.response.time_to_first_chunk"] > 0
    assert told["gen_ai.usage.output_tokens"] == 100
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    assert told["scillm.result"] == "ok"
    length_s = (seen.span.end_time - seen.span.start_time) / 1e9
    assert told["gen_ai.response.time_to_first_chunk"] <= length_s


def test_a_stream_that_is_left_ends_its_span_once(kernel, wire, seen):
    """Leaving early is no error, and no answer."""
    wire.pieces()

    async def main():
        stream = await kernel.acompletion("openai/m", ASK, api_key="k", stream=True, otel=True)
        assert not seen.spans
        await stream.aclose()

    asyncio.run(main())
    assert seen.span.attributes["scillm.result"] == "left"
    assert seen.span.status.status_code is StatusCode.UNSET
    assert "error.type" not in seen.span.attributes


def test_a_reader_who_stops_at_the_end_of_the_answer_had_all_of_it(kernel, wire, seen):
    """Not waiting for the end mark is not leaving early."""
    wire.pieces()

    async def main():
        stream = await kernel.acompletion("openai/m", ASK, api_key="k", stream=True, otel=True)
        async for chunk in stream:
            if chunk.is_final:
                break
        await stream.aclose()

    asyncio.run(main())
    assert seen.span.attributes["scillm.result"] == "ok"


class Slow:
    """A provider that never answers."""

    PROVIDERS = ("slow",)

    def __init__(self):
        self.is_asked = asyncio.Event()

    @hookimpl
    def resolve_model(self, call):
        return Route(provider="slow", model="m") if call.model_for("slow") else None

    @hookimpl
    def prepare_request(self, call, route):
        return Request(route=route, url="slow:", read=lambda frame: ())

    @hookimpl
    def send(self):
        return self._send

    async def _send(self, request):
        self.is_asked.set()
        await asyncio.Event().wait()
        yield Chunk({})


def test_a_cancelled_call_ends_its_span_once(seen):
    """It is told as cancelled."""

    async def main():
        slow = Slow()
        kernel = Kernel.of(slow, seen.plugin())
        task = asyncio.ensure_future(kernel.acompletion("slow/m", ASK, otel=True))
        await slow.is_asked.wait()
        assert not seen.spans
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert seen.span.attributes["scillm.result"] == "cancelled"


def test_an_error_is_the_status_and_its_kind(ask, wire, seen):
    """By the kinds of failures, with the status of HTTP; and without what was said."""
    wire.fail(429, {"error": {"message": "you said: hi"}})
    with pytest.raises(RateLimitError):
        ask(otel=True)
    span = seen.span
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "rate_limit"
    assert span.attributes["error.type"] == "rate_limit"
    assert span.attributes["http.response.status_code"] == 429
    assert "you said" not in span.to_json()


def test_a_stream_that_breaks_is_an_error(ask, wire, seen):
    """What came before does not make it a success."""
    wire.pieces(is_cut=True)
    with pytest.raises(Exception, match="stops short"):
        list(ask(stream=True, otel=True))
    assert seen.span.attributes["error.type"] == "bad_answer"
    assert seen.span.attributes["scillm.result"] == "error"


def test_a_call_without_a_key_is_a_span_too(ask, seen):
    """What fails before anything is sent was a call."""
    with pytest.raises(AuthenticationError):
        ask(api_key=None, otel=True)
    assert seen.span.name == "chat gpt-4o-mini"
    assert seen.span.attributes["error.type"] == "auth"


def test_a_model_that_nobody_knows_is_a_span_too(ask, seen):
    """Under the name that the caller wrote."""
    with pytest.raises(UnknownModelError):
        ask("nobody/m", otel=True)
    assert seen.span.name == "chat nobody/m"
    assert seen.span.attributes["error.type"] == "not_found"


def test_a_call_that_is_refused_while_a_stream_is_read_is_a_call(kernel, wire, seen):
    """Between two pieces of another call's answer the caller makes calls of its own."""
    wire.pieces()

    async def main():
        stream = await kernel.acompletion("openai/m", ASK, api_key="k", stream=True, otel=True)
        await anext(stream)
        with pytest.raises(AuthenticationError):
            await kernel.acompletion("openai/refused", ASK, otel=True)
        await stream.aclose()

    asyncio.run(main())
    assert {span.name for span in seen.spans} == {"chat m", "chat refused"}


def test_embeddings_and_models_are_spans_by_their_own_names(kernel, wire, seen):
    """`embeddings {model}` with its dimensions; `list_models`."""
    vector = {"object": "embedding", "index": 0, "embedding": [0.1]}
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    wire.reply({"object": "list", "data": [vector], "model": "e", "usage": usage})
    wire.reply({"object": "list", "data": [{"id": "m", "object": "model"}]})
    kernel.embedding("openai/e", ["a"], api_key="k", otel=True, dimensions=1)
    kernel.models("openai", api_key="k", otel=True)
    vectors, models = seen.spans
    assert vectors.name == "embeddings e"
    assert vectors.attributes["gen_ai.embeddings.dimension.count"] == 1
    assert vectors.attributes["gen_ai.usage.input_tokens"] == 3
    assert models.name == models.attributes["gen_ai.operation.name"] == "list_models"


def test_providers_have_the_names_of_the_conventions(kernel, wire, seen):
    """Where they have a name of their own for one."""
    wire.whole()
    kernel.completion("mistral/m", ASK, api_key="k", otel=True)
    assert seen.span.attributes["gen_ai.provider.name"] == "mistral_ai"


def test_the_span_of_the_caller_is_the_parent_in_sync_code(ask, wire, seen):
    """Through the door that runs calls on another loop."""
    wire.whole()
    tracer = seen.tracer_provider.get_tracer("mine")
    with tracer.start_as_current_span("mine") as mine:
        ask(otel=True)
    assert seen.spans[0].parent.span_id == mine.get_span_context().span_id


def test_the_span_of_the_caller_is_the_parent_in_each_thread(ask, wire, seen):
    """Threads that ask at once do not get each other's."""
    wire.whole()
    tracer = seen.tracer_provider.get_tracer("mine")
    barrier = threading.Barrier(8)
    failed = []

    def work(number):
        try:
            with tracer.start_as_current_span(f"mine {number}"):
                barrier.wait(10)
                list(ask(f"openai/m{number}", stream=True, otel=True))
        except Exception as error:  # noqa: BLE001  # the test itself looks at it
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    wire.answers.clear()
    wire.pieces()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    mine = {s.context.span_id: s.name for s in seen.spans if s.name.startswith("mine")}
    calls = [s for s in seen.spans if s.name.startswith("chat")]
    assert len(calls) == 8
    for span in calls:
        assert mine[span.parent.span_id] == span.name.replace("chat m", "mine ")


def test_parallel_calls_have_one_parent_and_do_not_nest(kernel, wire, seen):
    """Calls beside each other are siblings."""
    wire.whole()
    tracer = seen.tracer_provider.get_tracer("mine")

    async def main():
        with tracer.start_as_current_span("mine") as mine:
            calls = [kernel.acompletion("openai/m", ASK, api_key="k", otel=True) for _ in range(20)]
            await asyncio.gather(*calls)
        return mine.get_span_context().span_id

    parent = asyncio.run(main())
    calls = [span for span in seen.spans if span.name == "chat m"]
    assert {span.parent.span_id for span in calls} == {parent}
    assert len({span.context.span_id for span in calls}) == 20


def test_what_is_beneath_is_a_child_and_what_is_between_is_not(wire, seen):
    """The call's span is current while a transport works, not while a reader does."""
    current = []

    class Transport(type(wire)):
        async def _send(self, request):
            async for event in super()._send(request):
                current.append(trace.get_current_span().get_span_context().span_id)
                yield event

    transport = Transport().pieces()
    kernel = Kernel.of(transport, scillm_openai_like, seen.plugin())
    between = []

    async def main():
        stream = await kernel.acompletion("openai/m", ASK, api_key="k", stream=True, otel=True)
        spans = [trace.get_current_span() async for _ in stream]
        between.extend(span.get_span_context().span_id for span in spans)

    asyncio.run(main())
    assert set(current) == {seen.span.context.span_id}
    assert set(between) == {0}


def test_retries_are_told_with_their_reasons(wire, seen):
    """How many, and an event for each attempt that failed; the whole wait is in the span."""
    wire.fail(503).fail(429, retry_after="0").whole()
    kernel = Kernel.of(wire, scillm_openai_like, Retry(), seen.plugin())
    kernel.completion("openai/m", ASK, api_key="k", otel=True, retry_after=0)
    told = [dict(event.attributes) for event in seen.span.events]
    assert seen.span.attributes["scillm.retries"] == 2
    assert {event.name for event in seen.span.events} == {"scillm.attempt_failed"}
    assert told == [
        {"error.type": "overloaded", "http.response.status_code": 503},
        {"error.type": "rate_limit", "http.response.status_code": 429},
    ]


def test_the_last_failure_of_a_call_that_is_given_up_is_no_retry(wire, seen):
    """Three attempts are two retries."""
    wire.fail(503)
    kernel = Kernel.of(wire, scillm_openai_like, Retry(), seen.plugin())
    with pytest.raises(Exception, match="gave up"):
        kernel.completion("openai/m", ASK, api_key="k", otel=True, retry_after=0, max_retries=2)
    assert seen.span.attributes["scillm.retries"] == 2
    assert seen.span.attributes["error.type"] == "overloaded"


def test_an_answer_from_the_cache_says_so(wire, seen):
    """Two calls, one request, two spans."""
    kernel = Kernel.of(wire.whole(), scillm_openai_like, Caching(), seen.plugin())
    for _ in range(2):
        kernel.completion("openai/m", ASK, api_key="k", otel=True, cache=True)
    first, second = seen.spans
    assert "scillm.cache.hit" not in first.attributes
    assert second.attributes["scillm.cache.hit"] is True
    assert second.attributes["scillm.cache.backend"] == "memory"
    assert len(wire.sent) == 1


def test_a_hedge_is_told(seen, endpoint):
    """That a second request was started, and who won."""
    base = endpoint.url("shang.ok-idhedge")
    kernel = Kernel.of(scillm_openai_like, Http(), Hedge(), seen.plugin())
    with kernel:
        kernel.completion(
            "openai/m", ASK, api_key="k", api_base=base, otel=True, hedge_delay_ms=100
        )
    assert seen.span.attributes["scillm.hedge.started"] is True
    assert seen.span.attributes["scillm.hedge.winner"] == "second"


def test_a_router_tells_who_served(wire, seen):
    """One span for the group; provider and server are those that answered."""
    wire.fail(503).whole()
    within = Kernel.of(wire, scillm_openai_like, seen.plugin())
    entries = [
        {"model_name": name, "litellm_params": {"model": f"{host}/m", "api_key": "k"}}
        for name, host in (("big", "openai"), ("small", "groq"))
    ]
    router = Router(entries, fallbacks=[{"big": ["small"]}], kernel=within)
    answer = router.completion("big", ASK, otel=True)
    assert answer.served_by.provider == "groq"
    told = seen.span.attributes
    assert seen.span.name == "chat big"
    assert told["gen_ai.provider.name"] == "groq"
    assert told["server.address"] == "api.groq.com"
    assert told["scillm.router.group"] == "big"
    assert told["scillm.router.served_group"] == "small"
    assert told["scillm.router.fallback_used"] is True
    assert len(told["scillm.router.attempted"]) == 1


def test_a_deployment_that_is_refused_is_a_part_of_its_call_and_no_call(wire, seen, lines):
    """A key that one of them lacks is told on the span of the call, not by one of its own."""
    within = Kernel.of(wire.whole(), scillm_openai_like, seen.plugin())
    entries = [
        {"model_name": "big", "litellm_params": {"model": "openai/m", "order": 1}},
        {"model_name": "big", "litellm_params": {"model": "groq/m", "api_key": "k", "order": 2}},
    ]
    router = Router(entries, kernel=within)
    assert router.completion("big", ASK, otel=True, log_calls=True).served_by.provider == "groq"
    assert seen.span.attributes["scillm.result"] == "ok"
    assert len(seen.span.attributes["scillm.router.attempted"]) == 1
    assert len(lines()) == 1


def test_a_router_that_gives_up_tells_whom_it_left_for_another(wire, seen):
    """All but the last."""
    within = Kernel.of(wire.fail(503), scillm_openai_like, seen.plugin())
    deployment = {"model": "openai/m", "api_key": "k"}
    entries = [{"model_name": "big", "litellm_params": deployment} for _ in range(3)]
    router = Router(entries, kernel=within)
    with pytest.raises(Exception, match="503"):
        router.completion("big", ASK, otel=True)
    assert len(seen.span.attributes["scillm.router.attempted"]) == 2
    assert seen.span.attributes["error.type"] == "overloaded"


def test_parallel_calls_of_a_router_are_children_of_their_caller(wire, seen):
    """Each a span of its own."""
    within = Kernel.of(wire.whole(), scillm_openai_like, seen.plugin())
    entries = [{"model_name": "big", "litellm_params": {"model": "openai/m", "api_key": "k"}}]
    router = Router(entries, kernel=within)
    tracer = seen.tracer_provider.get_tracer("mine")

    async def main():
        with tracer.start_as_current_span("mine") as mine:
            requests = [{"model": "big", "messages": ASK, "otel": True} for _ in range(5)]
            await router.parallel_acompletions(requests)
        return mine.get_span_context().span_id

    parent = asyncio.run(main())
    calls = [span for span in seen.spans if span.name == "chat big"]
    assert [span.parent.span_id for span in calls] == [parent] * 5


def test_what_fails_in_telemetry_does_not_lose_the_answer(wire, caplog):
    """It is logged, and the call goes on."""

    class Broken:
        def get_tracer(self, name):
            raise RuntimeError("no tracer today")

    from scillm_telemetry import Telemetry

    kernel = Kernel.of(wire.whole(), scillm_openai_like, Telemetry(Broken()))
    answer = kernel.completion("openai/m", ASK, api_key="k", otel=True)
    assert answer.text == "ok"
    assert "the call goes on" in caplog.text
    assert "no tracer today" in caplog.text


def test_an_event_of_an_odd_shape_passes(wire, seen, caplog):
    """What telemetry cannot read, the caller gets all the same."""

    class Odd:
        PROVIDERS = ("odd",)

        @hookimpl
        def resolve_model(self, call):
            return Route(provider="odd", model="m") if call.model_for("odd") else None

        @hookimpl
        def prepare_request(self, call, route):
            return Request(route=route, url="odd:", read=lambda frame: ())

        @hookimpl
        def send(self):
            return self._send

        async def _send(self, request):
            yield Response({"choices": [], "usage": "some", "model": 7})

    answer = Kernel.of(Odd(), seen.plugin()).completion("odd/m", ASK, otel=True, cost=True)
    assert answer["usage"] == "some"
    assert "passed on as it is" in caplog.text
    assert len(seen.spans) == 1

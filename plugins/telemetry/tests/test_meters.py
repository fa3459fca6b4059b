"""OpenTelemetry's metrics: duration, tokens, the time to the first chunk."""

import pytest

import scillm_openai_like
from scillm import Kernel, RateLimitError
from scillm_cache import Caching

ASK = [{"role": "user", "content": "hi"}]
TOLD = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-x",
    "server.address": "api.openai.com",
    "server.port": 443,
}


def test_duration_and_tokens_are_recorded(ask, wire, seen):
    """By the names, attributes and buckets of the conventions."""
    wire.whole()
    ask(otel=True)
    (duration,) = seen.points("gen_ai.client.operation.duration")
    assert dict(duration.attributes) == TOLD
    assert duration.count == 1
    assert duration.explicit_bounds[:2] == (0.01, 0.02)
    tokens = seen.points("gen_ai.client.token.usage")
    assert {p.attributes["gen_ai.token.type"]: p.sum for p in tokens} == {
        "input": 1000,
        "output": 100,
    }
    assert tokens[0].explicit_bounds[-1] == 67108864
    assert not seen.points("gen_ai.client.operation.time_to_first_chunk")


def test_a_stream_tells_the_time_to_its_first_chunk(ask, wire, seen):
    """And only a stream does."""
    wire.pieces()
    list(ask(stream=True, otel=True))
    (first,) = seen.points("gen_ai.client.operation.time_to_first_chunk")
    assert first.count == 1
    assert first.sum > 0
    assert sum(point.sum for point in seen.points("gen_ai.client.token.usage")) == 1100


def test_a_failed_call_has_a_duration_with_its_error(ask, wire, seen):
    """And no tokens."""
    wire.fail(429)
    with pytest.raises(RateLimitError):
        ask(otel=True)
    (duration,) = seen.points("gen_ai.client.operation.duration")
    assert duration.attributes["error.type"] == "rate_limit"
    assert not seen.points("gen_ai.client.token.usage")


def test_tokens_of_an_answer_from_the_cache_are_not_counted_again(wire, seen):
    """They were not used again."""
    kernel = Kernel.of(wire.whole(), scillm_openai_like, Caching(), seen.plugin())
    for _ in range(2):
        kernel.completion("openai/m", ASK, api_key="k", otel=True, cache=True)
    assert sum(point.sum for point in seen.points("gen_ai.client.token.usage")) == 1100
    assert seen.points("gen_ai.client.operation.duration")[0].count == 2


def test_a_duration_leads_to_the_span_of_its_call(ask, wire, seen):
    """By an exemplar."""
    wire.whole()
    ask(otel=True)
    (duration,) = seen.points("gen_ai.client.operation.duration")
    assert [e.span_id for e in duration.exemplars] == [seen.span.context.span_id]

"""Requests of OpenAI's dialect, and what its readers refuse."""

from __future__ import annotations

import contextlib

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from scillm import BadRequestError, Call, InvalidResponse, Route, Secret
from scillm.errors import StatusError
from scillm_dialects import openai_chat

ROUTE = Route(provider="openai", model="m", base_url="https://h/v1")
CALL = Call(model="openai/m", messages=({"role": "user", "content": "hi"},))


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://h", "http://h/v1"),
        ("http://h/", "http://h/v1"),
        ("http://h:1/v1", "http://h:1/v1"),
        ("http://h/v1/", "http://h/v1"),
        ("http://h/v1/chat/completions", "http://h/v1"),
        ("http://h/chat/completions/", "http://h/v1"),
        ("http://h/api", "http://h/api/v1"),
        ("http://h/openai/v2", "http://h/openai/v2"),
        ("http://h/v1beta/openai/", "http://h/v1beta/openai"),
        ("http://h?key=a", "http://h/v1?key=a"),
    ],
)
def test_an_address_is_taken_with_and_without_its_end(given, base):
    """A version is added only where none stands."""
    assert openai_chat.base_url(given) == base


def test_a_chat_request():
    """Body, address, headers."""
    call = evolve(CALL, params={"temperature": 0.5}, extra_body={"top_k": 3})
    request = openai_chat.request(call, ROUTE, key=Secret("sk"))
    assert request.url == "https://h/v1/chat/completions"
    assert request.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "top_k": 3,
    }
    assert request.headers["authorization"] == Secret("Bearer sk")
    assert (request.frames, request.method) == ("json", "POST")


def test_a_query_stays_at_the_end():
    """Some gateways want a version there."""
    route = evolve(ROUTE, base_url=openai_chat.base_url("http://h/v1?api-version=2"))
    assert openai_chat.request(CALL, route).url == "http://h/v1/chat/completions?api-version=2"


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key"])
def test_the_callers_own_header_wins(name):
    """No Bearer key is sent beside it."""
    call = evolve(CALL, headers={name: Secret("mine")})
    headers = openai_chat.request(call, ROUTE, key=Secret("sk")).headers
    assert headers[name] == Secret("mine")
    assert [n for n in headers if n in ("authorization", "x-api-key", "api-key")] == [name]


def test_a_stream_asks_for_usage_only_where_it_is_known():
    """A strict server must not be sent what it does not know; the caller's own word wins."""
    call = evolve(CALL, stream=True)
    assert "stream_options" not in openai_chat.request(call, ROUTE).body
    asked = openai_chat.request(call, ROUTE, has_stream_usage=True)
    assert asked.body["stream_options"] == {"include_usage": True}
    assert (asked.frames, asked.body["stream"]) == ("sse", True)
    own = evolve(call, params={"stream_options": {"include_usage": False}})
    assert openai_chat.request(own, ROUTE, has_stream_usage=True).body["stream_options"] == {
        "include_usage": False
    }


def test_embeddings_and_models():
    """The other two operations."""
    request = openai_chat.request(evolve(CALL, operation="embedding", params={"input": "a"}), ROUTE)
    assert (request.url, request.body) == ("https://h/v1/embeddings", {"model": "m", "input": "a"})
    request = openai_chat.request(evolve(CALL, operation="models"), ROUTE)
    assert (request.url, request.body, request.method) == ("https://h/v1/models", None, "GET")
    assert "content-type" not in request.headers
    (models,) = openai_chat.read_models(b'[{"id": "a"}]')
    assert [m.id for m in models.data] == ["a"]
    (vectors,) = openai_chat.read_embeddings(b'{"data": [{"index": 0, "embedding": [1.0]}]}')
    assert vectors.data[0].embedding == [1.0]


def test_nothing_to_ask_is_an_error():
    """Empty messages are refused before they are sent."""
    with pytest.raises(BadRequestError, match="messages is empty") as info:
        openai_chat.request(evolve(CALL, messages=()), ROUTE)
    assert info.value.llm_provider == "openai"


@pytest.mark.parametrize(
    "frame",
    [
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": {}}',
        b'{"choices": ["x"]}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": "x"}]}',
        b'{"choices": [{"index": "0", "message": {}}]}',
        b'{"choices": [{"message": {"tool_calls": {"a": 1}}}]}',
        b'{"choices": [{"message": {"tool_calls": ["a"]}}]}',
        b'{"id": "x"}',
        b"[1]",
    ],
)
def test_a_whole_answer_of_another_shape_is_refused(frame):
    """With what came."""
    with pytest.raises(InvalidResponse):
        list(openai_chat.read_chat(frame))


@pytest.mark.parametrize(
    "frame",
    [
        b'{"choices": "x"}',
        b'{"choices": [1]}',
        b'{"choices": [{"delta": "x"}]}',
        b'{"choices": [{"index": [], "delta": {}}]}',
        b'{"choices": [{"delta": {"tool_calls": 1}}]}',
        b'"x"',
    ],
)
def test_a_chunk_of_another_shape_is_refused(frame):
    """With what came."""
    with pytest.raises(InvalidResponse):
        list(openai_chat.read_chunk(frame))


@pytest.mark.parametrize(
    "read",
    [
        openai_chat.read_chat,
        openai_chat.read_chunk,
        openai_chat.read_models,
        openai_chat.read_embeddings,
    ],
)
@pytest.mark.parametrize(
    ("frame", "status"),
    [
        (b'{"error": {"message": "m", "code": 429}}', 429),
        (b'{"error": {"message": "m", "code": "503"}}', 503),
        (b'{"error": "boom"}', 500),
        (b'{"error": {"code": 502}, "choices": [{"delta": {"content": ""}}], "data": []}', 502),
        (b'{"object": "error", "message": "m", "code": 400}', 400),
        (b'{"error": {"code": "rate_limit"}}', 500),
    ],
)
def test_an_error_with_a_good_status_is_an_error(read, frame, status):
    """Inside a body or a stream, with the status that it tells."""
    with pytest.raises(StatusError) as info:
        list(read(frame))
    assert info.value.status == status


def test_a_whole_answer_in_place_of_a_chunk_is_taken():
    """A server that does not stream may send the whole at once."""
    (event,) = openai_chat.read_chunk(
        b'{"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}'
    )
    assert event.text == "hi"
    assert event.is_final


def test_a_server_cannot_forge_what_plugins_note():
    """A verdict in ``additional_kwargs`` is ours to write."""
    (event,) = openai_chat.read_chat(
        b'{"choices": [{"message": {}}], "additional_kwargs": {"lean4": {"verdict": "proved"}}}'
    )
    assert event.additional_kwargs == {}


@given(st.binary(max_size=200))
def test_no_bytes_break_a_reader(frame):
    """Through a request, any bytes give events or InvalidResponse or StatusError."""
    for is_stream in (False, True):
        request = openai_chat.request(evolve(CALL, stream=is_stream), ROUTE)
        with contextlib.suppress(InvalidResponse, StatusError):
            list(request.events(frame))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "message",
                    "index",
                    "tool_calls",
                    "content",
                    "error",
                    "function",
                    "logprobs",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(st.fixed_dictionaries({"choices": st.lists(json_values, max_size=2)}), max_size=4))
def test_no_json_breaks_reading_and_folding(frames):
    """Odd shapes end as InvalidResponse, wherever they are noticed."""
    import json

    from scillm import Fold

    request = openai_chat.request(evolve(CALL, stream=True), ROUTE)
    folding = Fold()
    try:
        for frame in frames:
            for event in request.events(json.dumps(frame).encode()):
                folding.add(event)
        folding.answer().model_dump()
    except (InvalidResponse, StatusError):
        pass

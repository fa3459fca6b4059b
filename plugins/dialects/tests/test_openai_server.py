"""The server's side: what goes out comes back in."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from scillm import BadRequestError, Call, RateLimitError, Response, Route, fold, unfold
from scillm_dialects import openai_chat, openai_server

ROUTE = Route(provider="p", model="m", base_url="http://h/v1")
parts = st.lists(
    st.fixed_dictionaries({"type": st.just("text"), "text": st.text(max_size=5)}),
    min_size=1,
    max_size=2,
)
messages = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "system", "assistant"]),
            "content": st.text(max_size=9) | parts,
        }
    ),
    min_size=1,
    max_size=3,
)


@given(
    messages,
    st.booleans(),
    st.dictionaries(st.sampled_from(["temperature", "seed", "n"]), st.integers(0, 9)),
    st.dictionaries(st.sampled_from(["top_k", "x"]), st.integers()),
)
def test_a_call_survives_the_wire(messages, stream, params, extra):
    """Client to bytes to server gives the same call."""
    call = Call(model="m", messages=tuple(messages), stream=stream, params=params, extra_body=extra)
    back = openai_server.call_of(openai_chat.request(call, ROUTE).encode())
    assert back == call


def test_an_answer_survives_the_wire():
    """Server to bytes to client gives the same answer, whole and streamed."""
    raw = {
        "id": "a",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hé\u2028"},
                "finish_reason": "stop",
            }
        ],
    }
    response = Response(raw)
    (whole,) = openai_chat.read_chat(openai_server.body_of(response))
    assert whole == response
    frames = [openai_server.frame_of(chunk) for chunk in unfold(response)]
    assert all(
        f.startswith(b"data: ") and f.endswith(b"\n\n") and f.count(b"\n") == 2 for f in frames
    )
    assert fold(e for f in frames for e in openai_chat.read_chunk(f[6:-2])) == response


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b'{"model": 1, "messages": []}', "expected str @ the request's body.model"),
        (b'{"model": "m"}', "required field missing @ the request's body.messages"),
        (
            b'{"model": "m", "messages": ["x"]}',
            r"expected a mapping @ the request's body.messages\[0\]",
        ),
        (
            b'{"model": "m", "messages": [], "stream": "yes"}',
            r"expected bool \| None @ the request's body.stream",
        ),
        (b'{"a":' * 3000, "is not JSON"),
    ],
)
def test_a_body_of_another_shape_is_refused(body, text):
    """A server must answer 400, not break."""
    with pytest.raises(BadRequestError, match=text):
        openai_server.call_of(body)


def test_an_error_is_told_in_openais_shape():
    """Message, type, code."""
    assert openai_server.error_body(RateLimitError("slow down"))["error"]["message"] == "slow down"
    assert openai_server.error_body(RateLimitError("x"))["error"]["type"] == "rate_limit"


def test_unset_fields_are_unset():
    """A null parameter is as good as none."""
    call = openai_server.call_of(b'{"model": "m", "messages": [], "temperature": null}')
    assert call == evolve(Call(model="m"), params={})

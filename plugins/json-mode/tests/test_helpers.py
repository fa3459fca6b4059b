"""The helpers around completion, against an endpoint."""

import asyncio
import json
import time

import attrs
import pytest

import scillm
from scillm import AuthenticationError
from scillm.extras import (
    hedged_json_completion,
    json_chat,
    strict_json_chat,
    strict_json_completion,
)
from scillm_json_mode import InvalidJSON, hedged

ASK = [{"role": "user", "content": 'Return only {"ok":true} as JSON.'}]


@pytest.fixture(autouse=True)
def _closed(monkeypatch):
    monkeypatch.setenv("SCILLM_CHUTES_CANONICALIZE_OPENAI_AUTH", "0")
    yield
    scillm.close()
    hedged._winners.clear()


def _strict(base, content=None, **more):
    messages = ASK if content is None else [{"role": "user", "content": content}]
    return strict_json_completion(
        model="m", messages=messages, api_base=base, api_key="sk-1", **more
    )


def test_a_json_answer_is_parsed_and_asked_for(endpoint):
    """In both access styles, and a fenced one is cleaned."""
    base = endpoint.url("json1")
    r = _strict(base)
    assert json.loads(r["choices"][0]["message"]["content"]) == {"a": 1, "b": [1, 2, 3]}
    assert endpoint.requests_to(base)[0].json["response_format"] == {"type": "json_object"}
    assert strict_json_chat is json_chat is strict_json_completion


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        ("words", {}, "no JSON object"),
        ("{}", {"require_nonempty": True}, "is empty"),
        ('{"a": ""}', {"require_nonempty_keys": ["a", "b"]}, "has nothing for a, b"),
        ('{"a": 1}', {"schema": {"required": ["b"]}}, "required property"),
        ('```json\n{"a": 1}\n```', {"sanitize": False}, "not JSON alone"),
    ],
)
def test_what_is_not_what_was_asked_for_is_an_error(endpoint, content, more, said):
    """Nothing is rewritten to make it fit."""
    with pytest.raises(InvalidJSON, match=said) as info:
        _strict(endpoint.url("echo"), content, **more)
    assert info.value.raw


def test_it_is_asked_again_with_what_was_wrong(endpoint):
    """As often as was allowed, and each time with the reason."""
    base = endpoint.url("json4")
    schema = {"type": "object", "required": ["z"]}
    with pytest.raises(InvalidJSON, match="required property"):
        _strict(base, schema=schema, max_reasks=2)
    asked = [request.json["messages"] for request in endpoint.requests_to(base)]
    assert [len(messages) for messages in asked] == [1, 3, 5]
    assert '"z" is a required property' in asked[-1][-1]["content"]
    assert asked[-1][1]["role"] == "assistant"


def test_a_class_as_schema_gives_an_instance(endpoint):
    """As with response_format."""

    @attrs.frozen
    class Answer:
        a: int
        b: list[int]

    assert _strict(endpoint.url("json1"), schema=Answer).parsed == Answer(1, [1, 2, 3])


def _hedged(base, **more):
    return asyncio.run(
        hedged_json_completion(model="m", messages=ASK, api_base=base, key="sk-1", **more)
    )


def test_a_healthy_host_is_asked_once(endpoint):
    """The other forms stay at home."""
    base = endpoint.url("json1")
    response = _hedged(base, hedge_delay_ms=5000)
    assert json.loads(response.choices[0].message.get("content", ""))["a"] == 1
    assert len(endpoint.requests_to(base)) == 1


def test_a_form_that_works_is_remembered(endpoint):
    """The second call is one request, in that form; after its time it is found anew."""
    base = endpoint.url("json1-xkey")
    _hedged(base, hedge_delay_ms=5000)
    _hedged(base)
    keys = [r.headers.get("x-api-key", "") for r in endpoint.requests_to(base)]
    assert keys == ["", "sk-1", "sk-1"]
    _hedged(base, ttl_s=0, variants=["bearer", "x-api-key"])
    assert len(endpoint.requests_to(base)) == 5


def test_the_next_form_is_tried_beside_one_that_is_late(endpoint):
    """The first answer wins, the late one is let go."""
    base = endpoint.url("json1-lat150")
    begun = time.perf_counter()
    _hedged(base, hedge_delay_ms=20)
    assert len(endpoint.requests_to(base)) == 2
    assert time.perf_counter() - begun < 2


def test_if_all_forms_are_refused_the_first_refusal_is_raised(endpoint):
    """A typed error, not a text about it."""
    base = endpoint.url("401")
    with pytest.raises(AuthenticationError, match="incorrect API key"):
        _hedged(base)
    assert len(endpoint.requests_to(base)) == 3


def test_another_failure_is_no_reason_for_another_form(endpoint):
    """What is no matter of keys is raised at once."""
    base = endpoint.url("404")
    with pytest.raises(scillm.NotFoundError):
        _hedged(base, hedge_delay_ms=5000)
    assert len(endpoint.requests_to(base)) == 1


def test_what_is_refused_for_its_fence_is_kept_as_it_came(endpoint):
    """Strictly: the raw text, fence and all."""
    fenced = '```json\n{"a": 1}\n```'
    with pytest.raises(InvalidJSON, match="not JSON alone") as info:
        _strict(endpoint.url("echo"), fenced, sanitize=False)
    assert fenced in info.value.raw


def test_what_cannot_be_done_is_told_before_anything_is_sent(endpoint):
    """A stream that would have to be taken back, a form of the key that there is not."""
    base = endpoint.url("json1-id9")
    with pytest.raises(scillm.BadRequestError, match="stream"):
        _strict(base, stream=True)
    with pytest.raises(scillm.BadRequestError, match="'Bearer'; there are bearer"):
        _hedged(base, variants=["Bearer"])
    assert not endpoint.requests_to(base)

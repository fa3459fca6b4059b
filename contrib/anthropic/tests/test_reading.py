"""What comes back, over HTTP; the official client reads the same bytes to the same answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import anthropic
import pytest

import scillm_anthropic
from scillm import (
    BadRequestError,
    ContextWindowExceededError,
    InternalServerError,
    InvalidResponse,
    Kernel,
    PermissionDeniedError,
    RateLimitError,
    ServiceUnavailableError,
    hookimpl,
)
from scillm_http import Http

HI = [{"role": "user", "content": "hi"}]
BLOCKS = [
    {"type": "thinking", "thinking": "two sums", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "xx"},
    {"type": "text", "text": "I shall add."},
    {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1, "b": "ü"}},
    {"type": "tool_use", "id": "t2", "name": "now", "input": {}},
]
USAGE = {
    "input_tokens": 3,
    "cache_creation_input_tokens": 5,
    "cache_read_input_tokens": 7,
    "output_tokens": 11,
    "output_tokens_details": {"thinking_tokens": 4},
}
WHOLE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": BLOCKS,
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": USAGE,
}


def streamed(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events that the API documents for a message: blocks one after another."""
    opening = {**whole["usage"], "output_tokens": 1}
    opening.pop("output_tokens_details", None)
    begun = {**whole, "content": [], "stop_reason": None, "usage": opening}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(whole["content"]):
        empty, deltas = _cut(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": d} for d in deltas]
        events.append({"type": "content_block_stop", "index": index})
    last = {name: whole.get(name) for name in ("stop_reason", "stop_sequence", "stop_details")}
    told = {n: c for n, c in whole["usage"].items() if n.startswith("output")}
    events.append({"type": "message_delta", "delta": last, "usage": told})
    return [*events, {"type": "message_stop"}]


def _cut(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if block["type"] == "text":
        halves = block["text"][:4], block["text"][4:]
        return {**block, "text": ""}, [{"type": "text_delta", "text": half} for half in halves]
    if block["type"] == "thinking":
        halves = block["thinking"][:3], block["thinking"][3:]
        deltas = [{"type": "thinking_delta", "thinking": half} for half in halves]
        signed = {"type": "signature_delta", "signature": block["signature"]}
        return {**block, "thinking": "", "signature": ""}, [*deltas, signed]
    if block["type"] == "tool_use" and block["input"]:
        told = json.dumps(block["input"])
        halves = "", told[:5], told[5:]
        deltas = [{"type": "input_json_delta", "partial_json": half} for half in halves]
        return {**block, "input": {}}, deltas
    return block, []


@pytest.fixture
def kernel(speaker) -> Iterator[Kernel]:
    """A kernel of the provider and a transport alone."""
    with Kernel.of(scillm_anthropic, Http) as kernel:
        yield kernel


def ask(kernel, speaker, **arguments):
    """Ask the server, whole or streamed, and return the whole answer."""
    answer = kernel.completion(
        "anthropic/claude", HI, api_base=speaker.base, api_key="k", **arguments
    )
    if arguments.get("stream"):
        list(answer)
        return answer.response
    return answer


def test_a_streamed_answer_is_the_whole_one(kernel, speaker):
    """Thoughts, text, parallel tools and usage."""
    speaker.whole, speaker.events = WHOLE, streamed(WHOLE)
    whole, folded = ask(kernel, speaker), ask(kernel, speaker, stream=True)
    assert folded.to_dict() == whole.to_dict()
    message = whole.choices[0].message
    assert (message.content, message.reasoning_text) == ("I shall add.", "two sums")
    assert message.thinking_blocks == tuple(BLOCKS[:2]) or message.thinking_blocks == BLOCKS[:2]
    calls = [(c.id, c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls]
    assert calls == [("t1", "add", {"a": 1, "b": "ü"}), ("t2", "now", {})]
    assert whole.choices[0].finish_reason == "tool_calls"
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (15, 11)
    assert whole.usage.prompt_tokens_details.cached_tokens == 7
    assert whole.usage.prompt_tokens_details.cache_write_tokens == 5
    assert whole.usage.completion_tokens_details.reasoning_tokens == 4


def test_tool_calls_of_a_stream_are_counted_from_zero(kernel, speaker):
    """Whatever the blocks before them: clients of OpenAI's shape index a list by it."""
    speaker.events = streamed(WHOLE)
    stream = kernel.completion(
        "anthropic/claude", HI, api_base=speaker.base, api_key="k", stream=True
    )
    deltas = [c.choices[0].delta.tool_calls for c in stream]
    assert {call.index for calls in deltas for call in calls or ()} == {0, 1}


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_official_client_reads_the_same(kernel, speaker, is_stream):
    """The same bytes: text, thoughts, tool calls and usage agree."""
    speaker.whole, speaker.events = WHOLE, streamed(WHOLE)
    asked = {"model": "claude", "max_tokens": 9, "messages": HI}
    with anthropic.Anthropic(base_url=speaker.base, api_key="k", max_retries=0) as client:
        if is_stream:
            with client.messages.stream(**asked) as stream:
                theirs = stream.get_final_message()
        else:
            theirs = client.messages.create(**asked)
    ours = ask(kernel, speaker, stream=is_stream)
    message = ours.choices[0].message
    blocks = {block.type: block for block in theirs.content}
    assert message.content == blocks["text"].text
    assert message.reasoning_text == blocks["thinking"].thinking
    assert message.thinking_blocks[0]["signature"] == blocks["thinking"].signature
    uses = [(b.id, b.name, b.input) for b in theirs.content if b.type == "tool_use"]
    assert uses == [
        (c.id, c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls
    ]
    told = theirs.usage
    spent = told.input_tokens + told.cache_read_input_tokens + told.cache_creation_input_tokens
    assert (ours.usage.prompt_tokens, ours.usage.completion_tokens) == (spent, told.output_tokens)
    assert (ours.id, ours.model) == (theirs.id, theirs.model)


def test_a_server_that_does_not_stream_may_say_the_whole(kernel, speaker):
    """Though a stream was asked for."""
    speaker.whole = WHOLE
    assert ask(kernel, speaker, stream=True).choices == ask(kernel, speaker).choices


def test_what_is_no_answer_is_an_error(kernel, speaker):
    """Not an answer without choices."""
    speaker.whole = {"type": "a_kind_to_come"}
    with pytest.raises(InvalidResponse):
        ask(kernel, speaker)


class _Twice:
    """Sends the same request twice, as a retry does, and hands on the second answer."""

    ORDER = 300

    @hookimpl(wrapper=True)
    def send(self):
        inner = yield

        async def send(request):
            async with aclosing(inner(request)) as events:
                assert [event async for event in events]
            async with aclosing(inner(request)) as events:
                async for event in events:
                    yield event

        return send


def test_a_second_attempt_begins_anew(speaker):
    """What the reader of one attempt remembers does not get into the next."""
    speaker.whole, speaker.events = WHOLE, streamed(WHOLE)
    with Kernel.of(scillm_anthropic, Http, _Twice) as kernel:
        whole, folded = ask(kernel, speaker), ask(kernel, speaker, stream=True)
    assert len(speaker.sent) == 4
    assert folded.to_dict() == whole.to_dict()


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "pause_turn"),
        ("refusal", "content_filter"),
    ],
)
def test_reasons_to_stop(kernel, speaker, reason, finish):
    """In OpenAI's words where there is one; a refusal says why."""
    details = {"type": "refusal", "explanation": "no"} if reason == "refusal" else None
    said = {**WHOLE, "content": [BLOCKS[2]], "stop_reason": reason, "stop_details": details}
    speaker.whole, speaker.events = said, streamed(said)
    for answer in (ask(kernel, speaker), ask(kernel, speaker, stream=True)):
        assert answer.choices[0].finish_reason == finish
        assert answer.choices[0].message.refusal == ("no" if details else None)


def test_blocks_and_events_of_other_kinds_disturb_nothing(kernel, speaker):
    """Tools that Anthropic runs itself have blocks of their own; citations are kept."""
    cited = {"type": "web_search_result_location", "url": "https://example.com"}
    search = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"q": "x"}}
    text = {**BLOCKS[2], "citations": [cited]}
    said = {**WHOLE, "content": [search, text], "stop_reason": "end_turn"}
    events = streamed({**said, "content": [search, BLOCKS[2]]})
    quoted = {"type": "citations_delta", "citation": cited}
    events.insert(-4, {"type": "content_block_delta", "index": 1, "delta": quoted})
    json_of = {"type": "input_json_delta", "partial_json": '{"q": "x"}'}
    events.insert(3, {"type": "content_block_delta", "index": 0, "delta": json_of})
    events.insert(2, {"type": "a_kind_to_come"})
    speaker.whole, speaker.events = said, events
    whole, folded = ask(kernel, speaker), ask(kernel, speaker, stream=True)
    assert folded.to_dict() == whole.to_dict()
    assert whole.text == "I shall add."
    assert whole.choices[0].message.citations == [cited]
    assert whole.choices[0].message.tool_calls is None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BadRequestError, (400, "invalid_request_error", "max_tokens: bad")),
        (ContextWindowExceededError, (400, "invalid_request_error", "prompt is too long: 2 > 1")),
        (PermissionDeniedError, (402, "billing_error", "credit")),
        (BadRequestError, (413, "request_too_large", "bytes")),
        (RateLimitError, (429, "rate_limit_error", "slowly")),
        (InternalServerError, (500, "api_error", "oops")),
        (ServiceUnavailableError, (529, "overloaded_error", "Overloaded")),
    ],
)
def test_errors_have_their_kind_their_wait_and_the_id_of_the_request(kernel, speaker, error, told):
    """By status and type; the id stands in a header of Anthropic's own."""
    status, kind, message = told
    speaker.status = status
    speaker.whole = {"type": "error", "error": {"type": kind, "message": message}}
    speaker.headers = {"request-id": "req_1", "retry-after": "7"}
    with pytest.raises(error) as info:
        ask(kernel, speaker)
    assert type(info.value) is error
    assert (info.value.status_code, info.value.request_id) == (status, "req_1")
    assert (info.value.failure.code, info.value.failure.retry_after_s) == (kind, 7.0)
    assert message in str(info.value)


def test_an_error_inside_a_stream_is_the_error_it_would_have_been(kernel, speaker):
    """With what had come, and the id that the event tells."""
    oops = {"type": "overloaded_error", "message": "Overloaded"}
    speaker.events = [
        *streamed({**WHOLE, "content": [BLOCKS[2]]})[:5],
        {"type": "error", "error": oops, "request_id": "req_2"},
    ]
    with pytest.raises(ServiceUnavailableError, match="Overloaded") as info:
        ask(kernel, speaker, stream=True)
    assert (info.value.status_code, info.value.request_id) == (529, "req_2")
    assert info.value.partial.text == "I shall add."


def test_the_request_that_goes_out_is_one_for_messages(kernel, speaker):
    """Its path, its headers and its body."""
    speaker.whole = WHOLE
    ask(kernel, speaker)
    path, headers, sent = speaker.sent[0]
    assert (path, headers["x-api-key"]) == ("/v1/messages", "k")
    assert headers["anthropic-version"] == "2023-06-01"
    assert headers["content-type"] == "application/json"
    turn = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    assert sent == {"model": "claude", "max_tokens": 8192, "messages": [turn]}


def test_models_are_listed(kernel, speaker):
    """In one page, with what Anthropic tells of each."""
    speaker.whole = {"data": [{"id": "claude", "type": "model", "display_name": "Claude"}]}
    found = kernel.models("anthropic", api_base=f"{speaker.base}/v1", api_key="k")
    assert [(m.id, m.object, m.display_name) for m in found.data] == [("claude", "model", "Claude")]
    assert speaker.sent[0][0] == "/v1/models?limit=1000"
    assert speaker.sent[0][1]["x-api-key"] == "k"

"""What comes back, over HTTP; the official client reads the same bytes to the same answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import openai
import pytest

import scillm_responses
from scillm import (
    BadRequestError,
    ContentPolicyViolationError,
    ContextWindowExceededError,
    InternalServerError,
    InvalidResponse,
    Kernel,
    RateLimitError,
    ServiceUnavailableError,
    hookimpl,
)
from scillm_http import Http

HI = [{"role": "user", "content": "hi"}]
MARK = {"type": "url_citation", "start_index": 0, "end_index": 1, "url": "u", "title": "t"}
TEXT = {"type": "output_text", "text": "I shall add.", "annotations": [MARK], "logprobs": []}
THOUGHT = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [
        {"type": "summary_text", "text": "two"},
        {"type": "summary_text", "text": "sums"},
    ],
    "encrypted_content": "xx",
}
SAID = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [TEXT]}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
CALLED: list[dict[str, Any]] = [
    {"id": f"fc_{key}", "type": "function_call", "call_id": key, "name": name, "arguments": given}
    for key, name, given in (("c1", "add", '{"a": "ü"}'), ("c2", "now", "{}"))
]
WHOLE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1700000000,
    "model": "gpt",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "output": [THOUGHT, SEARCH, SAID, *CALLED],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 15,
        "input_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 0},
        "output_tokens": 11,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 26,
    },
}


def streamed(whole: dict[str, Any], last: str = "response.completed") -> list[dict[str, Any]]:
    """Return the events that the API documents for a response."""
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": f"response.{word}", "response": begun} for word in ("created", "in_progress")
    ]
    for at, item in enumerate(whole["output"]):
        events += [{**event, "output_index": at} for event in _told(item)]
    events.append({"type": last, "response": whole})
    return [{**event, "sequence_number": n} for n, event in enumerate(events)]


def _told(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    emptied = {"arguments": "", "content": [], "summary": []}
    opening = {**item, **{name: value for name, value in emptied.items() if name in item}}
    yield {"type": "response.output_item.added", "item": opening}
    told: dict[str, Any] = {"item_id": item["id"]}
    for at, part in enumerate(item.get("summary") or ()):
        told["summary_index"] = at
        empty = {**part, "text": ""}
        yield {"type": "response.reasoning_summary_part.added", "part": empty, **told}
        for half in (part["text"][:2], part["text"][2:]):
            yield {"type": "response.reasoning_summary_text.delta", "delta": half, **told}
        yield {"type": "response.reasoning_summary_text.done", "text": part["text"], **told}
        yield {"type": "response.reasoning_summary_part.done", "part": part, **told}
    for at, part in enumerate(item.get("content") or ()):
        told["content_index"] = at
        word = "text" if "text" in part else "refusal"
        empty = {**part, word: ""} | ({"annotations": []} if "annotations" in part else {})
        yield {"type": "response.content_part.added", "part": empty, **told}
        kind = "response.output_text" if word == "text" else "response.refusal"
        for half in (part[word][:2], part[word][2:]):
            yield {"type": f"{kind}.delta", "delta": half, "logprobs": [], **told}
        for n, mark in enumerate(part.get("annotations") or ()):
            marked = {"annotation": mark, "annotation_index": n}
            yield {"type": "response.output_text.annotation.added", **marked, **told}
        yield {"type": f"{kind}.done", word: part[word], "logprobs": [], **told}
        yield {"type": "response.content_part.done", "part": part, **told}
    if len(item.get("arguments") or "") > 2:
        given = item["arguments"]
        for half in (given[:4], given[4:]):
            yield {"type": "response.function_call_arguments.delta", "delta": half, **told}
        done = {"name": item["name"], "arguments": given}
        yield {"type": "response.function_call_arguments.done", **done, **told}
    yield {"type": "response.output_item.done", "item": item}


@pytest.fixture
def kernel(speaker) -> Iterator[Kernel]:
    """A kernel of the provider and a transport alone."""
    with Kernel.of(scillm_responses, Http) as kernel:
        yield kernel


def ask(kernel, speaker, **arguments):
    """Ask the server, whole or streamed, and return the whole answer."""
    answer = kernel.completion("responses/gpt", HI, api_base=speaker.base, api_key="k", **arguments)
    if arguments.get("stream"):
        list(answer)
        return answer.response
    return answer


def test_a_streamed_answer_is_the_whole_one(kernel, speaker):
    """Thoughts, text, marks, parallel tools and usage; OpenAI's own tools are passed over."""
    speaker.whole, speaker.events = WHOLE, streamed(WHOLE)
    whole, folded = ask(kernel, speaker), ask(kernel, speaker, stream=True)
    assert folded.to_dict() == whole.to_dict()
    message = whole.choices[0].message
    assert (message.content, message.reasoning_text) == ("I shall add.", "two\n\nsums")
    assert message.reasoning_items == [THOUGHT]
    assert message.annotations[0].url_citation.title == "t"
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls]
    assert calls == [("c1", "add", '{"a": "ü"}'), ("c2", "now", "{}")]
    assert whole.choices[0].finish_reason == "tool_calls"
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (15, 11)
    assert whole.usage.prompt_tokens_details.cached_tokens == 7
    assert whole.usage.completion_tokens_details.reasoning_tokens == 4


def test_tool_calls_of_a_stream_are_counted_from_zero(kernel, speaker):
    """Whatever the items before them: clients of OpenAI's shape index a list by it."""
    speaker.events = streamed(WHOLE)
    stream = kernel.completion("responses/gpt", HI, api_base=speaker.base, api_key="k", stream=True)
    deltas = [chunk.choices[0].delta.tool_calls for chunk in stream]
    assert {call.index for calls in deltas for call in calls or ()} == {0, 1}


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_official_client_reads_the_same(kernel, speaker, is_stream):
    """The same bytes: text, thoughts, tool calls and usage agree."""
    speaker.whole, speaker.events = WHOLE, streamed(WHOLE)
    with openai.OpenAI(base_url=f"{speaker.base}/v1", api_key="k", max_retries=0) as client:
        if is_stream:
            with client.responses.stream(model="gpt", input="hi") as stream:
                theirs = stream.get_final_response()
        else:
            theirs = client.responses.create(model="gpt", input="hi")
    ours = ask(kernel, speaker, stream=is_stream)
    message = ours.choices[0].message
    assert message.content == theirs.output_text
    (thought,) = (item for item in theirs.output if item.type == "reasoning")
    assert message.reasoning_text == "\n\n".join(part.text for part in thought.summary)
    called = [item for item in theirs.output if item.type == "function_call"]
    assert [(item.call_id, item.name, item.arguments) for item in called] == [
        (call.id, call.function.name, call.function.arguments) for call in message.tool_calls
    ]
    assert ours.usage.prompt_tokens == theirs.usage.input_tokens
    assert ours.usage.completion_tokens == theirs.usage.output_tokens
    cached = theirs.usage.input_tokens_details.cached_tokens
    assert ours.usage.prompt_tokens_details.cached_tokens == cached
    assert (ours.id, ours.model, ours.created) == (theirs.id, theirs.model, theirs.created_at)


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
    with Kernel.of(scillm_responses, Http, _Twice) as kernel:
        whole, folded = ask(kernel, speaker), ask(kernel, speaker, stream=True)
    assert len(speaker.sent) == 4
    assert folded.to_dict() == whole.to_dict()


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter", "steered"])
def test_an_answer_that_was_cut_says_so(kernel, speaker, reason):
    """In OpenAI's words where there is one, else in the API's own."""
    said = {**WHOLE, "status": "incomplete", "incomplete_details": {"reason": reason}}
    speaker.whole, speaker.events = said, streamed(said, "response.incomplete")
    finish = "length" if reason == "max_output_tokens" else reason
    for answer in (ask(kernel, speaker), ask(kernel, speaker, stream=True)):
        assert answer.choices[0].finish_reason == finish


def test_a_refusal_is_no_content(kernel, speaker):
    """It has a field of its own."""
    refused = {**SAID, "content": [{"type": "refusal", "refusal": "I will not."}]}
    said = {**WHOLE, "output": [refused]}
    speaker.whole, speaker.events = said, streamed(said)
    for answer in (ask(kernel, speaker), ask(kernel, speaker, stream=True)):
        message = answer.choices[0].message
        assert (message.content, message.refusal) == (None, "I will not.")
        assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("status", ["in_progress", "queued", "cancelled"])
def test_a_response_that_is_not_over_is_no_answer(kernel, speaker, status):
    """One that runs in the background, or was called off."""
    speaker.whole = {**WHOLE, "status": status}
    with pytest.raises(InvalidResponse):
        ask(kernel, speaker)


_FAILED = [
    ("server_error", InternalServerError, 500),
    ("rate_limit_exceeded", RateLimitError, 429),
    ("server_is_overloaded", ServiceUnavailableError, 503),
    ("context_length_exceeded", ContextWindowExceededError, 400),
    ("bio_policy", ContentPolicyViolationError, 400),
    ("invalid_image", BadRequestError, 400),
]


@pytest.mark.parametrize(("code", "error", "status"), _FAILED)
def test_a_response_that_failed_is_the_error_that_its_code_means(
    kernel, speaker, code, error, status
):
    """Whole, as the last event, and as an event of its own; with what had come."""
    told = {"code": code, "message": "oops"}
    failed = {**WHOLE, "status": "failed", "error": told, "output": []}
    begun = streamed({**WHOLE, "output": [SAID]})[:6]
    speaker.whole = failed
    with pytest.raises(error, match="oops"):
        ask(kernel, speaker)
    for last in ({"type": "response.failed", "response": failed}, {"type": "error", **told}):
        speaker.events = [*begun, last]
        with pytest.raises(error, match="oops") as info:
            ask(kernel, speaker, stream=True)
        assert type(info.value) is error
        assert (info.value.status_code, info.value.failure.code) == (status, code)
        assert info.value.partial.text.startswith("I ")


def test_an_error_status_has_its_wait_and_the_id_of_the_request(kernel, speaker):
    """As the kernel reads them: this API tells them as chat completions does."""
    speaker.status, speaker.headers = 429, {"x-request-id": "req_1", "retry-after": "7"}
    speaker.whole = {"error": {"code": "rate_limit_exceeded", "message": "slowly"}}
    with pytest.raises(RateLimitError, match="slowly") as info:
        ask(kernel, speaker)
    assert (info.value.request_id, info.value.failure.retry_after_s) == ("req_1", 7.0)


def test_the_request_that_goes_out_is_one_for_responses(kernel, speaker):
    """Its path, its key and its body."""
    speaker.whole = WHOLE
    ask(kernel, speaker)
    path, headers, sent = speaker.sent[0]
    assert (path, headers["authorization"]) == ("/v1/responses", "Bearer k")
    assert headers["content-type"] == "application/json"
    assert sent == {"model": "gpt", "input": HI, "store": False}

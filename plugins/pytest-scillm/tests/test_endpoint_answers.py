"""What the endpoint answers when nothing is wrong."""

import http.client
import json

import pytest

from pytest_scillm.endpoint import REASONING, REFUSAL, TEXT, Endpoint, embedding_of

ASK = {"messages": [{"role": "user", "content": "hi"}]}


def post(endpoint, options, body=ASK, path="/chat/completions"):
    """Status, headers and body of one request."""
    connection = http.client.HTTPConnection(endpoint.host, timeout=10)
    target = endpoint.url(options).removeprefix(endpoint.origin) + path
    connection.request("POST", target, json.dumps(body), {"authorization": "Bearer sk-mock"})
    answer = connection.getresponse()
    received = answer.read()
    connection.close()
    return answer.status, answer.headers, received


def whole(endpoint, options, **more):
    """A whole answer, parsed."""
    return json.loads(post(endpoint, options, {**ASK, **more})[2])


def deltas(endpoint, options):
    """The choices of all chunks of a streamed answer, in order."""
    body = post(endpoint, options, {**ASK, "stream": True})[2]
    events = body.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    return [choice for chunk in chunks for choice in chunk["choices"]]


def test_a_plain_url_answers_the_standard_text(endpoint):
    """256 characters, with usage and a finish reason."""
    answer = whole(endpoint, "")

    assert answer["choices"][0]["message"]["content"] == TEXT
    assert len(TEXT) == 256
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] == 83


def test_the_options_choose_the_content(endpoint):
    """Echo, size and nearly-JSON."""
    assert whole(endpoint, "echo")["choices"][0]["message"]["content"] == "hi"
    assert len(whole(endpoint, "sz4000")["choices"][0]["message"]["content"]) == 4000
    assert whole(endpoint, "json1")["choices"][0]["message"]["content"].startswith("```json")
    assert "usage" not in whole(endpoint, "nousage")


def test_echo_joins_the_text_parts_of_a_message(endpoint):
    """A message whose content is a list of parts is read too."""
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]

    answer = whole(endpoint, "echo", messages=[{"role": "user", "content": parts}])

    assert answer["choices"][0]["message"]["content"] == "ab"


def test_a_stream_has_as_many_chunks_as_asked_for(endpoint):
    """Plus the role before and the finish after."""
    choices = deltas(endpoint, "n50")

    assert len([choice for choice in choices if choice["delta"].get("content")]) == 50
    assert choices[0]["delta"]["role"] == "assistant"
    assert choices[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize("options", ["", "echo"])
def test_usage_that_is_declined_does_not_come(endpoint, options):
    """``include_usage: false`` is heard."""
    ask = {**ASK, "stream": True, "stream_options": {"include_usage": False}}

    declined = post(endpoint, options, ask)[2]

    assert b'"usage":{' not in declined
    assert declined.endswith(b"data: [DONE]\n\n")
    assert b'"usage":{' in post(endpoint, options, {**ASK, "stream": True})[2]


def test_a_path_that_is_none_is_a_404(endpoint):
    """A misspelt address must not pass for a good one."""
    assert post(endpoint, "", path="/../nope/v1/chat/completions")[0] == 404
    assert post(endpoint, "", path="/chat/completion")[0] == 404


def test_a_streamed_echo_folds_to_the_text(endpoint):
    """The pieces joined are the message."""
    text = "".join(choice["delta"].get("content", "") for choice in deltas(endpoint, "echo-gap0"))

    assert text == "hi"


def test_two_tool_calls_stream_in_parallel(endpoint):
    """Their fragments come in turn and join to the arguments of the whole answer."""
    joined = {0: "", 1: ""}
    order = []
    for choice in deltas(endpoint, "tools2"):
        for call in choice["delta"].get("tool_calls", []):
            joined[call["index"]] += call["function"]["arguments"]
            order.append(call["index"])

    calls = whole(endpoint, "tools2")["choices"][0]["message"]["tool_calls"]
    assert [joined[0], joined[1]] == [call["function"]["arguments"] for call in calls]
    assert order == [0, 1] * 5


def test_reasoning_comes_before_the_content(endpoint):
    """And is whole in a whole answer."""
    kinds = [next(iter(choice["delta"]), "") for choice in deltas(endpoint, "reason-n2")]

    assert kinds == ["role", *["reasoning_content"] * 4, "content", "content", ""]
    assert whole(endpoint, "reason")["choices"][0]["message"]["reasoning_content"] == REASONING


def test_a_refusal_has_no_content(endpoint):
    """Whole and streamed."""
    said = "".join(choice["delta"].get("refusal", "") for choice in deltas(endpoint, "refusal"))

    assert said == REFUSAL
    message = whole(endpoint, "refusal")["choices"][0]["message"]
    assert (message["refusal"], message["content"]) == (REFUSAL, None)


def test_three_choices_and_log_probabilities(endpoint):
    """Options add up."""
    answer = whole(endpoint, "choices3-logprobs")

    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    tokens = answer["choices"][2]["logprobs"]["content"]
    assert [token["token"] for token in tokens] == TEXT.split(" ")
    assert {choice["index"] for choice in deltas(endpoint, "choices3")} == {0, 1, 2}


def test_embeddings_depend_on_the_text_alone(endpoint):
    """As floats and as base64 of 32-bit floats."""
    asked = {"input": ["a", "b"], "dimensions": 4}
    rows = json.loads(post(endpoint, "", asked, "/embeddings")[2])["data"]
    packed = json.loads(
        post(endpoint, "", {"input": "a", "encoding_format": "base64"}, "/embeddings")[2]
    )

    assert [row["embedding"] for row in rows] == [embedding_of("a", 4), embedding_of("b", 4)]
    assert rows[0]["embedding"] != rows[1]["embedding"]
    assert isinstance(packed["data"][0]["embedding"], str)


def test_models_are_listed(endpoint):
    """Also under a fault script, which they follow."""
    url = endpoint.url("s503").removeprefix(endpoint.origin) + "/models"
    connection = http.client.HTTPConnection(endpoint.host, timeout=10)
    connection.request("GET", url)
    first = connection.getresponse()
    first.read()
    connection.request("GET", url)
    rows = json.load(connection.getresponse())["data"]
    connection.close()

    assert first.status == 503
    assert "mock-model" in [row["id"] for row in rows]


@pytest.mark.parametrize("options", ["hange", "s429.okk", "latx", "redir999", "every3.x"])
def test_a_misspelt_option_is_an_error(endpoint, options):
    """Before any request, and over HTTP."""
    with pytest.raises(ValueError, match="endpoint"):
        endpoint.url(options)


def test_a_misspelt_option_over_http_is_a_400(endpoint):
    """The message names the nearest."""
    connection = http.client.HTTPConnection(endpoint.host, timeout=10)
    connection.request("POST", "/o/hange/v1/chat/completions", "{}")
    answer = connection.getresponse()

    assert answer.status == 400
    assert "did you mean 'hang'" in json.load(answer)["error"]["message"]
    connection.close()


def test_without_uvloop_it_answers_the_same():
    """The loop of asyncio will do."""
    with Endpoint(uvloop=False) as endpoint:
        assert whole(endpoint, "echo")["choices"][0]["message"]["content"] == "hi"
        assert len(deltas(endpoint, "n3-gap0")) == 5

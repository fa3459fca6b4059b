"""What the embedded model answers, from the real host."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from scillm import BadRequestError, ContextWindowExceededError, UnknownModelError
from scillm.errors import UnsupportedParamsError

from .conftest import ask, host

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def test_a_whole_answer_has_openai_s_shape_and_its_usage(kernel):
    """Text, finish reason and the three counts of tokens are there."""
    answer = ask(kernel, max_tokens=5)

    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 5
    assert answer.model == "smollm2-135m"


def test_streamed_and_whole_text_are_the_same_at_temperature_zero(kernel):
    """The stream is cut, not changed; no chunk lacks a choice, and the usage is told at the end."""
    whole = ask(kernel, "Name a colour.", max_tokens=16, temperature=0)

    stream = ask(kernel, "Name a colour.", max_tokens=16, temperature=0, stream=True)
    chunks = list(stream)

    assert stream.response.text == whole.text
    assert len(chunks) > 3
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.text
    assert stream.response.usage.completion_tokens == 16


def test_one_seed_gives_one_text_and_another_seed_another(kernel):
    """Seed and temperature decide the text, whatever was asked in between."""
    told = {"temperature": 1.0, "max_tokens": 24}

    first = ask(kernel, "Tell me a story.", seed=7, **told).text
    other = ask(kernel, "Tell me a story.", seed=8, **told).text
    again = ask(kernel, "Tell me a story.", seed=7, **told).text

    assert first == again
    assert first != other


def test_the_text_ends_before_a_stop_word(kernel):
    """The stop word is not part of the answer."""
    answer = ask(kernel, "Count from 1 to 10.", temperature=0, max_tokens=60, stop=["3"])

    assert "3" not in answer.text
    assert answer.choices[0].finish_reason == "stop"


def test_json_mode_gives_an_object(kernel):
    """What ends by itself in JSON mode is a JSON object."""
    answers = [
        ask(
            kernel,
            "Give a person's name as JSON.",
            response_format={"type": "json_object"},
            max_tokens=100,
            seed=seed,
        )
        for seed in range(4)
    ]

    ended = [answer.text for answer in answers if answer.choices[0].finish_reason == "stop"]
    assert ended
    assert all(isinstance(json.loads(text), dict) for text in ended)


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_answer_keeps_to_its_json_schema(kernel, is_stream):
    """Name and age are there with their types, and nothing else."""
    shape = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}

    answer = ask(
        kernel, "Invent a person.", response_format=shape, max_tokens=120, seed=3, stream=is_stream
    )
    if is_stream:
        list(answer)
        answer = answer.response

    said = json.loads(answer.text)
    assert said.keys() == {"name", "age"}
    assert isinstance(said["name"], str)
    assert isinstance(said["age"], int)


def test_a_schema_that_is_none_is_the_caller_s_error(kernel):
    """llama.cpp's words about the schema reach the caller."""
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}

    with pytest.raises(BadRequestError, match="nonsense"):
        ask(kernel, response_format=shape)


def test_several_choices_and_log_probabilities_are_handed_through(kernel):
    """``n`` and ``logprobs`` are answered in OpenAI's shape."""
    answer = ask(kernel, n=2, logprobs=True, top_logprobs=2, max_tokens=2)

    assert [choice.index for choice in answer.choices] == [0, 1]
    assert len(answer.choices[0].logprobs["content"]) == 2


def test_calls_at_once_are_all_answered(kernel):
    """More calls than slots wait their turn."""

    async def all_of_them() -> list[str]:
        messages = [{"role": "user", "content": "Hi"}]
        calls = (kernel.acompletion("local/default", messages, max_tokens=3) for _ in range(6))
        return [answer.text for answer in await asyncio.gather(*calls)]

    assert all(asyncio.run(all_of_them()))


def test_the_answer_says_which_model_it_is_and_that_nobody_asked_for_it(kernel):
    """The default is marked, and a model that was named is not."""
    messages = [{"role": "user", "content": "Hi"}]

    unnamed = kernel.completion(messages=messages, max_tokens=1)
    named = kernel.completion("local/default", messages, max_tokens=1)

    told = {"model": "local/smollm2-135m", "is_default": True}
    assert unnamed.additional_kwargs["local"] == told
    assert named.additional_kwargs["local"] == {**told, "is_default": False}


def test_the_default_is_announced_once_per_process():
    """Two calls without a model write one line on standard error."""
    script = """
from scillm import Kernel
from scillm_http import Http
from scillm_local import Local
for _ in range(2):
    kernel = Kernel.of(Local(), Http())
    kernel.completion(messages=[{"role": "user", "content": "Hi"}], max_tokens=1)
"""

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stderr == (
        "scillm: no model was named, so the embedded local/smollm2-135m answers; "
        "name one with model=... or SCILLM_MODEL\n"
    )
    assert done.stdout == ""


def test_the_list_of_models_names_the_embedded_one(kernel):
    """``models("local")`` lists what there is, without a host."""
    assert [model["id"] for model in kernel.models("local").to_dict()["data"]] == ["smollm2-135m"]


def test_the_host_answers_nobody_without_the_token(kernel):
    """A process that does not know the token is turned away."""
    ask(kernel)
    address = f"http://127.0.0.1:{host().port}/v1/chat/completions"
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}]}).encode()

    for headers in ({}, {"Authorization": "Bearer wrong"}):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=10)
        caught.value.close()
        assert caught.value.code == 401


def test_a_header_of_the_caller_does_not_replace_the_token(kernel):
    """``extra_headers`` win everywhere but here, where they would only break the call."""
    assert ask(kernel, extra_headers={"Authorization": "Bearer mine"}).text


def test_messages_longer_than_the_context_have_an_error_of_their_own(kernel):
    """The caller is told both numbers of tokens."""
    with pytest.raises(ContextWindowExceededError, match="4096"):
        ask(kernel, "word " * 6000)


def test_an_image_is_refused_and_not_retried(kernel):
    """The model reads text; the error is not one that a retry might cure."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}

    with pytest.raises(BadRequestError, match="reads text alone") as caught:
        kernel.completion("local/default", [{"role": "user", "content": [image]}])

    assert not caught.value.failure.is_transient


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"model": "local/gpt-9"}, UnknownModelError, "no embedded model 'gpt-9'"),
        ({"api_base": "http://127.0.0.1:9"}, BadRequestError, "is for a server"),
        ({"n": 3}, BadRequestError, "SCILLM_LOCAL_SLOTS"),
        ({"functions": []}, UnsupportedParamsError, "'functions'"),
        ({"messages": []}, BadRequestError, "nothing to ask"),
    ],
)
def test_what_the_model_cannot_do_is_said_before_anything_starts(
    kernel, own_place, arguments, error, words
):
    """The error names the argument, and no host is started for it."""
    told = {"model": "local/default", "messages": [{"role": "user", "content": "Hi"}], **arguments}

    with pytest.raises(error, match=words):
        kernel.completion(**told)

    assert not (own_place / "run").exists()


def test_embeddings_are_refused_with_a_way_out(kernel):
    """A chat model makes no embeddings."""
    with pytest.raises(BadRequestError, match="no embeddings"):
        kernel.embedding("local/default", "text")


def test_the_address_alone_is_not_for_the_default(kernel):
    """A call that names an address and no model is a mistake, not a call of the default."""
    with pytest.raises(UnknownModelError):
        kernel.completion(
            messages=[{"role": "user", "content": "Hi"}], api_base="http://127.0.0.1:9"
        )


def test_a_proxy_of_the_environment_is_not_asked_for_the_host(own_place, monkeypatch):
    """The token is for this machine alone, so no proxy may see it."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    script = """
from scillm import Kernel
from scillm_http import Http
from scillm_local import Local
messages = [{"role": "user", "content": "Hi"}]
Kernel.of(Local(), Http()).completion("local/default", messages, max_tokens=1)
"""

    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, stderr=subprocess.PIPE)

"""The calls of the user's quickstart, against the embedded model by its OpenAI-compatible address.

The same calls run against the faulty endpoint in contrib/litellm-compat, as they were written.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from scillm import acompletion, completion
from scillm.extras.codex import chat
from scillm_local.access import Leases, host_for
from scillm_local.model import chosen

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


@pytest.fixture(scope="module")
def gateway():
    """The embedded model's host as a gateway: its address without /v1, and the key it wants."""
    leases = Leases()
    host = host_for(chosen(), leases)
    yield f"http://127.0.0.1:{host.port}", host.token
    leases.give_back()


def test_a_single_json_call(gateway):
    """With the key in x-api-key and none of its own."""
    base, key = gateway
    answer = completion(
        model="any",
        api_base=base,
        api_key=None,
        custom_llm_provider="openai_like",
        extra_headers={"x-api-key": key},
        messages=[{"role": "user", "content": 'Return only {"ok":true} as JSON.'}],
        response_format={"type": "json_object"},
        temperature=0,
        max_tokens=64,
    )
    content = answer.choices[0].message.get("content", "")
    assert content == answer.choices[0].message["content"] == answer.choices[0].message.content
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(content), (dict, list))


def test_streaming_text(gateway):
    """With a Bearer key, and aclose at the end."""
    base, key = gateway

    async def main():
        stream = await acompletion(
            model="any",
            api_base=base,
            api_key=None,
            custom_llm_provider="openai_like",
            extra_headers={"Authorization": f"Bearer {key}"},
            messages=[{"role": "user", "content": "Tell me a 50 word story."}],
            stream=True,
            temperature=0,
            max_tokens=40,
        )
        texts = [event.text async for event in stream]
        await stream.aclose()
        return texts, stream.response

    texts, response = asyncio.run(main())
    assert len(texts) > 10
    assert "".join(texts) == response.text


def test_tools_without_streaming(gateway):
    """What is printed can be read, whether or not the model calls the tool."""
    base, key = gateway
    answer = completion(
        model="any",
        api_base=base,
        api_key=None,
        custom_llm_provider="openai_like",
        extra_headers={"Authorization": f"Bearer {key}"},
        messages=[{"role": "user", "content": "What is the weather in Tokyo right now?"}],
        tools=TOOLS,
        tool_choice="auto",
        temperature=0,
        stream=False,
        max_tokens=40,
    )
    assert answer.choices[0].finish_reason in ("stop", "length", "tool_calls")
    assert answer.choices[0].tool_calls == answer.choices[0].message.tool_calls


def test_the_agent_forms(gateway, monkeypatch):
    """Provider by prefix, provider by argument, and the helper."""
    base, key = gateway
    monkeypatch.setenv("CODEX_AGENT_API_KEY", key)
    ask = [{"role": "user", "content": "Return strict JSON {ok:true}"}]
    wanted = {"response_format": {"type": "json_object"}, "temperature": 1, "max_tokens": 32}
    by_prefix = completion(model="codex-agent/gpt-5", messages=ask, api_base=base, **wanted)
    by_argument = completion(
        model="gpt-5",
        custom_llm_provider="codex-agent",
        api_base=base,
        messages=ask,
        allowed_openai_params=["reasoning", "reasoning_effort"],
        reasoning_effort="medium",
        **wanted,
    )
    by_helper = chat(messages=ask, model="gpt-5", base=base, max_tokens=32, temperature=1)
    assert by_prefix.choices[0].message["content"]
    assert by_argument.choices[0].message["content"]
    assert by_helper["choices"][0]["message"]["content"]

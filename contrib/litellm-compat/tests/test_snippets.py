"""The calls that older scripts make, pasted into a fresh interpreter against a real endpoint."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_scillm.endpoint import Endpoint

LEGACY = "LITELLM_ENABLE_CODEX_AGENT"


def paste(code: str, **environment: str) -> str:
    """Run a script with these variables and none of ours; returns what it prints.

    What a process leaves behind is an error too: unclosed connections, tasks that nobody awaited.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SCILLM_", "LITELLM_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", f"ignore:{LEGACY} is legacy", "-c", code],
        env={**kept, "SCILLM_DOTENV": "0", "NO_PROXY": "127.0.0.1", **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def gateway(base: str) -> dict[str, str]:
    """The variables that say which gateway to call."""
    return {
        "CHUTES_API_BASE": base,
        "CHUTES_API_KEY": "sk-mock",
        "CHUTES_MODEL_ID": "vendor/one",
        "CHUTES_TEXT_MODEL": "vendor/text",
        "CHUTES_TOOLS_MODEL": "vendor/tools",
    }


SINGLE_JSON = """
from scillm import completion, os
r = completion(
  model=os.environ["CHUTES_MODEL_ID"],
  api_base=os.environ["CHUTES_API_BASE"],
  api_key=None,
  custom_llm_provider="openai_like",
  extra_headers={"x-api-key": os.environ["CHUTES_API_KEY"]},
  messages=[{"role":"user","content":"Return only {\\"ok\\":true} as JSON."}],
  response_format={"type":"json_object"},
  temperature=0, max_tokens=16)
print(r.choices[0].message.get("content",""))
"""


def test_a_single_json_call(endpoint: Endpoint) -> None:
    """Modules come along with `completion`; the key travels as x-api-key alone."""
    base = endpoint.url("echo")

    said = paste(SINGLE_JSON, **gateway(base))

    assert said == 'Return only {"ok":true} as JSON.\n'
    (sent,) = endpoint.requests_to(base)
    assert sent.headers["x-api-key"] == "sk-mock"
    assert "authorization" not in sent.headers
    assert sent.json["model"] == "vendor/one"
    assert sent.json["response_format"] == {"type": "json_object"}
    assert (sent.json["temperature"], sent.json["max_tokens"]) == (0, 16)


STREAM = """
from scillm import acompletion, os, asyncio
async def main():
  s = await acompletion(
    model=os.environ["CHUTES_TEXT_MODEL"], api_base=os.environ["CHUTES_API_BASE"],
    api_key=None, custom_llm_provider="openai_like",
    extra_headers={"Authorization": f"Bearer {os.environ['CHUTES_API_KEY']}"},
    messages=[{"role":"user","content":"Tell me a 50 word story."}], stream=True,
    temperature=0)
  async for ev in s: print(ev)
  await s.aclose()
asyncio.run(main())
"""


def test_a_stream(endpoint: Endpoint) -> None:
    """Each event is printed as it comes; the stream can be closed."""
    base = endpoint.url("n5")

    lines = paste(STREAM, **gateway(base)).splitlines()

    assert len(lines) >= 5
    assert all(line.startswith("Chunk(") for line in lines)
    (sent,) = endpoint.requests_to(base)
    assert sent.headers["authorization"] == "Bearer sk-mock"
    assert sent.json["stream"] is True


TOOLS = """
from scillm import completion, os
tools=[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}]
r = completion(model=os.environ["CHUTES_TOOLS_MODEL"], api_base=os.environ["CHUTES_API_BASE"],
  api_key=None, custom_llm_provider="openai_like",
  extra_headers={"Authorization": f"Bearer {os.environ['CHUTES_API_KEY']}"},
  messages=[{"role":"user","content":"What is the weather in Tokyo right now?"}],
  tools=tools, tool_choice="auto", temperature=0, stream=False)
print(r.choices[0].finish_reason, r.choices[0].tool_calls)
"""


def test_a_tool_call(endpoint: Endpoint) -> None:
    """The calls are read on the choice."""
    base = endpoint.url("tool")

    said = paste(TOOLS, **gateway(base))

    assert said.startswith("tool_calls (ToolCall(")
    (sent,) = endpoint.requests_to(base)
    assert "get_weather" in json.dumps(sent.json["tools"])
    assert sent.json["tool_choice"] == "auto"


BY_PROVIDER = """
from scillm import completion
r = completion(model="gpt-5", custom_llm_provider="codex-agent",
  messages=[{"role":"user","content":"ping"}], max_tokens=128)
print(r.choices[0].message.content)
"""


def test_the_provider_named_apart(endpoint: Endpoint) -> None:
    """Its address, without /v1, comes from the environment; the legacy switch does no harm."""
    base = endpoint.url("echo")

    said = paste(
        BY_PROVIDER,
        **{LEGACY: "1"},
        CODEX_AGENT_API_BASE=base.removesuffix("/v1"),
    )

    assert said == "ping\n"
    (sent,) = endpoint.requests_to(base)
    assert (sent.json["model"], sent.json["max_tokens"]) == ("gpt-5", 128)


BY_MODEL = """
from scillm import completion
base = "BASE"
r = completion(
  model="codex-agent/gpt-5",  # no custom_llm_provider needed
  messages=[{"role":"user","content":"Return strict JSON {ok:true}"}],
  api_base=base,
  response_format={"type":"json_object"},
  temperature=1,
)
print(r.choices[0].message["content"])
"""


def test_the_provider_named_by_the_model(endpoint: Endpoint) -> None:
    """Only the model changes."""
    base = endpoint.url("echo")

    said = paste(BY_MODEL.replace("BASE", base.removesuffix("/v1")))

    assert said == "Return strict JSON {ok:true}\n"
    (sent,) = endpoint.requests_to(base)
    assert (sent.json["model"], sent.json["temperature"]) == ("gpt-5", 1)


JUDGE = """
from scillm import completion
base = "BASE"
msgs=[
  {"role":"system","content":"Return STRICT JSON only: {best_id:string, rationale_short:string}."},
  {"role":"user","content":"A vs B; pick one and say why (short)."},
]
resp = completion(
  model="gpt-5", custom_llm_provider="codex-agent", api_base=base,
  messages=msgs, response_format={"type":"json_object"},
  temperature=1, allowed_openai_params=["reasoning","reasoning_effort"], reasoning_effort="medium"
)
print(resp.choices[0].message["content"])
"""


def test_a_judge(endpoint: Endpoint) -> None:
    """Both messages are sent, and the effort, whichever spelling the agent reads."""
    base = endpoint.url("echo")

    said = paste(JUDGE.replace("BASE", base.removesuffix("/v1")))

    assert said == "A vs B; pick one and say why (short).\n"
    (sent,) = endpoint.requests_to(base)
    assert isinstance(sent.json["messages"], list)
    assert [message["role"] for message in sent.json["messages"]] == ["system", "user"]
    assert sent.json["reasoning_effort"] == "medium"


HELPER = """
from scillm.extras.codex import chat
msgs=[{"role":"user","content":"A vs B; pick one and say why (short)."}]
res = chat(messages=msgs, model="gpt-5", base="BASE",
           response_format={"type":"json_object"}, temperature=1, reasoning_effort="medium")
print(res["choices"][0]["message"]["content"])
"""


@pytest.mark.parametrize("package", ["scillm", "litellm"])
def test_the_minimal_helper(endpoint: Endpoint, package: str) -> None:
    """The answer is plain dicts; either package has it."""
    base = endpoint.url("echo")
    code = HELPER.replace("BASE", base.removesuffix("/v1")).replace("scillm", package)

    assert paste(code) == "A vs B; pick one and say why (short).\n"


THEIRS = """
import asyncio, json, os
import litellm
from litellm import acompletion, aembedding, completion, embedding
from litellm.exceptions import RateLimitError

where = dict(api_base=os.environ["CHUTES_API_BASE"], custom_llm_provider="openai_like")
asked = [{"role": "user", "content": "hi"}]
try:
    completion(model="m", messages=asked, **{**where, "api_base": os.environ["REFUSES"]})
except RateLimitError as error:
    caught = [type(error).__name__, error.status_code, isinstance(error, litellm.APIError)]
answer = completion(model="m", messages=asked, **where)
async def main():
    return (await acompletion(model="m", messages=asked, **where)).text
vectors = embedding(model="m", input=["a", "b"], **where)
is_theirs = isinstance(answer, litellm.ModelResponse)
print(json.dumps([caught, is_theirs, asyncio.run(main()), len(vectors.data)]))
"""


def test_litellms_names_call_scillm(endpoint: Endpoint) -> None:
    """Functions, errors and classes, against a server that answers and one that refuses."""
    base = endpoint.url("echo")

    said = json.loads(
        paste(THEIRS, **gateway(base), REFUSES=endpoint.url("429"), SCILLM_MAX_RETRIES="0")
    )

    assert said == [["RateLimitError", 429, True], True, "hi", 2]


PREFLIGHT = """
from litellm.extras.preflight import preflight_models
import os
preflight_models(api_base=os.environ["CHUTES_API_BASE"], api_key=os.environ.get("CHUTES_API_KEY"))
"""
GUARDED = """
from litellm import completion
from litellm.extras.preflight import preflight_models
where = dict(api_base=os.environ["CHUTES_API_BASE"], custom_llm_provider="openai_like")
asked = [{"role": "user", "content": "hi"}]
os.environ["SCILLM_MODEL_PREFLIGHT"] = "1"
try:
    completion(model="gpt-4o-nano", messages=asked, **where)
except ValueError as error:
    print(error.nearest[0])
os.environ["SCILLM_MODEL_ALIAS"] = "1"
answer = completion(model="GPT 4o mini", messages=asked, **where)
print(answer.text, answer._hidden_params["requested_model_id"], answer.served_by.model, sep=", ")
"""


def test_models_are_looked_up_once_and_guarded(endpoint: Endpoint, tmp_path: Path) -> None:
    """As the quickstart does; an unknown id is a ValueError, a name is resolved if asked for."""
    base = endpoint.url("echo")
    variables = {**gateway(base), "XDG_CACHE_HOME": str(tmp_path)}

    said = paste(PREFLIGHT + GUARDED, **variables).splitlines()
    again = paste(PREFLIGHT, **variables)

    assert said == ["gpt-4o-mini", "hi, GPT 4o mini, gpt-4o-mini"]
    assert again == ""
    sent = endpoint.requests_to(base)
    assert [request.path.rpartition("/")[2] for request in sent] == ["models", "completions"]
    assert sent[0].headers["authorization"] == "Bearer sk-mock"
    assert sent[1].json["model"] == "gpt-4o-mini"

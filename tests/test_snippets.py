"""The calls of the user's quickstart that need several distributions, pasted as they are written.

Each runs in a fresh interpreter, where ``await`` may stand at the top as in a notebook, against a
real endpoint. Those that need one distribution are in contrib/litellm-compat.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from attrs import field, frozen

RUN = """
import ast, asyncio, inspect, sys
code = compile(sys.stdin.read(), "quickstart", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
made = eval(code, {"__name__": "__main__"})
if inspect.iscoroutine(made):
    asyncio.run(made)
"""
JSON = r'\{"ok": ?true\}'
ASKED = r'Return only \{"ok": ?true\} as JSON\.'


@frozen
class Snippet:
    """One block of the quickstart.

    Args:
        code: as it is written.
        said: what it prints, a regular expression over all of it.
        requests: how many chats the endpoint sees; None where the machine's load decides.
        options: of the endpoint.
        variables: besides those that name the gateway and the agent.
        warned: what it prints on standard error, a regular expression over all of it.
    """

    code: str
    said: str = ""
    requests: int | None = 1
    options: str = "echo"
    variables: dict[str, str] = field(factory=dict)
    warned: str = ""


X_API_KEY = """
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
STRICT = Snippet(
    """
from scillm.extras import strict_json_completion, os
r = strict_json_completion(
  api_base=os.environ["CHUTES_API_BASE"], api_key=None,
  extra_headers={"Authorization": f"Bearer {os.environ['CHUTES_API_KEY']}"},
  model=os.environ["CHUTES_TEXT_MODEL"],
  messages=[{"role":"user","content":"Return only {\\"ok\\":true} as JSON."}],
  timeout=30)
print(r["choices"][0]["message"]["content"])
""",
    JSON,
)
HEDGED = Snippet(
    """
import asyncio, os
from scillm.extras import hedged_json_completion
async def _run():
  r = await hedged_json_completion(
    api_base=os.environ["CHUTES_API_BASE"], key=os.environ["CHUTES_API_KEY"],
    model=os.environ["CHUTES_TEXT_MODEL"],
    messages=[{"role":"user","content":"Return only {\\"ok\\":true} as JSON."}],
    timeout=30)
  print(r.choices[0].message.get('content',''))
asyncio.run(_run())
""",
    JSON,
    None,
)
BATCH = Snippet(
    """
from scillm import Router, os
router = Router(model_list=[{"model_name":"chutes","litellm_params":{
  "model": os.environ["CHUTES_MODEL_ID"],
  "api_base": os.environ["CHUTES_API_BASE"],
  "api_key": None,
  "custom_llm_provider": "openai_like",
  "extra_headers": {"x-api-key": os.environ["CHUTES_API_KEY"]}}}])
reqs = [{"model": "chutes", "messages": [{"role": "user", "content": str(n)}]} for n in range(5)]
results = await router.parallel_acompletions(reqs, concurrency=2)
print([r["choices"][0]["message"]["content"] for r in results])
""",
    re.escape("['0', '1', '2', '3', '4']"),
    5,
)
TENACIOUS = """
from scillm.extras.chutes_simple import chutes_chat_json
r = chutes_chat_json(messages=[{"role":"user","content":'Return only {"ok":true} as JSON.'}], tenacious=True, max_wall_time_s=6*3600)
print(r.choices[0].message.content)
"""
AUTO = """
from scillm.extras import auto_router_from_env
router = auto_router_from_env(kind="text", require_json=True)
out = router.completion(
  model=router.model_list[0]["model_name"],
  messages=[{"role":"user","content":'Return only {"ok":true} as JSON.'}],
  response_format={"type":"json_object"},
  max_retries=3, retry_after=1, timeout=45,
)
print(out.choices[0].message.get("content",""))
"""
WARM = """
from scillm.extras import warm_chutes_caches
warm_chutes_caches(router.model_list)
"""
FALLBACK = """
from scillm.extras import infer_with_fallback
resp, meta = infer_with_fallback(
    messages=[{"role":"user","content":'Return only {"ok":true} as JSON.'}],
    kind="text", require_json=True,
    max_retries=3, retry_after=1, timeout=45,
)
print(resp.choices[0].message.get('content',''))
print(meta)  # includes served_model and route
"""
BEST = Snippet(
    """
from scillm.extras import find_best_chutes_model
entry = find_best_chutes_model(kind="text", require_json=True, util_threshold=0.85)
print(entry)
""",
    r"\{'model_name': 'chutes/text', 'litellm_params': \{.*'model': 'vendor/text'.*\}\}",
    0,
)
CHAT = Snippet(
    """
from scillm.extras.codex import chat
r = chat([{"role":"user","content":"ping"}], model="gpt-5", temperature=0, max_tokens=16)
print(r["choices"][0]["message"]["content"])
""",
    "ping",
)
CLEAN = Snippet(
    """
import litellm.extras.json_utils
print(litellm.extras.json_utils.clean_json_string('```json\\n{"ok": true}\\n```'))
""",
    JSON,
    0,
)
CACHE = """
import os
from litellm.extras import initialize_litellm_cache
initialize_litellm_cache()  # uses REDIS_HOST/PORT if available, else in-memory

# Optional: run-scoped namespace (advanced)
import litellm
from litellm.caching.caching import Cache, LiteLLMCacheType
litellm.cache = Cache(type=LiteLLMCacheType.REDIS, host=os.getenv("REDIS_HOST","localhost"), port=os.getenv("REDIS_PORT","6379"), namespace=f"run:{os.getenv('RUN_ID','dev')}")
litellm.enable_cache()
for n in range(3):
  r = litellm.completion(model="codex-agent/m", messages=[{"role":"user","content":"again"}])
print(r.choices[0].message.content)
"""
FAN = Snippet(
    """
from litellm import Router
reqs = [{"model": "codex-agent/m", "messages": [{"role": "user", "content": f"q{n}"}]} for n in range(3)]
results = await Router().parallel_acompletions(reqs, concurrency=8)
for r in results:
    print(r.index, r.content, r.error)
""",
    "0 q0 None\n1 q1 None\n2 q2 None",
    3,
)
AS_COMPLETED = Snippet(
    """
from litellm import Router
reqs = [{"model": "codex-agent/m", "messages": [{"role": "user", "content": "q"}]} for n in range(3)]
seen = []
async for r in Router().parallel_as_completed(reqs): seen.append(r.index)
print(sorted(seen))
""",
    re.escape("[0, 1, 2]"),
    3,
)
AD_HOC = Snippet(
    """
from litellm import Router
r = Router()
out = r.completion(
    model="gpt-5",
    custom_llm_provider="codex-agent",
    messages=[{"role":"user","content":"Return STRICT JSON only: {\\"ok\\":true}"}],
    reasoning_effort="high",
    response_format={"type":"json_object"}
)
print(out.choices[0].message["content"])  # OpenAI-format
""",
    r"Return STRICT JSON only: \{\"ok\":true\}",
)
MAPPED = Snippet(
    """
import os
from litellm import Router
r = Router(model_list=[{"model_name":"gpt-5","litellm_params":{"model":"gpt-5","custom_llm_provider":"codex-agent","api_base":os.getenv("CODEX_AGENT_API_BASE"),"api_key":os.getenv("CODEX_AGENT_API_KEY")}}])
print(r.completion(model="gpt-5", messages=[{"role":"user","content":"judge"}]).choices[0].message["content"])
""",
    "judge",
)
TEXT_ROUTER = """
import os
from litellm import Router

router_text = Router(model_list=[
  {"model_name": "chutes/text",
   "litellm_params": {"custom_llm_provider": "openai_like",
                       "model": os.environ["CHUTES_TEXT_MODEL"],
                       "api_base": os.environ["CHUTES_API_BASE"],
                       "api_key": os.environ["CHUTES_API_KEY"],
                       "order": 1}},
  {"model_name": "chutes/text",
   "litellm_params": {"custom_llm_provider": "openai_like",
                       "model": os.environ.get("CHUTES_TEXT_MODEL_ALT1", ""),
                       "api_base": os.environ["CHUTES_API_BASE"],
                       "api_key": os.environ["CHUTES_API_KEY"],
                       "order": 2}},
])

out = router_text.completion(
  model="chutes/text",
  messages=[{"role":"user","content":"Return only {\\"ok\\": true} as JSON."}],
  response_format={"type":"json_object"},
)
print(out.choices[0].message.get("content",""))
"""
VLM_ROUTER = Snippet(
    """
import os
from litellm import Router
router_vlm = Router(model_list=[
  {"model_name": "chutes/vlm",
   "litellm_params": {"custom_llm_provider": "openai_like",
                       "model": os.environ.get("CHUTES_VLM_MODEL", ""),
                       "api_base": os.environ["CHUTES_API_BASE"],
                       "api_key": os.environ["CHUTES_API_KEY"],
                       "order": 1}},
  {"model_name": "chutes/vlm",
   "litellm_params": {"custom_llm_provider": "openai_like",
                       "model": os.environ.get("CHUTES_VLM_MODEL_ALT1", ""),
                       "api_base": os.environ["CHUTES_API_BASE"],
                       "api_key": os.environ["CHUTES_API_KEY"],
                       "order": 2}},
])

out = router_vlm.completion(
  model="chutes/vlm",
  messages=[{"role":"user","content":[{"type":"text","text":"Return only {\\"ok\\": true} as JSON."}]}],
  response_format={"type":"json_object"},
)
print(out.choices[0].message.get("content",""))
""",
    ASKED,
    variables={"CHUTES_VLM_MODEL": "vendor/vlm"},
)
RETRIES = """
import json
from scillm import completion
r = completion("codex-agent/m", [{"role":"user","content":"hi"}])
print(json.dumps(r.additional_kwargs.get("router")))
"""
MIME = """
from scillm import completion
r = completion("codex-agent/m", [{"role":"user","content":"hi"}], response_mime_type="application/json", auto_json_sanitize=True)
print(r.choices[0].message.content, r._hidden_params["json_sanitized"], r._hidden_params["json_sanitizer"])
"""
SNIPPETS = {
    "strict JSON": STRICT,
    "hedge once": HEDGED,
    "a Router's batch": BATCH,
    "tenacious": Snippet(TENACIOUS, ASKED, 2, "s503.ok-ram1-echo"),
    "a Router out of the environment": Snippet(AUTO, ASKED),
    "a Router over what is listed": Snippet(AUTO, ASKED, variables={"CHUTES_TEXT_MODEL": ""}),
    "warm caches": Snippet(AUTO + WARM, ASKED),
    "who served": Snippet(
        FALLBACK, ASKED + r"\n\{'route': 'router',.*'served_model': 'vendor/text'.*\}"
    ),
    "the best": BEST,
    "the agent's chat": CHAT,
    "clean JSON": CLEAN,
    "the cache, in memory": Snippet(
        CACHE,
        "again",
        variables={"REDIS_HOST": "127.0.0.1", "REDIS_PORT": "1"},
        warned="no Redis answers: answers are kept in the memory of this process\nRedis cannot .*",
    ),
    "fan out": FAN,
    "as completed": AS_COMPLETED,
    "a Router without a list": AD_HOC,
    "a Router with one model": MAPPED,
    "text Router": Snippet(TEXT_ROUTER, ASKED),
    "text Router, first busy": Snippet(
        TEXT_ROUTER, ASKED, 2, "s503.ok-echo", {"CHUTES_TEXT_MODEL_ALT1": "vendor/alt"}
    ),
    "text Router, with the variables that go with it": Snippet(
        TEXT_ROUTER,
        ASKED,
        variables={
            "SCILLM_CHUTES_CANONICALIZE_OPENAI_AUTH": "1",
            "LITELLM_MAX_RETRIES": "3",
            "LITELLM_RETRY_AFTER": "2",
            "SCILLM_COOLDOWN_429_S": "120",
            "SCILLM_RATE_LIMIT_QPS": "2",
            "SCILLM_DISABLE_AIOHTTP": "1",
            "LITELLM_TIMEOUT": "45",
        },
    ),
    "text Router, a host that wants x-api-key": Snippet(TEXT_ROUTER, ".*fox.*", 2, "xkey"),
    "JSON with x-api-key, a host that wants Bearer": Snippet(
        X_API_KEY, r"\{\"a\": 1, .*\}", 2, "bearer-json1", {"SCILLM_JSON_SANITIZE": "1"}
    ),
    "VLM Router": VLM_ROUTER,
    "retries told": Snippet(
        RETRIES,
        r'\{"retries": \{"attempts": 2, "total_sleep_s": [\d.]+, "last_retry_after_s": 0\.00\d\}\}',
        2,
        "s429.ok-ram1",
        {"SCILLM_RETRY_META": "1", "SCILLM_RETRY_AFTER": "0.01"},
    ),
    "retries not told": Snippet(RETRIES, "null", 2, "s429.ok-ram1", {"SCILLM_RETRY_AFTER": "0.01"}),
    "the variables of litellm": Snippet(
        RETRIES, "null", 1, "echo", {"LITELLM_MAX_RETRIES": "3", "LITELLM_RETRY_AFTER": "2"}
    ),
    "JSON by its type": Snippet(MIME, r'\{"a": 1, .*\} True clean_json_string', 1, "json1"),
    "JSON by a variable": Snippet(
        MIME.replace(", auto_json_sanitize=True", ""),
        r'\{"a": 1, .*\} True clean_json_string',
        1,
        "json1",
        {"SCILLM_JSON_SANITIZE": "1"},
    ),
}


@pytest.fixture
def paste(endpoint):
    """Run a script with these variables and none of ours; returns what it prints."""

    def run(snippet):
        base = endpoint.url(snippet.options)
        kept = {k: v for k, v in os.environ.items() if not re.match("SCILLM_|LITELLM_|CHUTES_", k)}
        named = {
            "SCILLM_DOTENV": "0",
            "NO_PROXY": "127.0.0.1",
            "CHUTES_API_BASE": base,
            "CHUTES_API_KEY": "sk-mock",
            "CHUTES_MODEL_ID": "vendor/one",
            "CHUTES_TEXT_MODEL": "vendor/text",
            "CODEX_AGENT_API_BASE": base.removesuffix("/v1"),
        }
        done = subprocess.run(
            [sys.executable, "-W", "error", "-W", "ignore:LITELLM_", "-c", RUN],
            input=snippet.code,
            env={**kept, **named, **snippet.variables},
            capture_output=True,
            text=True,
            timeout=60,
        )
        sent = [each for each in endpoint.requests_to(base) if each.json]
        return done, sent

    return run


@pytest.mark.parametrize("name", SNIPPETS)
def test_a_snippet_runs_as_it_is_written(paste, name):
    """It prints what it should, after as many requests as it should, and leaves nothing open."""
    snippet = SNIPPETS[name]
    done, sent = paste(snippet)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(snippet.warned, done.stderr.strip(), re.DOTALL), done.stderr
    assert re.fullmatch(snippet.said, done.stdout.strip(), re.DOTALL), done.stdout
    assert snippet.requests in (None, len(sent))


def test_the_cache_in_redis_keeps_to_its_run(paste, endpoint, redis_server):
    """As written, with a real Redis: a later process of the same run asks for nothing."""
    place = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis_server.port)}
    base = endpoint.url("echo").removesuffix("/v1")
    for run, requests in (("one", 1), ("one", 1), ("two", 2)):
        variables = {**place, "RUN_ID": run, "CODEX_AGENT_API_BASE": base}
        done, _ = paste(Snippet(CACHE, variables=variables))
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "again", "")
        assert len(endpoint.requests_to(f"{base}/v1")) == requests


def test_the_options_of_a_generated_code_call_reach_the_agent(paste):
    """An agent that only echoes writes no programs, and the helper says so."""
    code = """
from scillm.extras.multi_agents import answer_code_autogen_and_judge_codex_only
items=[{"task":"six improved fast inverse square root for gaming (C/C++)","context":{}}]
answer_code_autogen_and_judge_codex_only(items, n_variants=6, generator_model="gpt-5", judge_model="codex-agent/gpt-5")
"""
    done, sent = paste(Snippet(code))
    assert done.returncode == 1
    assert "UnusableAnswer: codex-agent" in done.stderr or "wrote no program" in done.stderr
    assert json.loads(sent[0].json["messages"][1]["content"])["number_of_variants"] == 6


@pytest.mark.parametrize(
    "line",
    [
        "from scillm import Router, os",
        "from scillm import completion, os",
        "from scillm import acompletion, os, asyncio",
        "from scillm.extras import strict_json_completion, os",
        "from litellm import Router",
        "from litellm import completion",
        "from litellm.extras import initialize_litellm_cache",
        "from litellm.caching.caching import Cache, LiteLLMCacheType",
        "import litellm; litellm.enable_cache(); litellm.cache = None",
    ],
)
def test_an_import_works_as_it_is_written(paste, line):
    """In a fresh interpreter, without a word."""
    done, _ = paste(Snippet(line))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

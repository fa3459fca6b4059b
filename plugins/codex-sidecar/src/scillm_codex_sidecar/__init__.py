"""The sidecar of codex-agent: an OpenAI-compatible server in front of what can answer.

It answers no hook; what makes it a plugin is that ``scillm env`` lists its settings. The server
is ``scillm serve codex-sidecar``, or ``uvicorn scillm_codex_sidecar.server:app``.
"""

from __future__ import annotations

from typing import Any

from scillm import Setting
from scillm_serving.rules import SETTINGS as SERVING

ECHO: Setting[str] = Setting(
    name="CODEX_SIDECAR_ECHO",
    default="",
    prefix="",
    help="1 answers by a canned text, 0 never does; unset does if there is nothing else",
)
FORWARD_BASE = Setting(
    name="CODEX_FORWARD_BASE", default="", prefix="", help="upstream that the sidecar asks"
)
FORWARD_TOKEN: Setting[str | None] = Setting(
    name="CODEX_FORWARD_TOKEN",
    default=None,
    prefix="",
    is_secret=True,
    help="key for that upstream",
)
COMMAND = Setting(
    name="CODEX_CMD",
    default="",
    prefix="",
    help="command that the sidecar runs, {model} being the model; else codex exec --json",
)
INPUT_MODE = Setting(
    name="CODEX_INPUT_MODE",
    default="prompt",
    prefix="",
    help="how it is told the prompt: prompt (last argument), flag, or json (standard input)",
)
PROMPT_FLAG = Setting(
    name="CODEX_PROMPT_FLAG", default="--prompt", prefix="", help="the flag, where it is a flag"
)
AUTH_PATH = Setting(
    name="CODEX_AUTH_PATH",
    default="~/.codex/auth.json",
    prefix="",
    help="file in which the codex command keeps its login",
)
MODELS = Setting(
    name="CODEX_SIDECAR_MODELS",
    default="gpt-5",
    prefix="",
    help="ids, separated by commas, that the sidecar lists where it has no upstream",
)
SETTINGS: tuple[Setting[Any], ...] = (
    ECHO,
    FORWARD_BASE,
    FORWARD_TOKEN,
    COMMAND,
    INPUT_MODE,
    PROMPT_FLAG,
    AUTH_PATH,
    MODELS,
    *SERVING,
)

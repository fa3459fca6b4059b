"""Well-known hosts that speak OpenAI's dialect: configuration, not code."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from scillm import Secret, Setting
from scillm.settings import variable


@frozen(kw_only=True)
class Host:
    """One row of the table.

    Attributes:
        names: Provider names; the first is the one that answers are marked with.
        base_url: Where it lives, up to ``/chat/completions``; ``""`` if the caller says.
        key_variable: Environment variable of its key, or ``""``.
        base_variable: Environment variable that moves it elsewhere, or ``""``.
        has_stream_usage: Whether it tells the usage at the end of a stream when asked to.
    """

    names: tuple[str, ...]
    base_url: str = ""
    key_variable: str = ""
    base_variable: str = ""
    has_stream_usage: bool = True

    @property
    def needs_key(self) -> bool:
        """Whether a call without any key is refused before it is sent."""
        return bool(self.key_variable and self.base_url)

    @property
    def settings(self) -> tuple[Setting[Any], ...]:
        """The host's variables, for the list of settings."""
        key, base = self.key_variable, self.base_variable
        found: list[Setting[Any]] = []
        if key:
            found.append(
                Setting(
                    name=key,
                    default=None,
                    prefix="",
                    is_secret=True,
                    help=f"key for {self.names[0]}",
                )
            )
        if base:
            found.append(
                Setting(
                    name=base, default=self.base_url, prefix="", help=f"address of {self.names[0]}"
                )
            )
        return tuple(found)

    def key(self) -> Secret | None:
        """Return the key that the environment holds, if any."""
        text = variable(self.key_variable) if self.key_variable else None
        return Secret(text) if text else None


HOSTS: tuple[Host, ...] = (
    Host(names=("openai_like", "openai-like"), has_stream_usage=False),
    Host(
        names=("openai",),
        base_url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        base_variable="OPENAI_BASE_URL",
    ),
    Host(
        names=("chutes",),
        base_url="https://llm.chutes.ai/v1",
        key_variable="CHUTES_API_KEY",
        base_variable="CHUTES_API_BASE",
    ),
    Host(
        names=("openrouter",),
        base_url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
    ),
    Host(names=("groq",), base_url="https://api.groq.com/openai/v1", key_variable="GROQ_API_KEY"),
    Host(
        names=("together_ai", "together"),
        base_url="https://api.together.xyz/v1",
        key_variable="TOGETHER_API_KEY",
    ),
    Host(
        names=("deepseek",), base_url="https://api.deepseek.com/v1", key_variable="DEEPSEEK_API_KEY"
    ),
    Host(
        names=("mistral",),
        base_url="https://api.mistral.ai/v1",
        key_variable="MISTRAL_API_KEY",
        has_stream_usage=False,
    ),
    Host(
        names=("fireworks_ai", "fireworks"),
        base_url="https://api.fireworks.ai/inference/v1",
        key_variable="FIREWORKS_API_KEY",
    ),
    Host(names=("xai",), base_url="https://api.x.ai/v1", key_variable="XAI_API_KEY"),
    Host(
        names=("cerebras",), base_url="https://api.cerebras.ai/v1", key_variable="CEREBRAS_API_KEY"
    ),
    Host(names=("ollama",), base_url="http://127.0.0.1:11434/v1", base_variable="OLLAMA_BASE_URL"),
    Host(
        names=("vllm", "hosted_vllm"),
        base_url="http://127.0.0.1:8000/v1",
        base_variable="VLLM_BASE_URL",
    ),
    Host(
        names=("lm_studio",),
        base_url="http://127.0.0.1:1234/v1",
        base_variable="LM_STUDIO_BASE_URL",
    ),
)

"""Traces: one line of JSON for each run, only appended to, without secrets."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from scillm.settings import warn
from scillm_mini_agent.settings import STORE_PATH, STORE_TRACES, TOOL_HEADERS

if TYPE_CHECKING:
    from scillm_mini_agent.values import AgentConfig, AgentRunResult

_PREVIEW_CHARS = 200
_HIDDEN = "***"
_SECRET_NAME = re.compile(
    r"authorization|api[-_]?key|(?<![a-z])(?:token|secret|password|passwd|credential)s?(?![a-z])"
    r"|(?:access|auth|refresh|bearer)[-_]?token|cookie|private[-_]?key",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"\b(?:sk|pk|rk|cpk|ghp|gho|ghs|xox[abps]|glpat|hf|AKIA|AIza)[-_]?[A-Za-z0-9_\-.]{12,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|(?<=Bearer )[^\s\"']{6,}"
    r"|(?<=://)[^/\s:@\"']+:[^/\s@\"']+(?=@)"
)
_SECRET_PAIR = re.compile(
    r"((?:api[-_]?key|token|secret|password|authorization)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,}]{4,}",
    re.IGNORECASE,
)


def store(result: AgentRunResult, config: AgentConfig) -> None:
    """Append a line about a run, if that is asked for.

    A file that cannot be written is warned of; it takes no answer away.
    """
    if not STORE_TRACES.value():
        return
    path = STORE_PATH.value()
    if not path:
        warn("MINI_AGENT_STORE_TRACES is set and MINI_AGENT_STORE_PATH is not: no trace is kept")
        return
    try:
        append(path, line_of(result, config))
    except OSError as error:
        warn(f"no trace was kept: {path!r} cannot be written ({error.strerror})")


def line_of(result: AgentRunResult, config: AgentConfig) -> dict[str, Any]:
    """Return what is told of a run, without secrets."""
    told = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **body_of(result),
        "final_answer_preview": (result.final_answer or "")[:_PREVIEW_CHARS],
        "trace": {
            "request_class": {
                "tools": config.use_tools,
                "auto_code": config.auto_run_code_on_code_block,
                "images": has_images(result.messages),
            },
            "iterations": [record.to_dict() for record in result.iterations],
        },
    }
    cleaned: dict[str, Any] = without_secrets(told, tuple((TOOL_HEADERS.value() or {}).values()))
    return cleaned


def body_of(result: AgentRunResult) -> dict[str, Any]:
    """Return the result by the names that ``/agent/run`` answers with."""
    calls = [call for record in result.iterations for call in record.tool_invocations]
    return {
        "ok": result.ok,
        "final_answer": result.final_answer,
        "stopped_reason": result.stopped_reason,
        "stopped_detail": result.stopped_detail,
        "messages": result.messages,
        "metrics": result.metrics,
        "usage": result.usage,
        "cost_usd": result.cost_usd,
        **({"last_tool_invocation": calls[-1]} if calls else {}),
    }


def has_images(messages: list[dict[str, Any]]) -> bool:
    """Say whether a message holds an image."""
    parts = (part for m in messages if isinstance(m.get("content"), list) for part in m["content"])
    return any(isinstance(part, Mapping) and part.get("type") == "image_url" for part in parts)


def append(path: str, line: Mapping[str, Any]) -> None:
    """Append one line; several processes may do so at once.

    The file is made readable to its owner alone, and its folder is made.

    Raises:
        OSError: It cannot be written.
    """
    encoded = json.dumps(line, ensure_ascii=False, default=str) + "\n"
    folder = os.path.dirname(path)  # noqa: PTH120  # pathlib would be loaded for this
    if folder:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103  # as above
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "ab", buffering=0) as file, _locked(descriptor):
        rest = memoryview(encoded.encode("utf-8", "backslashreplace"))
        while rest:
            rest = rest[file.write(rest) or 0 :]


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """Hold the file alone; without flock, as on Windows, appending must do."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def without_secrets(value: Any, secrets: tuple[str, ...] = ()) -> Any:
    """Return *value* with stars for what looks like a secret, by its name or by itself.

    Args:
        value: Anything that is JSON.
        secrets: Texts that are secret, whatever they look like.
    """
    if isinstance(value, Mapping):
        return {
            key: _HIDDEN
            if isinstance(item, str) and item and _SECRET_NAME.search(str(key))
            else without_secrets(item, secrets)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [without_secrets(item, secrets) for item in value]
    if not isinstance(value, str):
        return value
    for secret in secrets:
        value = value.replace(secret, _HIDDEN) if len(secret) > 3 else value
    return _SECRET_PAIR.sub(rf"\g<1>{_HIDDEN}", _SECRET_TEXT.sub(_HIDDEN, value))

"""Whether the two servers of the containers are there, list models, and answer a chat."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from attrs import frozen

_LOOK_S, _ASK_S = 5.0, 60.0


@frozen
class Step:
    """One thing that was tried.

    Attributes:
        name: Which server, and what of it.
        problem: What is wrong, ``""`` if nothing is.
    """

    name: str
    problem: str = ""


def examine(name: str, base: str, key: str | None) -> Iterator[Step]:
    """Yield a step for each of ``/healthz``, ``/v1/models`` and a chat, until one fails.

    Args:
        name: What the server is called in the steps.
        base: Its address, with or without ``/v1``.
        key: Its token, or None.
    """
    plain = base.rstrip("/").removesuffix("/v1")
    try:
        _asked(f"{plain}/healthz", key)
        yield Step(f"{name} /healthz")
        models = [each["id"] for each in _asked(f"{plain}/v1/models", key)["data"]]
        if not models:
            yield Step(f"{name} /v1/models", "it lists none")
            return
        yield Step(f"{name} /v1/models")
        body = {"model": models[0], "messages": [{"role": "user", "content": "ping"}]}
        answer = _asked(f"{plain}/v1/chat/completions", key, body)
        said = answer["choices"][0]["message"]["content"]
        yield Step(f"{name} chat", "" if said else "the answer is empty")
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        yield Step(f"{name} at {plain}", _why(error))


def _asked(url: str, key: str | None, body: dict[str, Any] | None = None) -> Any:
    headers = {"content-type": "application/json"}
    headers |= {"authorization": f"Bearer {key}"} if key else {}
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is no address: it must start with http:// or https://")
    request = urllib.request.Request(  # noqa: S310  # http or https, as seen above
        url, None if body is None else json.dumps(body).encode(), headers
    )
    wait_s = _LOOK_S if body is None else _ASK_S
    with urllib.request.urlopen(request, timeout=wait_s) as answer:  # noqa: S310  # the same
        return json.load(answer)


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        with error:
            return f"{error.url} answers {error.code}"
    if isinstance(error, urllib.error.URLError):
        return f"nobody answers ({error.reason})"
    if isinstance(error, (KeyError, IndexError, TypeError)):
        return "the answer is not of OpenAI's shape"
    return str(error) or type(error).__name__

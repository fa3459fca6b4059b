"""Whether an agent works: it is there, lists its models, answers, and judges in strict JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import frozen

import scillm
from scillm import APIError, NotFoundError, ScillmError
from scillm_codex_agent import API_BASE, API_KEY, verdicts

OTHER_BASE = "http://127.0.0.1:8089"
LOOK_S, ASK_S = 5.0, 60.0
OK, NOBODY, NO_ANSWER, NO_JUDGE = 0, 2, 3, 4
_JUDGE = [
    {
        "role": "system",
        "content": 'Return STRICT JSON only: {"best_id": string, "rationale_short": string}.',
    },
    {
        "role": "user",
        "content": 'Which is a prime number? The ids are "A" and "B". A: 8. B: 7.',
    },
]


@frozen
class Finding:
    """One line of the examination.

    Attributes:
        key: What was looked at.
        said: What was found.
        exit_code: None to go on, else how the examination ends here.
        hint: What to do about it, ``""`` if all is well.
    """

    key: str
    said: str
    exit_code: int | None = None
    hint: str = ""


def bases(given: str | None) -> list[str]:
    """Return where to look: what is given, else what is set, else both usual ports."""
    if given or API_BASE.lookup() is not None:
        return [_plain(given or API_BASE.value())]
    return [_plain(API_BASE.default), OTHER_BASE]


def examine(where: Sequence[str], model: str | None = None) -> Iterator[Finding]:
    """Yield what is found, step by step; the last finding has an exit code.

    Args:
        where: Addresses, of which the first healthy one is examined.
        model: The model to ask; None takes the first that is listed.
    """
    unwell: dict[str, str] = {}
    base = next((each for each in where if not unwell.setdefault(each, health(each))), None)
    if base is None:
        said = "; ".join(f"{each}: {why}" for each, why in unwell.items())
        yield Finding(
            "health",
            f"failed ({said})",
            NOBODY,
            "start the agent or its sidecar, and set CODEX_AGENT_API_BASE to its address; "
            "CODEX_AGENT_API_KEY, if it wants a key",
        )
        return
    yield Finding("base", base)
    yield Finding("health", "ok")
    listed: list[str] = []
    steps: list[tuple[str, int, Callable[[], str]]] = [
        ("models", NO_ANSWER, lambda: _models(base, listed)),
        ("model", NO_ANSWER, lambda: _chosen(model, listed)),
        ("chat", NO_ANSWER, lambda: _chat(base, _chosen(model, listed))),
        ("judge", NO_JUDGE, lambda: _judged(base, _chosen(model, listed))),
    ]
    for key, exit_code, look in steps:
        finding = _step(key, exit_code, look)
        yield finding
        if finding.exit_code is not None:
            return
    yield Finding("doctor", "ok", OK)


def _step(key: str, exit_code: int, look: Callable[[], str]) -> Finding:
    try:
        return Finding(key, look())
    except ScillmError as error:
        return Finding(key, f"failed ({error})", exit_code, _hint(error))


def _hint(error: ScillmError) -> str:
    status = error.status_code if isinstance(error, APIError) else 0
    if status == 404:
        return "the model is not registered: take an id that /v1/models lists"
    if status in (401, 403):
        return "the key is missing or not accepted: set CODEX_AGENT_API_KEY"
    if status in (400, 502):
        return "nothing is wired behind the agent: configure its backend, or switch its echo on"
    return "look at the agent's log"


def health(base: str) -> str:
    """Return why an address is not healthy, ``""`` if it is."""
    import httpx  # only who examines pays for it

    key = API_KEY.value()
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{base}/healthz", headers=headers, timeout=LOOK_S)
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    except httpx.InvalidURL as error:
        return f"no address: {error}"
    if answer.status_code != httpx.codes.OK:
        return f"/healthz answers {answer.status_code}"
    return ""


def _models(base: str, found: list[str]) -> str:
    listed = scillm.models("codex-agent", api_base=base, timeout=LOOK_S)
    found += [str(each.get("id")) for each in listed.data if each.get("id")]
    more = ", ..." if len(found) > 5 else ""
    return f"ok ({len(found)}: {', '.join(found[:5])}{more})"


def _chosen(model: str | None, listed: Sequence[str]) -> str:
    if not (model or listed):
        raise NotFoundError("the agent lists none")
    return model or listed[0]


def _chat(base: str, model: str) -> str:
    answer = _asked(base, model, [{"role": "user", "content": "ping"}])
    if not answer.text:
        raise verdicts.unusable(verdicts.UnusableAnswer, answer, "the answer is empty")
    return f"ok ({answer.text[:60]!r})"


def _judged(base: str, model: str) -> str:
    answer = _asked(base, model, _JUDGE, response_format={"type": "json_object"})
    judged = verdicts.verdict(answer, "best_id", ("A", "B"))
    return f"ok (best_id {judged['best_id']})"


def _asked(base: str, model: str, messages: list[dict[str, str]], **more: Any) -> scillm.Response:
    answer: scillm.Response = scillm.completion(
        model,
        messages,
        custom_llm_provider="codex-agent",
        api_base=base,
        max_tokens=512,
        timeout=ASK_S,
        **more,
    )
    return answer


def _plain(base: str) -> str:
    return base.rstrip("/").removesuffix("/v1")

"""What a model says as JSON, taken at its word only where it can be checked."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from scillm import InvalidResponse, Response, ScillmError

_SHOWN = 200


class UnusableAnswer(InvalidResponse):
    """An answer that is not the JSON that was asked for; ``raw`` is its text."""

    raw: str = ""


class JudgeError(UnusableAnswer):
    """A judge that named none of the candidates, or answered with no verdict at all."""


class NobodyAnswered(ScillmError):
    """Every model that was asked failed; ``errors`` says how, by their index."""

    def __init__(self, message: str, errors: Mapping[int, str]) -> None:
        super().__init__(message)
        self.errors = dict(errors)

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (str(self), self.errors))


def json_object(answer: Response, whose: str, error: type[UnusableAnswer]) -> dict[str, Any]:
    """Return the JSON object that an answer consists of.

    Raises:
        UnusableAnswer: It is cut, or no JSON object; of the class *error*.
    """
    if answer.choices and answer.choices[0].finish_reason == "length":
        raise unusable(error, answer, f"{whose} was cut at its limit: give more max_tokens")
    try:
        value = json.loads(_unfenced(answer.text), parse_constant=_no_constant)
    except (ValueError, RecursionError) as cause:
        raise unusable(error, answer, f"{whose} did not answer with JSON ({cause})") from None
    if not isinstance(value, dict):
        raise unusable(error, answer, f"{whose} answered with JSON that is no object")
    return value


def verdict(answer: Response, name: str, candidates: Collection[Any]) -> dict[str, Any]:
    """Return ``{name, "rationale_short"}`` of a judge's answer.

    Args:
        answer: What the judge said.
        name: Where it names its choice: ``"best_id"`` or ``"best_index"``.
        candidates: What it may choose.

    Raises:
        JudgeError: It names nothing of the kind.
    """
    said = json_object(answer, "the judge", JudgeError)
    best, why = said.get(name), said.get("rationale_short")
    is_known = any(type(best) is type(each) and best == each for each in candidates)
    if not is_known:
        offered = ", ".join(map(repr, candidates))
        raise unusable(
            JudgeError, answer, f"the judge chose {best!r:.60}, which is none of {offered}"
        )
    return {name: best, "rationale_short": why if isinstance(why, str) else ""}


def unusable(error: type[UnusableAnswer], answer: Response, why: str) -> UnusableAnswer:
    """Return the error that says why an answer cannot be used, and keeps it."""
    served = answer.served_by
    made = error(
        f"{why}: {answer.text[:_SHOWN]!r}",
        llm_provider=served.provider if served else "",
        model=served.model if served else "",
        partial=answer,
    )
    made.raw = answer.text
    return made


def _unfenced(text: str) -> str:
    """Return what stands in the fence, if the whole text is one fenced block."""
    lines = text.strip().splitlines()
    is_fenced = len(lines) > 2 and lines[0].startswith("```") and lines[-1] == "```"
    return "\n".join(lines[1:-1]) if is_fenced else text


def _no_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")

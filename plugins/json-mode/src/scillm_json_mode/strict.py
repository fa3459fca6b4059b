"""A completion whose answer is JSON, and fits its schema, or else is asked for again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import scillm
from scillm import BadRequestError, Response
from scillm_json_mode.checking import InvalidJSON
from scillm_json_mode.reading import strictly


def strict_json_completion(**arguments: Any) -> Response:
    """Ask for JSON from sync code; see ``astrict_json_completion``."""
    asked = _Asked(**arguments)
    while True:
        try:
            return asked.checked(scillm.completion(**asked.arguments))
        except InvalidJSON as error:
            asked.again(error)


async def astrict_json_completion(**arguments: Any) -> Response:
    """Ask for JSON, parse it, hold it against a schema, and ask again if that is allowed.

    Args:
        model: As in ``completion``; so *messages*, *api_base*, *api_key*, *extra_headers* and
            all other arguments.
        custom_llm_provider: ``"openai_like"`` unless given.
        timeout: Seconds, 45 unless given.
        temperature: 0 unless given.
        schema: JSON Schema or attrs class; with a class the answer has ``parsed``.
        sanitize: Whether fences and prose around the JSON are taken away; True unless given.
            False takes nothing but JSON.
        max_reasks: How often to ask again, with what was wrong; 0 unless given.
        require_nonempty: Whether an empty object or array is an error.
        require_nonempty_keys: Keys that must be there, with values that are not empty.
        **arguments: All of these, by name.

    Returns:
        The answer; ``["choices"][0]["message"]["content"]`` is JSON.

    Raises:
        InvalidJSON: What came, at last, is not; ``raw`` and ``partial`` keep it.
        APIError: The call failed.
    """
    asked = _Asked(**arguments)
    while True:
        try:
            return asked.checked(await scillm.acompletion(**asked.arguments))
        except InvalidJSON as error:
            asked.again(error)


class _Asked:
    """The arguments of one completion, and what its answer must be."""

    def __init__(  # noqa: PLR0913  # by name, all of them
        self,
        *,
        messages: Iterable[Mapping[str, Any]] = (),
        schema: Any = None,
        sanitize: bool | None = None,
        max_reasks: int = 0,
        require_nonempty: bool | None = None,
        require_nonempty_keys: Iterable[str] | None = None,
        **arguments: Any,
    ) -> None:
        if arguments.get("stream"):
            raise BadRequestError("a stream cannot be asked for again: leave stream=True out")
        self._is_strict = sanitize is False
        self._reasks = max_reasks
        self._keys = tuple(require_nonempty_keys or ())
        self._is_nonempty = bool(require_nonempty) or bool(self._keys)
        wanted = {"json_schema": schema} if schema is not None else {}
        if schema is None:
            wanted = {"response_format": {"type": "json_object"}}
        self.arguments: dict[str, Any] = {
            "custom_llm_provider": "openai_like",
            "timeout": 45,
            "temperature": 0,
            **wanted,
            "auto_json_sanitize": True,
            **arguments,
            "messages": list(messages),
        }

    def checked(self, answer: Response) -> Response:
        """Return the answer.

        Raises:
            InvalidJSON: It is not what was asked for.
        """
        content = answer.text
        value = self._value(answer, content)
        if self._is_nonempty and not value:
            raise _wrong(answer, content, "the JSON is empty")
        missing = [
            key for key in self._keys if not isinstance(value, dict) or _is_empty(value.get(key))
        ]
        if missing:
            raise _wrong(answer, content, f"the JSON has nothing for {', '.join(missing)}")
        return answer

    def again(self, error: InvalidJSON) -> None:
        """Put what was wrong into the messages, or raise it if it was said often enough."""
        if self._reasks <= 0:
            raise error
        self._reasks -= 1
        self.arguments["messages"] += [
            {"role": "assistant", "content": error.raw},
            {
                "role": "user",
                "content": f"That cannot be used: {error.failure.detail}. "
                "Answer again, with the corrected JSON and nothing else.",
            },
        ]

    def _value(self, answer: Response, content: str) -> Any:
        notes = answer.additional_kwargs.get("json", {})
        if self._is_strict and notes.get("json_sanitized"):
            raise _wrong(answer, str(notes["json_raw"][0]), "the answer is not JSON alone")
        try:
            return strictly(content)
        except ValueError as error:
            raise _wrong(answer, content, f"the answer is not JSON: {error}") from None


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (str, list, dict)) and not value)


def _wrong(answer: Response, content: str, why: str) -> InvalidJSON:
    error = InvalidJSON(f"{why}: {json.dumps(content[:200])}", partial=answer)
    error.raw = content
    return error

"""The plugin: what was asked for as JSON comes back as JSON, or as an error that keeps the text."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from scillm import BadRequestError, InvalidResponse, Response, Setting, hookimpl
from scillm.settings import boolean
from scillm_json_mode.reading import CLEAN, REPAIRED, NotJSON, Reading, read
from scillm_json_mode.schemas import complaint, instance, schema_of

if TYPE_CHECKING:
    from scillm import Call, Request
    from scillm.answers import Answer, Choice

SANITIZE = Setting(
    name="JSON_SANITIZE",
    default=False,
    read=boolean,
    option="auto_json_sanitize",
    help="whether answers that were asked for as JSON are cleaned of fences and prose",
)
TRUNCATED = Setting(
    name="JSON_REPAIR_TRUNCATED",
    default=False,
    read=boolean,
    option="json_repair_truncated",
    help="whether JSON that was cut at max_tokens is closed and taken, instead of being an error",
)
MIME_TYPE: Setting[str | None] = Setting(
    name="RESPONSE_MIME_TYPE",
    default=None,
    option="response_mime_type",
    help="application/json asks for a JSON object; only an argument",
)
SCHEMA: Setting[Any] = Setting(
    name="JSON_SCHEMA",
    default=None,
    option="json_schema",
    help="JSON Schema, or an attrs class, that the answer must fit; only an argument",
)
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_-]+")  # in a name, by OpenAI's rule
_JSON_TYPES = ("json_object", "json_schema")


class InvalidJSON(InvalidResponse):
    """An answer that was to be JSON and is not, or does not fit its schema.

    ``partial`` is the answer as it came, ``raw`` its text.
    """

    raw: str = ""


@frozen
class _Wish:
    """What a call wants its answer to be.

    Attributes:
        schema: The JSON Schema that it must fit, or None.
        kind: The attrs class that an instance is wanted of, or None.
        is_checked: Whether anything is looked at.
    """

    schema: Mapping[str, Any] | None = None
    kind: type[Any] | None = None
    is_checked: bool = False


class Parsed(Response):
    """An answer with the instance that was asked for, ``parsed``."""

    __slots__ = ("parsed",)
    parsed: Any

    def __init__(self, raw: Mapping[str, Any], served_by: Any = None, parsed: Any = None) -> None:
        super().__init__(raw, served_by)
        object.__setattr__(self, "parsed", parsed)

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.to_dict(), self.served_by, self.parsed))


class JsonMode:
    """Reads, cleans and validates answers that were asked for as JSON."""

    ORDER = 250
    SETTINGS: tuple[Setting[Any], ...] = (SANITIZE, TRUNCATED, MIME_TYPE, SCHEMA)

    @hookimpl(wrapper=True)
    def prepare_request(self, call: Call) -> Generator[None, Request | None, Request | None]:
        """Ask for JSON as providers understand it."""
        request = yield
        asked = call.params.get("response_format")
        if request is None or request.body is None:
            return request
        if isinstance(asked, type):
            return _asking(request, _format(schema_of(asked), asked.__name__))
        if call.options and asked is None:
            schema = call.options.get("json_schema")
            if schema is not None:
                return _asking(request, _format(*_named(schema)))
            if call.options.get("response_mime_type") == "application/json":
                return _asking(request, {"type": "json_object"})
        return request

    @hookimpl(wrapper=True)
    def post_process(self, call: Call) -> Generator[None, Answer, Answer]:
        """Look at an answer that was asked for as JSON."""
        answer = yield
        if not call.options and "response_format" not in call.params:
            return answer
        wish = _wish(call)
        if not wish.is_checked or not isinstance(answer, Response):
            return answer
        return _checked(answer, wish, repairs_cut=_is_on(TRUNCATED, call))


def _is_on(setting: Setting[bool], call: Call) -> bool:
    """Return what a switch is set to; an argument None leaves it to the environment."""
    is_given = call.options.get(setting.option or "") is not None
    return setting.value(call if is_given else None)


def _asking(request: Request, response_format: Mapping[str, Any]) -> Request:
    return evolve(request, body={**(request.body or {}), "response_format": response_format})


def _format(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "schema": schema, "strict": True},
    }


def _named(schema: Any) -> tuple[Mapping[str, Any], str]:
    if isinstance(schema, type):
        return schema_of(schema), schema.__name__
    if not isinstance(schema, Mapping):
        raise BadRequestError(f"json_schema={schema!r:.80} is neither a mapping nor an attrs class")
    title = _UNNAMEABLE.sub("_", str(schema.get("title") or ""))[:64]
    return schema, title or "answer"


def _wish(call: Call) -> _Wish:
    asked = call.params.get("response_format")
    given = call.options.get("json_schema")
    for kind in (asked, given):
        if isinstance(kind, type):
            return _Wish(schema_of(kind), kind, is_checked=True)
    if isinstance(given, Mapping):
        return _Wish(given, is_checked=True)
    asked = asked if isinstance(asked, Mapping) else {}
    is_mime = call.options.get("response_mime_type") == "application/json"
    if not (is_mime or asked.get("type") in _JSON_TYPES) or not _is_on(SANITIZE, call):
        return _Wish()
    named = asked.get("json_schema")
    return _Wish(named.get("schema") if isinstance(named, Mapping) else None, is_checked=True)


def _checked(answer: Response, wish: _Wish, *, repairs_cut: bool) -> Response:
    readings = [
        _read(answer, choice, wish, repairs_cut=repairs_cut) for choice in answer.choices or ()
    ]
    found = [reading for reading in readings if reading is not None]
    if any(reading.how != CLEAN for reading in found):
        answer = _cleaned(answer, readings)
    if wish.kind is None:
        return answer
    first = next(iter(readings), None)
    return Parsed(answer.to_dict(), answer.served_by, first and _instance(answer, first, wish.kind))


def _read(answer: Response, choice: Choice, wish: _Wish, *, repairs_cut: bool) -> Reading | None:
    """Return the reading of a choice; None for one that has no text, such as a tool call."""
    content = choice.message.content
    if content is None and (choice.tool_calls or choice.message.refusal):
        return None
    try:
        reading = read(content or "")
    except NotJSON as error:
        raise _invalid(answer, content, str(error)) from None
    is_cut = reading.is_cut or choice.finish_reason == "length"
    if reading.how == REPAIRED and is_cut and not repairs_cut:
        raise _invalid(
            answer,
            content,
            "the JSON is cut short, and closing it would make up data: give more max_tokens, or "
            "json_repair_truncated=True",
        )
    if wish.schema is not None and (wrong := complaint(reading.value, wish.schema)):
        raise _invalid(answer, content, f"the JSON does not fit its schema {wrong}")
    return reading


def _instance(answer: Response, reading: Reading, kind: type[Any]) -> Any:
    try:
        return instance(reading.value, kind)
    except ValueError as error:
        raise _invalid(answer, reading.text, f"it makes no {kind.__name__}: {error}") from None


def _cleaned(answer: Response, readings: list[Reading | None]) -> Response:
    choices = []
    for choice, reading in zip(answer.choices, readings, strict=True):
        if reading is not None and reading.how != CLEAN:
            message = choice.message.evolve(content=reading.text)
            choices.append(choice.evolve(message=message))
        else:
            choices.append(choice)
    notes = {
        "json_sanitized": True,
        "json_sanitizer": "clean_json_string",
        "json_repaired": any(r is not None and r.how == REPAIRED for r in readings),
        "json_raw": [choice.message.content for choice in answer.choices],
    }
    return answer.evolve(choices=choices).with_notes("json", notes)


def _invalid(answer: Response, content: str | None, why: str) -> InvalidJSON:
    served = answer.served_by
    error = InvalidJSON(
        f"{served.provider}/{served.model}: {why}" if served else why,
        llm_provider=served.provider if served else "",
        model=served.model if served else "",
        partial=answer,
    )
    error.raw = content or ""
    return error

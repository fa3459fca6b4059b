"""The plugin: what was asked for as JSON comes back as JSON, or as an error that keeps the text."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve

from scillm import BadRequestError, Response, Setting, hookimpl
from scillm.settings import boolean
from scillm_json_mode.checking import Wish, checked
from scillm_json_mode.schema_first import judged, mode_of, schema_first
from scillm_json_mode.schemas import schema_of

if TYPE_CHECKING:
    from scillm import Call, Request, Sender
    from scillm.answers import Answer

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
MODE: Setting[str | None] = Setting(
    name="RESPONSE_MODE",
    default=None,
    option="response_mode",
    help="schema_first asks by json_schema and, if that does not give what fits it, once more for a"
    " JSON object; only an argument",
)
_JSON_TYPES = ("json_object", "json_schema")


class JsonMode:
    """Reads, cleans and validates answers that were asked for as JSON."""

    ORDER = 250
    SETTINGS: tuple[Setting[Any], ...] = (SANITIZE, TRUNCATED, MIME_TYPE, SCHEMA, MODE)

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
    def send(self, call: Call) -> Generator[None, Sender | None, Sender | None]:
        """Wrap the Sender of a call that asks by a schema first."""
        inner = yield
        if inner is None or not call.options or mode_of(call) is None:
            return inner
        return schema_first(call, inner, _wish(call), repairs_cut=_is_on(TRUNCATED, call))

    @hookimpl(wrapper=True)
    def post_process(self, call: Call) -> Generator[None, Answer, Answer]:
        """Look at an answer that was asked for as JSON."""
        answer = yield
        if not call.options and "response_format" not in call.params:
            return answer
        wish = _wish(call)
        if not wish.is_checked or not isinstance(answer, Response):
            return answer
        look = checked if mode_of(call) is None else judged
        return look(answer, wish, repairs_cut=_is_on(TRUNCATED, call))


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


def _wish(call: Call) -> Wish:
    asked = call.params.get("response_format")
    given = call.options.get("json_schema")
    for kind in (asked, given):
        if isinstance(kind, type):
            return Wish(schema_of(kind), kind, is_checked=True)
    if isinstance(given, Mapping):
        return Wish(given, is_checked=True)
    asked = asked if isinstance(asked, Mapping) else {}
    is_mime = call.options.get("response_mime_type") == "application/json"
    named = asked.get("json_schema")
    is_looked_at = _is_on(SANITIZE, call) or mode_of(call) is not None
    if not (is_mime or asked.get("type") in _JSON_TYPES) or not is_looked_at:
        return Wish()
    return Wish(named.get("schema") if isinstance(named, Mapping) else None, is_checked=True)

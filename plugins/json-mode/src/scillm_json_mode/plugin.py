"""The plugin: what was asked for as JSON comes back as JSON, or as an error that keeps the text."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve

from scillm import BadRequestError, Response, Setting, hookimpl
from scillm.settings import boolean

if TYPE_CHECKING:
    from scillm import Call, Request, Sender
    from scillm.answers import Answer
    from scillm_json_mode.checking import Wish

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
SCHEMA_FIRST = "schema_first"
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
            return _asking(request, _format(*_named(asked)))
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
        if inner is None or not call.options or _mode(call) is None:
            return inner
        from scillm_json_mode.checking import Wish
        from scillm_json_mode.schema_first import schema_first  # only who asks so pays for it

        wish = _wish(call) or Wish()
        return schema_first(call, inner, wish, repairs_cut=_is_on(TRUNCATED, call))

    @hookimpl(wrapper=True)
    def post_process(self, call: Call) -> Generator[None, Answer, Answer]:
        """Look at an answer that was asked for as JSON."""
        answer = yield
        if not call.options and "response_format" not in call.params:
            return answer
        wish = _wish(call)
        if wish is None or not isinstance(answer, Response):
            return answer
        if _mode(call) is None:
            from scillm_json_mode.checking import checked as look
        else:
            from scillm_json_mode.schema_first import judged as look
        return look(answer, wish, repairs_cut=_is_on(TRUNCATED, call))


def _mode(call: Call) -> str | None:
    """Return the call's ``response_mode``.

    Raises:
        BadRequestError: There is no such mode.
    """
    mode: str | None = call.options.get("response_mode")
    if mode not in (None, SCHEMA_FIRST):
        raise BadRequestError(f"response_mode={mode!r} is unknown: there is {SCHEMA_FIRST!r}")
    return mode


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
        from scillm_json_mode.schemas import schema_of  # the same

        return schema_of(schema), schema.__name__
    if not isinstance(schema, Mapping):
        raise BadRequestError(f"json_schema={schema!r:.80} is neither a mapping nor an attrs class")
    title = _UNNAMEABLE.sub("_", str(schema.get("title") or ""))[:64]
    return schema, title or "answer"


def _wish(call: Call) -> Wish | None:
    """Return what a call wants its answer to be; None where nobody is to look at it."""
    asked = call.params.get("response_format")
    given = call.options.get("json_schema")
    kind = next((each for each in (asked, given) if isinstance(each, type)), None)
    schema = given if isinstance(given, Mapping) else None
    if kind is None and schema is None:
        asked = asked if isinstance(asked, Mapping) else {}
        is_mime = call.options.get("response_mime_type") == "application/json"
        if not (is_mime or asked.get("type") in _JSON_TYPES):
            return None
        if not _is_on(SANITIZE, call) and _mode(call) is None:
            return None
        named = asked.get("json_schema")
        schema = named.get("schema") if isinstance(named, Mapping) else None
    from scillm_json_mode.checking import Wish  # only who asks for JSON pays for it

    return Wish(_named(kind)[0], kind) if kind is not None else Wish(schema)

"""The smallest value that a JSON Schema allows: what echo says in JSON mode. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scillm import BadRequestError

_DEEPEST = 32
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "echo@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "hostname": "example.com",
}


def smallest(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """Return a value that *schema* allows, with no more in it than it demands.

    Raises:
        BadRequestError: It cannot be told from the schema, or there is none.
    """
    root = schema if root is None else root
    if schema is True or schema == {}:
        return {} if depth == 0 else ""
    if not isinstance(schema, Mapping):
        raise BadRequestError(f"echo cannot make up a value for the schema {schema!r:.80}")
    if depth > _DEEPEST:
        raise BadRequestError("echo cannot make up a value: the schema has no end")
    if "$ref" in schema:
        return smallest(_found(str(schema["$ref"]), root), root, depth + 1)
    told = [*(schema[word] for word in ("const", "default") if word in schema)]
    told += schema.get("enum") or schema.get("examples") or ()
    return told[0] if told else _made(schema, root, depth)


def _made(schema: Mapping[str, Any], root: Any, depth: int) -> Any:
    """Make up a value that no word of the schema tells."""
    if parts := schema.get("allOf"):
        return smallest(_merged([schema, *parts], root), root, depth + 1)
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return _first(options, root, depth)
    return _of_type(schema, root, depth)


def _first(options: Any, root: Any, depth: int) -> Any:
    """Return a value of the first option that has one: another may come to an end."""
    why: BadRequestError | None = None
    for option in options:
        try:
            return smallest(option, root, depth + 1)
        except BadRequestError as error:
            why = error
    raise why or BadRequestError("echo cannot make up a value: there is no option")


def _merged(parts: list[Any], root: Any) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for part in parts:
        known = _found(str(part["$ref"]), root) if "$ref" in part else part
        for name, value in known.items():
            if name == "properties":
                made[name] = {**made.get(name, {}), **value}
            elif name == "required":
                made[name] = [*made.get(name, ()), *value]
            elif name != "allOf":
                made[name] = value
    return made


def _found(ref: str, root: Any) -> Any:
    """Follow a reference within the schema; nothing is fetched."""
    if not ref.startswith("#"):
        raise BadRequestError(f"echo follows no reference out of the schema: {ref!r:.200}")
    here = root
    for name in filter(None, ref[1:].split("/")):
        word = name.replace("~1", "/").replace("~0", "~")
        if not isinstance(here, Mapping) or word not in here:
            raise BadRequestError(f"the schema has no {ref!r:.200}")
        here = here[word]
    return here


def _of_type(schema: Mapping[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type") or _guessed(schema)
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        known = schema.get("properties", {})
        names = dict.fromkeys(schema.get("required", ()))
        return {name: smallest(known.get(name, {}), root, depth + 1) for name in names}
    if kind == "array":
        items = [*schema.get("prefixItems", ())]
        items += [schema.get("items", {})] * (schema.get("minItems", 0) - len(items))
        return [smallest(item, root, depth + 1) for item in items]
    if kind in ("integer", "number"):
        return _number(schema, is_whole=kind == "integer")
    if kind == "string":
        return _text(schema)
    return {"boolean": True, "null": None}.get(kind, "")


def _guessed(schema: Mapping[str, Any]) -> str:
    for kind, words in {
        "object": ("properties", "required"),
        "array": ("items", "prefixItems", "minItems"),
        "number": ("minimum", "maximum", "multipleOf"),
    }.items():
        if any(word in schema for word in words):
            return kind
    return "string"


def _number(schema: Mapping[str, Any], *, is_whole: bool) -> float:
    step = schema.get("multipleOf", 1)
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None:
        low = 0 if high is None or high > 0 else math.floor(high / step) * step
        low -= step if high is not None and low == schema.get("exclusiveMaximum") else 0
    found = math.ceil(low / step) * step
    if "exclusiveMinimum" in schema and found <= schema["exclusiveMinimum"]:
        found += step
    if high is not None and found > high and not is_whole:
        found = (low + high) / 2
    return int(found) if is_whole else found


def _text(schema: Mapping[str, Any]) -> str:
    if "pattern" in schema:
        raise BadRequestError("echo cannot make up a text for a pattern: give the field an example")
    text = _FORMATS.get(schema.get("format", ""), "echo")
    text = text.ljust(schema.get("minLength", 0), "x")
    return text[: schema.get("maxLength", len(text))] if "format" not in schema else text

"""An example of a JSON Schema: the smallest value that is easily made, checked against it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scillm_mini_agent.schemas import complaint

_DEEPEST = 20
_PARTS = ("anyOf", "oneOf", "allOf")
_OF_A_TYPE: dict[str, Any] = {"integer": 0, "number": 0, "boolean": True, "null": None}


def sample(schema: Mapping[str, Any], text: str) -> Any:
    """Return a value that fits *schema*; *text* where any text does.

    Raises:
        ValueError: None was found.
    """
    try:
        made = _Maker(schema, text).of(schema, 0)
    except (TypeError, AttributeError, KeyError, IndexError) as error:
        raise ValueError(f"it is no JSON Schema: {error}") from None
    if (wrong := complaint(made, schema)) is not None:
        raise ValueError(wrong)
    return made


class _Maker:
    """Makes examples; knows the whole schema, for what is referred to."""

    def __init__(self, root: Mapping[str, Any], text: str) -> None:
        self._root, self._text = root, text

    def of(self, schema: Any, depth: int) -> Any:
        """Return an example of a part of the schema."""
        if depth > _DEEPEST:
            raise ValueError("it holds itself without end")
        if not isinstance(schema, Mapping):
            return self._text
        if "$ref" in schema:
            return self.of(self._referred(str(schema["$ref"])), depth + 1)
        if told := [schema[name] for name in ("const", "default") if name in schema]:
            return told[0]
        if told := [schema[name][0] for name in ("enum", "examples") if schema.get(name)]:
            return told[0]
        if parts := [schema[name][0] for name in _PARTS if schema.get(name)]:
            return self.of(parts[0], depth + 1)
        return self._of_a_type(schema, depth)

    def _of_a_type(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "object":
            known = schema.get("properties") or {}
            return {
                name: self.of(known.get(name, {}), depth + 1)
                for name in schema.get("required") or ()
            }
        if kind == "array":
            return [self.of(schema.get("items"), depth + 1)] * int(schema.get("minItems") or 0)
        if kind == "string":
            text = self._text[: schema.get("maxLength")]
            return text + "x" * max(0, int(schema.get("minLength") or 0) - len(text))
        if kind in ("integer", "number") and "minimum" in schema:
            return schema["minimum"]
        return _OF_A_TYPE.get(kind)

    def _referred(self, address: str) -> Any:
        found: Any = self._root
        for step in address.removeprefix("#").strip("/").split("/"):
            if not step:
                continue
            if not isinstance(found, Mapping) or step not in found:
                raise ValueError(f"it refers to {address!r}, which is not in it")
            found = found[step]
        return found

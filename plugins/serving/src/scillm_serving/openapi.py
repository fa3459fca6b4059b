"""The OpenAPI document of typed routes; msgspec tells the JSON Schema of each type.

Source: https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from scillm_serving.routes import Route


@attrs.frozen
class ErrorBody:
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


@attrs.frozen
class ErrorAnswer:
    """Every error's body."""

    error: ErrorBody


def document(
    routes: Sequence[Route], *, title: str, version: str, has_token: bool
) -> dict[str, Any]:
    """Return the document of *routes*."""
    import msgspec

    bodies = [route.takes for route in routes if route.takes is not None]
    answers = [route.returns for route in routes if route.returns is not None]
    types = list(dict.fromkeys([*bodies, *answers, ErrorAnswer]))
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    named = dict(zip(types, schemas, strict=True))
    for route in routes:
        if route.takes is not None and not route.allows_unknown:
            _close(named[route.takes], components)
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": _paths(routes, named),
        "components": {"schemas": components},
    }
    if has_token:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
    return made


def _close(schema: dict[str, Any], components: dict[str, Any]) -> None:
    """Say of a body, and of the objects in it, that they have no other fields."""
    if "$ref" in schema:
        inner = components[schema["$ref"].rpartition("/")[2]]
        if "properties" in inner and inner.setdefault("additionalProperties", False) is False:
            waiting = [each for each in inner["properties"].values() if each is not schema]
            for each in waiting:
                for part in _refs(each):
                    if "additionalProperties" not in components[part["$ref"].rpartition("/")[2]]:
                        _close(part, components)


def _refs(schema: Any) -> Iterable[dict[str, Any]]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema
        for each in schema.values():
            yield from _refs(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _refs(each)


def _paths(routes: Iterable[Route], named: dict[type, Any]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for route in routes:
        for path in route.paths:
            plain = re.sub(r"{(\w+):\w+}", r"{\1}", path)  # starlette's own way to say a type
            paths.setdefault(plain, {})[route.method.lower()] = _operation(route, plain, named)
    return paths


def _operation(route: Route, path: str, named: dict[type, Any]) -> dict[str, Any]:
    error = {"application/json": {"schema": named[ErrorAnswer]}}
    answer: dict[str, Any] = {"schema": named[route.returns] if route.returns else {}}
    content = {"application/json": answer}
    if route.streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    made: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{path}"),
        "summary": route.summary or (route.answer.__doc__ or "").partition("\n")[0],
        "responses": {
            "200": {"description": "the answer", "content": content},
            "default": {"description": "an error", "content": error},
        },
    }
    if route.takes is not None:
        body = {"application/json": {"schema": named[route.takes]}}
        made["requestBody"] = {"required": True, "content": body}
    if names := re.findall(r"{(\w+)", path):
        made["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ]
    if route.is_open:
        made["security"] = []
    return made

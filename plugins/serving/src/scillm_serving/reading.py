"""From the bytes of a body to a typed value; nothing is coerced, and errors say where."""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import attrs
import msgspec

from scillm_serving.refusals import Refused

if TYPE_CHECKING:
    from cattrs import Converter

_UNIONS = (Union, types.UnionType)
_NAMES = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


class _Wrong(ValueError):
    """A value that is not of its type."""


def decoded(raw: bytes) -> Any:
    """Return what JSON says.

    Raises:
        Refused: 400, it is not JSON.
    """
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Refused(400, f"the body is not JSON: {why}", code="invalid_json") from None


def structured(value: Any, kind: type[Any], *, allows_unknown: bool, status: int = 422) -> Any:
    """Return a JSON value as an attrs value.

    A whole number may be written with a point, as JSON Schema allows; nothing else is coerced.

    Raises:
        Refused: It is not of that shape; says what is wrong at which path.
    """
    from cattrs import BaseValidationError, transform_error

    try:
        return converter(allows_unknown).structure(value, kind)
    except BaseValidationError as error:
        said = transform_error(error, path="$", format_exception=_said)
    except _Wrong as error:
        said = [f"{error} @ $"]
    places = [line.rpartition(" @ ") for line in said]
    message = "; ".join(f"{place}: {what}" for what, _, place in places)
    param = places[0][2].removeprefix("$").lstrip(".") or None
    raise Refused(status, f"the body is not as it must be: {message}", param=param, code="schema")


def _said(error: BaseException, kind: Any) -> str:
    from cattrs import ForbiddenExtraKeysError

    if isinstance(error, KeyError):
        return "it is missing"
    if isinstance(error, ForbiddenExtraKeysError):
        return f"unknown fields {', '.join(sorted(map(repr, error.extra_fields)))}"
    return str(error.args[0])[:200] if error.args else type(error).__name__


@cache
def converter(allows_unknown: bool) -> Converter:  # noqa: FBT001  # the key of the cache
    """Return a converter that takes values as they are: out of the box "yes" would be true."""
    from cattrs.cols import list_structure_factory
    from cattrs.gen import make_dict_structure_fn, mapping_structure_factory
    from cattrs.preconf.msgspec import make_converter

    made = make_converter(forbid_extra_keys=not allows_unknown)
    for kind in (str, bool, int, float):
        made.register_structure_hook(kind, _exactly)

    def record(kind: Any, made: Converter) -> Callable[[Any, Any], Any]:
        inner = make_dict_structure_fn(kind, made, _cattrs_forbid_extra_keys=not allows_unknown)
        return _if_it_is(dict, "an object", inner)

    factory: Any = made.register_structure_hook_factory  # whose types know no plain function
    factory(attrs.has, record)
    factory(
        _is(list),
        lambda kind, made: _if_it_is(list, "a list", list_structure_factory(kind, made)),
    )
    factory(
        _is(dict),
        lambda kind, made: _if_it_is(dict, "an object", mapping_structure_factory(kind, made)),
    )
    factory(_is(*_UNIONS), _one_of)
    return made


def _is(*origins: Any) -> Callable[[Any], bool]:
    def check(kind: Any) -> bool:
        return kind in origins or get_origin(kind) in origins

    return check


def _exactly(value: Any, kind: type[Any]) -> Any:
    if kind is int and type(value) is float and value.is_integer():
        return int(value)
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    raise _Wrong(f"expected {_NAMES[kind]}, got {_shown(value)}")


def _if_it_is(kind: type, name: str, inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def hook(value: Any, wanted: Any) -> Any:
        if not isinstance(value, kind):
            raise _Wrong(f"expected {name}, got {_shown(value)}")
        return inner(value, wanted)

    return hook


def _one_of(union: Any, made: Converter) -> Callable[[Any, Any], Any]:
    """Choose the member of a union by what JSON has there."""
    by_kind: dict[type, Any] = {}
    for member in get_args(union):
        for kind in _json_kinds(member):
            by_kind.setdefault(kind, member)
    by_kind.setdefault(int, by_kind.get(float))
    by_kind.setdefault(float, by_kind.get(int))
    kinds = {kind: member for kind, member in by_kind.items() if member is not None}

    def hook(value: Any, _: Any) -> Any:
        if value is None and type(None) in kinds:
            return None
        if type(value) not in kinds:
            raise _Wrong(f"expected {_listed(kinds)}, got {_shown(value)}")
        return made.structure(value, kinds[type(value)])

    return hook


def _json_kinds(member: Any) -> tuple[type, ...]:
    if get_origin(member) is Literal:
        return tuple({type(value) for value in get_args(member)})
    return (dict if attrs.has(member) else get_origin(member) or member,)


def _listed(kinds: dict[type, Any]) -> str:
    names = {**_NAMES, list: "a list", dict: "an object", type(None): "null"}
    return " or ".join(dict.fromkeys(names[kind] for kind in kinds if kind in names))


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return "null" if value is None else f"{value!r:.60}"

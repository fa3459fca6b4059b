"""Python functions as tools: the schema is read from their annotations."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import threading
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, Union

from scillm import BadRequestError
from scillm_mini_agent.tools import MCPInvoker, arguments_of, called, failed, spec

F = TypeVar("F", bound=Callable[..., Any])
_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_MARK = "__scillm_tool__"


@typing.overload
def tool(function: F) -> F: ...
@typing.overload
def tool(
    *, name: str | None = ..., parameters: Mapping[str, Any] | None = ...
) -> Callable[[F], F]: ...
def tool(
    function: F | None = None,
    *,
    name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> F | Callable[[F], F]:
    """Mark a function as a tool; it can still be called as before.

    Its first line of documentation is what the model is told, and its annotations are the schema;
    ``Annotated[str, "what it is"]`` describes an argument.

    Args:
        function: The function, sync or async. A sync one is called in a thread of its own.
        name: Its name to the model; else its own.
        parameters: Its JSON Schema, where the annotations do not say it.

    Raises:
        BadRequestError: An annotation is missing, or of a type that JSON has not.
    """

    def mark(function: F) -> F:
        schema = dict(parameters) if parameters is not None else schema_of(function)
        words = (inspect.getdoc(function) or "").partition("\n\n")[0]
        named = name or function.__name__
        setattr(function, _MARK, spec(named, " ".join(words.split()), schema))
        return function

    return mark if function is None else mark(function)


class FunctionTools(MCPInvoker):
    """Python functions as tools.

    A sync function runs in a thread of its own, so that one that hangs keeps nobody waiting; the
    thread itself cannot be ended and lasts until the function returns or the process ends.

    Args:
        *functions: The functions; whether marked by ``tool`` or not.
    """

    def __init__(self, *functions: Callable[..., Any]) -> None:
        marked = [f if hasattr(f, _MARK) else tool(f) for f in functions]
        self._specs = {_spec(f)["function"]["name"]: _spec(f) for f in marked}
        self._functions = {_spec(f)["function"]["name"]: f for f in marked}

    async def list_openai_tools(self) -> list[dict[str, Any]]:
        """Return their specifications."""
        return list(self._specs.values())

    async def call_openai_tool(self, openai_tool: Mapping[str, Any]) -> Any:
        """Call the function; what it raises is told to the model."""
        function = self._functions.get(called(openai_tool))
        if function is None:
            return failed(f"there is no tool {called(openai_tool)!r}")
        arguments = arguments_of(openai_tool)
        if inspect.iscoroutinefunction(function):
            return await function(**arguments)
        return await _in_a_thread(function, arguments)


def _spec(function: Callable[..., Any]) -> dict[str, Any]:
    found: dict[str, Any] = getattr(function, _MARK)
    return found


async def _in_a_thread(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call it in a daemon thread: a pool's threads would be waited for when the process ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def tell(value: Any, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(value)
        else:
            done.set_exception(error)

    def work() -> None:
        value, error = None, None
        try:
            value = context.run(lambda: function(**arguments))
        except Exception as raised:  # noqa: BLE001  # the tool's own, told to whoever waits
            error = raised
        except BaseException as raised:  # noqa: BLE001  # a SystemExit must not end the agent
            error = RuntimeError(f"{type(raised).__name__}: {raised}")
        try:
            loop.call_soon_threadsafe(tell, value, error)
        except RuntimeError:
            return  # the loop ended before the function did

    threading.Thread(target=work, name=f"tool {function.__name__}", daemon=True).start()
    return await done


def schema_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the JSON Schema of a function's arguments.

    Raises:
        BadRequestError: An annotation is missing, or of a type that JSON has not.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    properties, required = {}, []
    for name, parameter in inspect.signature(function).parameters.items():
        where = f"{function.__name__}({name})"
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise BadRequestError(f"{where} takes any arguments: a model must be told each by name")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise BadRequestError(f"{where} has no name to callers: a model gives names")
        if name not in hints:
            raise BadRequestError(f"{where} has no annotation: write one, such as '{name}: str'")
        properties[name] = _of(hints[name], where)
        if parameter.default is parameter.empty:
            required.append(name)
        elif _is_json(parameter.default):
            properties[name] = {**properties[name], "default": parameter.default}
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _of(kind: Any, where: str) -> dict[str, Any]:
    if kind in _SIMPLE:
        return {"type": _SIMPLE[kind]}
    if kind is Any:
        return {}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        words = [extra for extra in arguments[1:] if isinstance(extra, str)]
        return {**_of(arguments[0], where), **({"description": words[0]} if words else {})}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, getattr(types, "UnionType", Union)):
        kinds = [_of(each, where) for each in arguments]
        return {"anyOf": kinds} if all(kinds) else {}  # 3.10 reads `x: Any = None` as Any or None
    if (origin or kind) is list:
        return {"type": "array", **({"items": _of(arguments[0], where)} if arguments else {})}
    if (origin or kind) is dict:
        values = {"additionalProperties": _of(arguments[1], where)} if arguments else {}
        return {"type": "object", **values}
    raise BadRequestError(
        f"{where} has the type {kind!r}, for which there is no JSON Schema: give the schema by "
        "@tool(parameters=...)"
    )


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True

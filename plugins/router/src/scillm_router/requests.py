"""One request of many: what a caller may write, as arguments of ``acompletion``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, fields, frozen

from scillm import BadRequestError


@frozen
class RouterParallelRequest:
    """One request of a fan-out.

    Attributes:
        model: A group of the Router, or ``"provider/model"``.
        messages: Chat messages.
        temperature: As in ``completion``; so *max_tokens*, *top_p* and *stream*.
        kwargs: Every other argument of ``completion``; a field above that is set wins over it.
    """

    model: str
    messages: Any
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    stream: bool | None = None
    kwargs: Mapping[str, Any] = field(factory=dict)


_NAMES = tuple(f.name for f in fields(RouterParallelRequest) if f.name != "kwargs")


def arguments(request: Any) -> dict[str, Any]:
    """Return the arguments of ``acompletion`` for a request.

    Args:
        request: A mapping of arguments, of which ``kwargs`` may hold more; or anything with
            the attributes of ``RouterParallelRequest``, of which all but *model* and *messages*
            may be absent.

    Raises:
        BadRequestError: It has no model or no messages, or is nothing of the kind.
    """
    if isinstance(request, Mapping):
        given = dict(request)
    else:
        found = ((name, getattr(request, name, None)) for name in (*_NAMES, "kwargs"))
        given = {name: value for name, value in found if value is not None}
    more = given.pop("kwargs", None) or {}
    if not isinstance(more, Mapping):
        raise BadRequestError(f"kwargs={more!r:.80} of a request is no mapping of arguments")
    merged = {**more, **{name: value for name, value in given.items() if value is not None}}
    missing = [name for name in ("model", "messages") if not merged.get(name)]
    if missing:
        raise BadRequestError(
            f"a request needs a model and messages; this one has no {' and no '.join(missing)}: "
            f"{sorted(merged) if merged else request!r:.80}"
        )
    return merged

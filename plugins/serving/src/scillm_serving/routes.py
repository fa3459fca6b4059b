"""The values that a server is described by: its routes, what they are asked, what they answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from attrs import field, frozen

if TYPE_CHECKING:
    from scillm_serving.rules import Rules

T = TypeVar("T")
DONE = b"data: [DONE]\n\n"


@frozen(kw_only=True)
class Asked(Generic[T]):
    """One request, read and checked.

    Attributes:
        body: The body as the type that the route takes; None if it takes none.
        raw: The body's bytes.
        headers: By lower-case names. They may hold a secret: do not log them.
        query: The query's parameters; of one that is given twice the last.
        path: The parameters in the path.
        request_id: The id that the log and the answer carry.
    """

    body: T
    raw: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str]
    path: Mapping[str, Any]
    request_id: str


@frozen
class Reply:
    """An answer with a status or headers of its own.

    Attributes:
        body: What is sent as JSON; bytes are sent as they are.
        status: HTTP status.
        headers: Sent besides.
    """

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)


@frozen
class Events:
    """An answer that is a stream of server-sent events.

    Attributes:
        source: Yields whole frames as bytes, or what is sent as JSON behind ``data:``. It is
            closed at the end, and when the client leaves.
        end: The last frame, ``b""`` for none.
    """

    source: AsyncIterator[Any]
    end: bytes = DONE


@frozen(kw_only=True)
class Route:
    """One thing that a server can be asked.

    Attributes:
        path: Where, with parameters in braces, as ``/items/{id}``.
        answer: An async function of an ``Asked``. It returns an attrs value, anything else that
            is JSON, a ``Reply``, or ``Events``; it raises ``Refused``, or an error of scillm.
        method: How.
        takes: The attrs class that the body is read as, or None where there is no body.
        returns: The attrs class of the answer, for the OpenAPI document.
        allows_unknown: Whether the body may have fields that *takes* does not know.
        schema_status: What a body that is not as *takes* says is answered with.
        aliases: Other paths of the same.
        is_open: Whether it is answered without a token and above the limit: health, no more.
        streams: Whether it may answer with ``Events``.
        summary: A line for the OpenAPI document; by default the first of the docstring.
    """

    path: str
    answer: Callable[[Asked[Any]], Awaitable[Any]]
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    takes: type[Any] | None = None
    returns: type[Any] | None = None
    allows_unknown: bool = False
    schema_status: int = 422
    aliases: tuple[str, ...] = ()
    is_open: bool = False
    streams: bool = False
    summary: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that it answers."""
        return (self.path, *self.aliases)


@frozen(kw_only=True)
class Server:
    """What an entry point of the group ``scillm.servers`` names.

    Attributes:
        make: A function of the rules that returns the ASGI app.
        port: Where it listens if nobody says.
        summary: What it is, in a line.
    """

    make: Callable[[Rules], Any]
    port: int
    summary: str = ""

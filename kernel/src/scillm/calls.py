"""The values on the way out: what was asked, who answers, what is sent.

All frozen; change one with ``attrs.evolve``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from scillm.answers import Event, View
from scillm.errors import BadRequestError, InvalidResponse, ScillmError, StatusError
from scillm.secrets import Secret, redact

if TYPE_CHECKING:
    from typing import TypeAlias

Headers: TypeAlias = Mapping[str, str | Secret]
Operation = Literal["chat", "embedding", "models"]
MAX_ANSWER_BYTES = 64 * 1024 * 1024


@frozen(kw_only=True)
class Timeouts:
    """How long to wait, in seconds; None waits for ever.

    Attributes:
        total_s: A whole answer, from the first byte sent to the last received. A stream is
            not bounded as a whole, so that long ones can end: its pieces are, by *read_s*.
        connect_s: Making a connection.
        read_s: Between two pieces of an answer, and before the first.
        write_s: Handing over a piece of the request.
        pool_s: Waiting for a free connection.
    """

    total_s: float | None = 600.0
    connect_s: float | None = 10.0
    read_s: float | None = 600.0
    write_s: float | None = 600.0
    pool_s: float | None = None

    @classmethod
    def of(cls, value: float | Timeouts | None) -> Timeouts:
        """Read the argument ``timeout``: a number of seconds bounds every phase.

        Raises:
            BadRequestError: A number that is not positive.
        """
        if value is None or isinstance(value, Timeouts):
            return value or NO_TIMEOUTS_GIVEN
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise BadRequestError(
                f"timeout={value!r} is not a time: give seconds greater than 0, or a Timeouts"
            )
        return _uniform(float(value))


NO_TIMEOUTS_GIVEN = Timeouts()


@lru_cache(maxsize=64)
def _uniform(seconds: float) -> Timeouts:
    return Timeouts(
        total_s=seconds,
        connect_s=min(seconds, 10.0),
        read_s=seconds,
        write_s=seconds,
        pool_s=seconds,
    )


@frozen(kw_only=True)
class Call:
    """What the caller asked.

    Attributes:
        model: Name as the caller wrote it, such as ``"provider/model"``; ``""`` names none.
        messages: Chat messages, oldest first.
        operation: ``"chat"``, ``"embedding"`` or ``"models"``.
        params: Parameters by OpenAI name; unset ones are absent, never None.
        options: Options of plugins, by the names that their settings tables declare.
        stream: Whether the caller wants pieces as they come.
        provider: Provider named apart from the model (``custom_llm_provider``), or None.
        api_base: Address of the provider, or None for its own.
        api_key: Key to send, or None for the provider's own variable.
        headers: Extra headers, lower-case names; they win over all others.
        timeouts: How long to wait.
        extra_body: Fields put into the body as they are, over all others.
        allowed_openai_params: Parameters to send even where a provider is not known to take them.
        metadata: The caller's own marks; not sent unless a plugin does.
    """

    model: str = ""
    messages: tuple[Mapping[str, Any], ...] = ()
    operation: Operation = "chat"
    params: Mapping[str, Any] = field(factory=dict)
    options: Mapping[str, Any] = field(factory=dict)
    stream: bool = False
    provider: str | None = None
    api_base: str | None = None
    api_key: Secret | None = None
    headers: Headers = field(factory=dict)
    timeouts: Timeouts = NO_TIMEOUTS_GIVEN
    extra_body: Mapping[str, Any] = field(factory=dict)
    allowed_openai_params: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(factory=dict)

    def model_for(self, *providers: str) -> str | None:
        """Return the model's own id if this call names one of *providers*, else None.

        ``"mine/some-model"`` names mine; so does ``custom_llm_provider="mine"``, which leaves
        the rest of the name alone but for a prefix that repeats the provider.
        """
        prefix, slash, rest = self.model.partition("/")
        if self.provider is None:
            return rest if slash and prefix in providers else None
        if self.provider not in providers:
            return None
        return rest if slash and prefix == self.provider else self.model


@frozen(kw_only=True)
class Route:
    """Who answers.

    Attributes:
        provider: Name of the provider.
        model: The provider's own name for the model.
        base_url: Where it lives, without a slash at the end; ``""`` if nowhere on the net.
    """

    provider: str
    model: str
    base_url: str = ""


@frozen(kw_only=True)
class Request:
    """What goes out, and how to read what comes back.

    Attributes:
        route: Whom it is for.
        url: Where to; the scheme says which transport takes it.
        read: Reads one frame of the answer; returns the events in it. Pure.
        body: JSON object to send, or None for no body.
        method: HTTP method.
        headers: Lower-case names; a value that must not be seen is a Secret.
        frames: How a transport cuts the answer: ``"json"``, one body; ``"sse"``, events.
        end: The frame that says a stream is over.
        timeouts: How long to wait; the call's own, if the plugin says nothing.
        max_bytes: The longest body, or single frame of a stream, that is accepted.
    """

    route: Route
    url: str
    read: Callable[[bytes], Iterable[Event]] = field(repr=False)
    body: Mapping[str, Any] | None = None
    method: str = "POST"
    headers: Headers = field(factory=dict)
    frames: Literal["json", "sse"] = "json"
    end: bytes = b"[DONE]"
    timeouts: Timeouts = NO_TIMEOUTS_GIVEN
    max_bytes: int = MAX_ANSWER_BYTES

    def encode(self) -> bytes:
        """Return the body as JSON bytes, ``b""`` if there is none.

        Raises:
            BadRequestError: Something in it is not JSON: a NaN, an infinity, an object, a lone
                surrogate.
        """
        if self.body is None:
            return b""
        try:
            return _JSON.encode(self.body).encode()
        except (ValueError, TypeError, RecursionError) as error:
            raise BadRequestError(
                f"{_culprit(self.body)} cannot be sent as JSON: {error}",
                llm_provider=self.route.provider,
                model=self.route.model,
            ) from None

    def wire_headers(self) -> dict[str, str]:
        """Return the headers with their secrets revealed, for the moment of sending.

        Raises:
            BadRequestError: A value is not one line of visible ASCII, so it could smuggle in
                another header.
        """
        return {name: self._wire(name, value) for name, value in self.headers.items()}

    def _wire(self, name: str, value: str | Secret) -> str:
        text = value.reveal() if isinstance(value, Secret) else value
        if isinstance(text, str) and text.isascii() and text.isprintable() and _is_token(name):
            return text
        raise BadRequestError(
            f"header {name!r} is not a single line of printable ASCII, so it is not sent; "
            "look for a line break, a quote or a letter outside ASCII in the key or header",
            llm_provider=self.route.provider,
            model=self.route.model,
        )

    def events(self, frame: bytes) -> tuple[Event, ...]:
        """Return the events in one frame.

        Raises:
            InvalidResponse: The frame is not what the provider documents.
            StatusError: The frame is an error that the provider sent inside its answer.
        """
        try:
            return tuple(self.read(frame))
        except ScillmError:
            raise
        except StatusError as error:
            raise StatusError(error.status, self.redact(error.text), error.headers) from None
        except Exception as error:  # noqa: BLE001  # on bytes that nobody vouches for, in any way
            shown = self.redact(frame[:2000].decode("utf-8", "replace"))[:200]
            raise InvalidResponse(
                f"{self.route.provider} sent what cannot be read as an answer "
                f"({_reason(error)}): {shown!r}"
            ) from None

    def redact(self, text: str) -> str:
        """Return *text* without the secrets that this request carries."""
        return redact(text, self.headers.values())


Sender: TypeAlias = Callable[[Request], AsyncGenerator[Event, None]]
"""What ``send`` answers: carries a request out, and yields the events of its answer."""


def _plain_json(value: object) -> Any:
    if isinstance(value, (View, Mapping)):
        return dict(value._raw if isinstance(value, View) else value)
    raise TypeError(f"{type(value).__name__} is not JSON")


_JSON = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain_json
)


def _culprit(body: Mapping[str, Any]) -> str:
    for name, value in body.items():
        try:
            _JSON.encode({name: value}).encode()
        except (ValueError, TypeError, RecursionError):
            return f"{name!r}"
    return "the request"


@lru_cache(maxsize=256)
def _is_token(name: str) -> bool:
    return bool(name) and all(c.isascii() and (c.isalnum() or c in "!#$%&'*+-.^_`|~") for c in name)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]

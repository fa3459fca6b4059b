"""The plugin: restyles the key of a request, and learns from one 401 which style a host wants.

A key that the caller put into a header by name is left alone. One that came as ``api_key`` is
sent as a Bearer token, unless the call or the environment says otherwise; if the host answers
401 the same key goes out once more in the other style, and what worked is remembered for
that address and key, for a while.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from attrs import evolve
from cachetools import TTLCache

from scillm import APIError, BadRequestError, FailureKind, Request, Secret, Setting, hookimpl
from scillm.settings import boolean
from scillm_auth.guard import check

if TYPE_CHECKING:
    from scillm import Call, Event, Sender

BEARER, X_API_KEY, RAW, NONE = "bearer", "x-api-key", "raw", "none"
REMEMBERED_S = 300.0
MOST_REMEMBERED = 1024
_NOT_FOR_KEYS = frozenset({NONE, "accept", "connection", "content-length", "content-type", "host"})
OTHER = {BEARER: X_API_KEY, X_API_KEY: BEARER}

STYLE = Setting(
    name="OPENAI_AUTH",
    default="auto",
    option="auth_style",
    help="how a key is sent: auto, bearer, x-api-key, raw, or the name of a header",
)
LEARN = Setting(
    name="CHUTES_CANONICALIZE_OPENAI_AUTH",
    default=True,
    read=boolean,
    help="whether a 401 makes the key go out once more in the other style",
)


class Auth:
    """Sends keys in the style that their host wants.

    Args:
        clock: Tells seconds that never go back.
    """

    ORDER = 360
    SETTINGS: tuple[Setting[Any], ...] = (STYLE, LEARN)

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._styles: TTLCache[tuple[str, bytes], str] = TTLCache(
            MOST_REMEMBERED, REMEMBERED_S, timer=clock
        )
        self._lock = threading.Lock()

    @hookimpl(wrapper=True)
    def send(self, call: Call, request: Request) -> Generator[None, Sender | None, Sender | None]:
        """Look at the key, and wrap the Sender if it may be sent in another style."""
        inner = yield
        if inner is None:
            return None
        check(request)
        key = _key(call, request)
        if key is None:
            return inner
        style = _style(call, request)
        if style != "auto":
            return _always(style, key, inner)
        return self._learning(key, inner)

    def _learning(self, key: str, inner: Sender) -> Sender:
        async def send(request: Request) -> AsyncGenerator[Event, None]:
            place = _place(request, key)
            with self._lock:
                style = self._styles.get(place, BEARER)
            is_hopeless = style == NONE
            style = BEARER if is_hopeless else style
            is_begun = False
            try:
                async with aclosing(inner(_styled(request, style, key))) as events:
                    async for event in events:
                        yield _noted(event, style) if not is_begun and style != BEARER else event
                        is_begun = True
            except APIError as error:
                is_refused = error.failure.kind is FailureKind.AUTH and not is_begun
                if not is_refused or is_hopeless or not LEARN.value():
                    raise
                refused = error
            else:
                return
            async with aclosing(self._other(inner, request, key, style, refused)) as events:
                async for event in events:
                    yield event

        return send

    async def _other(
        self, inner: Sender, request: Request, key: str, refused_style: str, refused: APIError
    ) -> AsyncGenerator[Event, None]:
        """Send the same key in the other style, and remember what comes of it."""
        place, style = _place(request, key), OTHER[refused_style]
        is_begun = False
        try:
            async with aclosing(inner(_styled(request, style, key))) as events:
                async for event in events:
                    if not is_begun:
                        self._remember(place, style)
                    yield event if is_begun else _noted(event, style)
                    is_begun = True
        except APIError as error:
            if is_begun or error.failure.kind is not FailureKind.AUTH:
                raise
            self._remember(place, NONE)
            raise refused from None

    def _remember(self, place: tuple[str, bytes], style: str) -> None:
        with self._lock:
            self._styles[place] = style


def _key(call: Call, request: Request) -> str | None:
    """Return the key that a provider made a Bearer token of, if the caller named no header."""
    if "authorization" in call.headers or "x-api-key" in call.headers:
        return None
    value = request.headers.get("authorization")
    text = value.reveal() if isinstance(value, Secret) else ""
    return text[7:] if text[:7] == "Bearer " else None


def _style(call: Call, request: Request) -> str:
    """Return the style that is asked for, in small letters.

    Raises:
        BadRequestError: It is none, and no name of a header.
    """
    given = STYLE.value(call)
    style = given.strip().lower() if isinstance(given, str) else given
    if style is None or style == "":
        return "auto"
    is_name = isinstance(style, str) and style.isascii() and style.replace("-", "").isalnum()
    if is_name and style not in _NOT_FOR_KEYS:
        return style
    raise BadRequestError(
        f"auth_style={given!r:.40} is no style: "
        "give auto, bearer, x-api-key, raw, or a header's name",
        llm_provider=request.route.provider,
        model=request.route.model,
    )


def _always(style: str, key: str, inner: Sender) -> Sender:
    return lambda request: inner(_styled(request, style, key))


def _styled(request: Request, style: str, key: str) -> Request:
    if style == BEARER:
        return request
    headers = {name: value for name, value in request.headers.items() if name != "authorization"}
    if style == RAW:
        headers["authorization"] = Secret(key)
    else:
        headers[style] = Secret(key)
    return evolve(request, headers=headers)


def _place(request: Request, key: str) -> tuple[str, bytes]:
    where = request.route.base_url or request.route.provider
    return where, hashlib.sha256(key.encode()).digest()


def _noted(event: Event, style: str) -> Event:
    return event.with_notes("auth", {"style": style})

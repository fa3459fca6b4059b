"""The plugin: restyles the key of a request, and learns from one 401 which style a host wants.

A key that came as ``api_key`` is sent as a Bearer token, unless the call or the environment says
otherwise; one that the caller put into a header goes out as it was written. If the host answers
401 the same key goes out once more in the other style, and what worked is remembered for
that address and key, for a while.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import evolve

from scillm import APIError, BadRequestError, FailureKind, Request, Secret, Setting, hookimpl
from scillm.settings import boolean
from scillm_auth.guard import check

if TYPE_CHECKING:
    from cachetools import TTLCache

    from scillm import Call, Event, Sender

BEARER, X_API_KEY, RAW, NONE = "bearer", "x-api-key", "raw", "none"
REMEMBERED_S = 300.0
MOST_REMEMBERED = 1024
_WRITTEN = ("authorization", "x-api-key")  # where a caller may write a key of either style
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
SAFE_MODE = Setting(
    name="SAFE_MODE",
    default=False,
    read=boolean,
    help="1 sends a key in no other style than the first, unless SCILLM_ENABLE_AUTO_AUTH is 1",
)
AUTO_AUTH: Setting[bool | None] = Setting(
    name="ENABLE_AUTO_AUTH",
    default=None,
    read=boolean,
    help="whether a key may go out in the other style; unset, as the two others say",
)


def _learns() -> bool:
    """Return whether a 401 makes the key go out once more."""
    auto = AUTO_AUTH.value()
    return LEARN.value() and (not SAFE_MODE.value() if auto is None else auto)


class Auth:
    """Sends keys in the style that their host wants.

    Args:
        clock: Tells seconds that never go back.
    """

    ORDER = 360
    SETTINGS: tuple[Setting[Any], ...] = (STYLE, LEARN, SAFE_MODE, AUTO_AUTH)

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._has_learnt = False
        self._lock = threading.Lock()

    @cached_property
    def _styles(self) -> TTLCache[tuple[str, bytes], str]:
        """What was learnt, by host and key."""
        from cachetools import TTLCache  # only who is answered 401 pays for it

        return TTLCache(MOST_REMEMBERED, REMEMBERED_S, timer=self._clock)

    @hookimpl(wrapper=True)
    def send(self, call: Call, request: Request) -> Generator[None, Sender | None, Sender | None]:
        """Look at the key, and wrap the Sender if it may be sent in another style."""
        inner = yield
        if inner is None:
            return None
        check(request)
        found = _key(call, request)
        if found is None:
            return inner
        written, key = found
        style = _style(call, request)
        if style != "auto":
            is_written = any(name in call.headers for name in _WRITTEN)
            return inner if is_written else _always(style, key, inner)
        return self._learning(written, key, inner)

    def _learning(self, written: str, key: str, inner: Sender) -> Sender:
        async def send(request: Request) -> AsyncGenerator[Event, None]:
            style = self._known(request, key) or written
            is_hopeless = style == NONE
            style = written if is_hopeless else style
            is_begun = False
            if written != BEARER:
                request = _as_bearer(request, key)
            try:
                async with aclosing(inner(_styled(request, style, key))) as events:
                    async for event in events:
                        yield event if is_begun or style == written else _noted(event, style)
                        is_begun = True
            except APIError as error:
                is_refused = error.failure.kind is FailureKind.AUTH and not is_begun
                if not is_refused or is_hopeless or not _learns():
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

    def _known(self, request: Request, key: str) -> str | None:
        """Return what was learnt of a host and key; before the first 401 that is nothing."""
        if not self._has_learnt:
            return None
        with self._lock:
            style: str | None = self._styles.get(_place(request, key))
        return style

    def _remember(self, place: tuple[str, bytes], style: str) -> None:
        with self._lock:
            self._styles[place] = style
            self._has_learnt = True


def _key(call: Call, request: Request) -> tuple[str, str] | None:
    """Return in which style a key is written and the key; None for what is not ours to restyle.

    That is a header of the caller's own with something else in it than a key in one of the two
    styles, or both headers at once.
    """
    if call.headers:
        if all(name in call.headers for name in _WRITTEN):
            return None
        if (value := call.headers.get("x-api-key")) is not None:
            return X_API_KEY, _text(value)
    text = _text(request.headers.get("authorization", ""))
    return (BEARER, text[7:]) if text[:7] == "Bearer " else None


def _as_bearer(request: Request, key: str) -> Request:
    """Return the request as if its key had come as an argument: what is restyled from there."""
    headers = {name: value for name, value in request.headers.items() if name != X_API_KEY}
    return evolve(request, headers={**headers, "authorization": Secret(f"Bearer {key}")})


def _text(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


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

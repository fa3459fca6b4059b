"""Steps that answer 200 with a body that is broken, cut, late or mislabelled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from . import shapes, wire
from .actions import Action, End, Exchange, Pause, Step, half, stream


def _ok(exchange: Exchange) -> Iterator[Action]:
    if exchange.is_stream:
        yield from stream(exchange.plan.events(exchange.request), exchange.plan.options.gap_s)
    else:
        yield wire.answer(200, exchange.whole)


def _cut(status_line_and_body: bytes) -> Iterator[Action]:
    yield status_line_and_body
    yield End.CLOSE


def _bad(exchange: Exchange) -> Iterator[Action]:
    yield wire.answer(200, b'{"id": "x", "choices": [{"index": 0, "mess')


def _trunc(exchange: Exchange) -> Iterator[Action]:
    yield from _cut(wire.answer(200, exchange.whole)[:-100])


def _mid(exchange: Exchange) -> Iterator[Action]:
    yield from _cut(half(exchange))


def _stall(exchange: Exchange) -> Iterator[Action]:
    yield half(exchange)
    yield End.HANG


def _html(exchange: Exchange) -> Iterator[Action]:
    yield wire.answer(200, b"<html><body>gateway</body></html>", "text/html")


def _empty(exchange: Exchange) -> Iterator[Action]:
    body: shapes.JsonObject = {"id": "x", "object": "chat.completion", "created": 1}
    yield wire.answer(200, shapes.encode({**body, "model": "m", "choices": [], "usage": None}))


def _whole(exchange: Exchange) -> Iterator[Action]:
    """A whole answer, though a stream may have been asked for."""
    yield wire.answer(200, exchange.whole)


def _slow(exchange: Exchange) -> Iterator[Action]:
    """The head at once, the body later."""
    body = exchange.whole
    yield wire.head(200, wire.JSON_TYPE, len(body), {})
    yield Pause(exchange.plan.options.pause_s)
    yield body


def _close(exchange: Exchange) -> Iterator[Action]:
    """A good answer on a connection that is closed after it without a word."""
    yield from _ok(exchange)
    yield End.CLOSE


def _end(end: End) -> Step:
    """A step that answers nothing."""

    def step(exchange: Exchange) -> Iterator[Action]:
        yield end

    return step


def _badutf8(exchange: Exchange) -> Iterator[Action]:
    """Bytes in the text that are not UTF-8."""
    if exchange.is_stream:
        events = exchange.plan.events(exchange.request)
        broken = shapes.event(shapes.chunk({"content": "@"}, 0, exchange.plan.options))
        events = [*events[:2], broken.replace(b"@", b"\xff\xfe"), *events[2:]]
        yield from stream(events, exchange.plan.options.gap_s)
    else:
        yield wire.answer(200, exchange.whole.replace(b":", b':"\xff\xfe",".":', 1))


def _nan(exchange: Exchange) -> Iterator[Action]:
    """A number that JSON does not have."""
    if exchange.is_stream:
        events = list(exchange.plan.events(exchange.request))
        events[1] = events[1].replace(b"{", b'{"temperature":NaN,', 1)
        yield from stream(events, exchange.plan.options.gap_s)
    else:
        yield wire.answer(200, exchange.whole.replace(b"{", b'{"temperature":NaN,', 1))


def _wrongtype(exchange: Exchange) -> Iterator[Action]:
    """A good answer under a content type that it does not have."""
    if exchange.is_stream:
        yield from stream(exchange.plan.events(exchange.request), None, "text/html")
    else:
        yield wire.answer(200, exchange.whole, "text/plain")


STEPS: Mapping[str, Step] = {
    "ok": _ok,
    "bad": _bad,
    "trunc": _trunc,
    "mid": _mid,
    "stall": _stall,
    "html": _html,
    "empty": _empty,
    "whole": _whole,
    "slow": _slow,
    "close": _close,
    "drop": _end(End.ABORT),
    "reset": _end(End.RESET),
    "hang": _end(End.HANG),
    "badutf8": _badutf8,
    "nan": _nan,
    "wrongtype": _wrongtype,
}

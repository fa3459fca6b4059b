"""Steps that answer with an error status or a redirect."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from email.utils import formatdate

from . import bodies, shapes, wire
from .actions import Action, Exchange, Step

REDIRECTS = frozenset({"301", "302", "303", "307", "308"})
_MESSAGES: Mapping[int, tuple[str, str, str | None]] = {
    401: ("incorrect API key provided", "invalid_request_error", "invalid_api_key"),
    404: ("the model 'mock-model' does not exist", "invalid_request_error", "model_not_found"),
    429: ("rate limit reached for requests", "requests", "rate_limit_exceeded"),
}


def _error(exchange: Exchange, status: int, said: tuple[str, str, str | None]) -> bytes:
    """An error answer in OpenAI's shape, with the `retry-after` headers of the options."""
    options = exchange.plan.options
    extra = dict(options.retry_headers)
    if "rad" in options.flags:
        extra["retry-after"] = formatdate(time.time() + 1, usegmt=True)
    message, kind, code = said
    error: shapes.JsonObject = {"message": message, "type": kind, "param": None, "code": code}
    return wire.answer(status, shapes.encode({"error": error}), extra=extra)


def status(code: int, exchange: Exchange) -> Iterator[Action]:
    """An error with this HTTP status, as OpenAI words it."""
    said = _MESSAGES.get(code, (f"mock {code}", "mock_error", None))
    yield _error(exchange, code, said)


def _failing(status: int, message: str, kind: str, code: str) -> Step:
    """A step that answers with one error."""

    def step(exchange: Exchange) -> Iterator[Action]:
        yield _error(exchange, status, (message, kind, code))

    return step


def _leak(exchange: Exchange) -> Iterator[Action]:
    """A 401 that quotes the key it was sent, as careless hosts do."""
    sent = exchange.request.headers.get("authorization", "")
    yield _error(exchange, 401, (f"bad key: {sent}", "invalid_request_error", "invalid_api_key"))


def _only_with(header: str, begin: str = "") -> Step:
    """A step that answers well if the key comes in this header, and with 401 if not."""

    def step(exchange: Exchange) -> Iterator[Action]:
        sent = exchange.request.headers.get(header, "")
        is_known = bool(sent) and sent.startswith(begin)
        yield from bodies.STEPS["ok"](exchange) if is_known else status(401, exchange)

    return step


def _capacity(exchange: Exchange) -> Iterator[Action]:
    said = {"detail": "infrastructure is at maximum capacity, try again later"}
    yield wire.answer(500, shapes.encode(said), extra=exchange.plan.options.retry_headers)


def _gateway(exchange: Exchange) -> Iterator[Action]:
    page = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
    yield wire.answer(502, page, "text/html")


def redirect(code: int, exchange: Exchange) -> Iterator[Action]:
    """To the URL without options, on this endpoint or on the host of the options."""
    host = exchange.plan.options.redirect_to
    base = f"{exchange.scheme}://{host}" if host else ""
    yield wire.answer(code, b"", extra={"location": base + exchange.plan.path})


STEPS: Mapping[str, Step] = {
    "ctx": _failing(
        400,
        "this model's maximum context length is 8192 tokens, your messages have 9001 tokens",
        "invalid_request_error",
        "context_length_exceeded",
    ),
    "policy": _failing(
        400,
        "your request was rejected as a result of our safety system",
        "invalid_request_error",
        "content_policy_violation",
    ),
    "quota": _failing(
        429, "you exceeded your current quota", "insufficient_quota", "insufficient_quota"
    ),
    "leak": _leak,
    "gateway": _gateway,
    "xkey": _only_with("x-api-key"),
    "bearer": _only_with("authorization", "Bearer "),
    "capacity": _capacity,
}

"""The outermost layer of an app: id, token, limit, errors, log. A middleware of ASGI's."""

from __future__ import annotations

import hmac
import logging
import re
import uuid
from collections.abc import Collection, Mapping
from typing import Any

from scillm import APIError
from scillm.errors import PluginError
from scillm_serving.exchange import LEFT, Exchange
from scillm_serving.metrics import Metrics
from scillm_serving.refusals import Refused, refusal
from scillm_serving.rules import Rules

ACCESS = logging.getLogger("scillm.serving.access")
LOG = logging.getLogger("scillm.serving")
KEY = "scillm.exchange"
"""Where the exchange lies in ASGI's scope."""

_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class ClientLeft(Exception):
    """Nobody is there to be answered."""


class Edge:
    """Lets requests in, and sees to it that each gets an answer in OpenAI's shape.

    Args:
        app: What answers.
        rules: What is allowed.
        open_paths: What needs no token and counts towards no limit.
        metrics: Where requests are counted, or None.
    """

    def __init__(
        self, app: Any, rules: Rules, open_paths: Collection[str], metrics: Metrics | None
    ) -> None:
        self._app, self._rules, self._metrics = app, rules, metrics
        self._open_paths = frozenset(open_paths)
        self._running = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = headers_of(scope)
        exchange = scope[KEY] = Exchange(scope, send, _request_id(headers))
        is_counted = scope["path"] not in self._open_paths
        self._running += is_counted
        try:
            if is_counted:
                self._admit(headers)
            await self._app(scope, receive, exchange.send)
        except ClientLeft:
            exchange.status = LEFT
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets an answer
            await exchange.refuse(_refused(error, exchange))
        finally:
            self._running -= is_counted
            self._note(exchange, scope)

    def _admit(self, headers: Mapping[str, str]) -> None:
        token = self._rules.token
        if token is not None and not _is_same(token.reveal(), _given(headers)):
            raise Refused(
                401,
                "the token is missing or wrong: send it as Authorization: Bearer TOKEN",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        if self._running > self._rules.max_concurrent:
            raise Refused(
                429,
                f"{self._rules.max_concurrent} requests are being worked on: come again",
                code="too_many_requests",
                headers={"retry-after": "1"},
            )

    def _note(self, exchange: Exchange, scope: Mapping[str, Any]) -> None:
        if self._metrics is not None:
            self._metrics.count(exchange)
        ACCESS.info(
            "%s %s %d %d bytes %.1f ms %s",
            exchange.method,
            exchange.path.encode("unicode_escape").decode(),
            exchange.status,
            exchange.sent_bytes,
            exchange.ms,
            exchange.request_id,
        )


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return a request's headers by lower-case names."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _request_id(headers: Mapping[str, str]) -> str:
    given = headers.get("x-request-id", "")
    return given if _ID.fullmatch(given) else uuid.uuid4().hex


def _given(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def _is_same(token: str, given: str) -> bool:
    """Compare in a time that does not tell how much of it was right."""
    return hmac.compare_digest(token.encode(), given.encode("latin-1"))  # as headers_of read it


def _refused(error: Exception, exchange: Exchange) -> Refused:
    refused = refusal(error, exchange.request_id)
    if not isinstance(error, (Refused, APIError)) or isinstance(error, PluginError):
        LOG.error("request %s failed", exchange.request_id, exc_info=error)
    return refused

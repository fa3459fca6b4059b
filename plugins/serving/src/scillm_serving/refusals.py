"""Every error that a server answers with, in OpenAI's shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scillm import APIError
from scillm.errors import APIConnectionError, PluginError, Timeout

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Refused(Exception):
    """What a request is answered with instead of what it asked for.

    Args:
        status: HTTP status.
        message: What is wrong, why, what to do; the client reads it.
        code: A word for programs, such as ``"model_not_found"``.
        param: The field that is wrong, such as ``"messages[0].role"``.
        headers: Sent besides.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.code, self.param, self.headers = code, param, dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """The answer's body."""
        return {
            "error": {
                "message": self.message,
                "type": _type(self.status),
                "param": self.param,
                "code": self.code,
            }
        }


def _type(status: int) -> str:
    return _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def refusal(error: Exception, request_id: str) -> Refused:
    """Return what an error is answered with; of one that is our fault it says nothing."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, APIError) and not isinstance(error, PluginError):
        return of_call(error)
    return Refused(
        500,
        f"the server failed; its log says more under the request id {request_id}",
        code="internal_error",
    )


def of_call(error: APIError) -> Refused:
    """Return what a failed call is answered with: its own status, and when to come again."""
    failure = error.failure
    wait_s = failure.retry_after_s
    headers = {} if wait_s is None else {"retry-after": str(max(0, math.ceil(wait_s)))}
    code = failure.code or str(failure.kind)
    return Refused(_status(error), error.message, code=code, headers=headers)


def _status(error: APIError) -> int:
    if error.failure.status is None and isinstance(error, APIConnectionError):
        return 504 if isinstance(error, Timeout) else 502  # it is not this server that is away
    status = error.status_code
    return status if 400 <= status < 600 else 502

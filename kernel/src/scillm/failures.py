"""Why a call failed, in the only terms that a strategy may decide on."""

from __future__ import annotations

from enum import Enum

from attrs import frozen


class FailureKind(str, Enum):
    """The reasons that strategies tell apart; each is also its own text."""

    AUTH = "auth"
    PERMISSION = "permission"
    BAD_REQUEST = "bad_request"
    UNPROCESSABLE = "unprocessable"
    CONFLICT = "conflict"
    CONTEXT_WINDOW = "context_window"
    CONTENT_POLICY = "content_policy"
    NOT_FOUND = "not_found"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    SERVER = "server"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    BAD_ANSWER = "bad_answer"
    BUG = "bug"

    def __str__(self) -> str:
        return self.value


_TRANSIENT = frozenset(
    {
        FailureKind.RATE_LIMIT,
        FailureKind.OVERLOADED,
        FailureKind.SERVER,
        FailureKind.TIMEOUT,
        FailureKind.UNREACHABLE,
        FailureKind.BAD_ANSWER,
    }
)


@frozen(kw_only=True)
class Failure:
    """A classified error.

    Attributes:
        kind: What went wrong.
        detail: One or two sentences for a person; holds no secret.
        status: HTTP status, if an answer came.
        retry_after_s: Seconds the provider asked us to wait, if it did.
        code: The provider's own code, such as ``"context_length_exceeded"``.
        request_id: The provider's own id of the request.
    """

    kind: FailureKind
    detail: str
    status: int | None = None
    retry_after_s: float | None = None
    code: str | None = None
    request_id: str | None = None

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.kind in _TRANSIENT

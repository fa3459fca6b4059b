"""Every error scillm raises; the names are those that users of other clients expect.

::

    ScillmError
    └── APIError                     a call failed; carries status, provider, model, failure
        ├── BadRequestError              400
        │   ├── ContextWindowExceededError
        │   ├── ContentPolicyViolationError
        │   ├── SettingError             a variable or .env file that cannot be read
        │   └── UnsupportedParamsError   an argument that nobody takes
        ├── AuthenticationError          401
        ├── PermissionDeniedError        403
        ├── NotFoundError                404
        │   └── UnknownModelError        no installed plugin answers for this model
        ├── ConflictError                409
        ├── UnprocessableEntityError     422
        ├── RateLimitError               429
        ├── InternalServerError          500 and other 5xx
        │   └── ServiceUnavailableError  502, 503, 529
        ├── APIConnectionError           no connection, or it broke
        │   └── Timeout                  408, or a deadline of ours
        ├── InvalidResponse              an answer that is not what its protocol says
        └── PluginError                  a plugin broke the rules of a hook, or failed inside one

Senders raise the three of the edge: ``StatusError``, ``TimeoutError``, ``ConnectionError``
(the last two are Python's own), or ``InvalidResponse``. The kernel turns each into an
APIError by way of the hook ``classify_error``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from scillm.failures import Failure, FailureKind

if TYPE_CHECKING:
    from scillm.answers import Answer


class ScillmError(Exception):
    """Base of all errors raised by scillm."""


class APIError(ScillmError):
    """A call failed.

    Attributes:
        message: What happened, why, what to do.
        status_code: HTTP status, the upstream's where there was one, else the usual one.
        llm_provider: Provider that was asked, or ``""``.
        model: Model as that provider knows it, or ``""``.
        request_id: The upstream's own id of the request, for its support, or None.
        failure: The classified reason, in the terms that strategies decide on.
        partial: What had arrived of a stream before it failed, or None.
    """

    kind: ClassVar[FailureKind] = FailureKind.BUG
    default_status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        llm_provider: str = "",
        model: str = "",
        failure: Failure | None = None,
        partial: Answer | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.llm_provider = llm_provider
        self.model = model
        self.failure = failure or Failure(kind=self.kind, detail=message)
        self.partial = partial

    @property
    def status_code(self) -> int:
        """HTTP status of the failure; the class's usual one where no answer came."""
        status = self.failure.status
        return self.default_status if status is None else status

    @property
    def request_id(self) -> str | None:
        """The upstream's own id of the request, if it told one."""
        return self.failure.request_id

    def __reduce__(self) -> tuple[object, ...]:
        state = dict(self.__dict__)
        return (_rebuilt, (type(self), self.message), state)


def _rebuilt(kind: type[APIError], message: str) -> APIError:
    return kind.__new__(kind, message)


class BadRequestError(APIError):
    """The request cannot be served as it is (400)."""

    kind = FailureKind.BAD_REQUEST
    default_status = 400


class ContextWindowExceededError(BadRequestError):
    """The messages are longer than the model takes."""

    kind = FailureKind.CONTEXT_WINDOW


class ContentPolicyViolationError(BadRequestError):
    """The provider refuses the content."""

    kind = FailureKind.CONTENT_POLICY


class SettingError(BadRequestError, ValueError):
    """A variable, or the ``.env`` file, says what cannot be read."""


class UnsupportedParamsError(BadRequestError):
    """An argument that neither the provider nor a plugin takes."""


class AuthenticationError(APIError):
    """The key is missing or not accepted (401)."""

    kind = FailureKind.AUTH
    default_status = 401


class PermissionDeniedError(APIError):
    """The key may not do this (403)."""

    kind = FailureKind.PERMISSION
    default_status = 403


class NotFoundError(APIError):
    """No such model or address (404)."""

    kind = FailureKind.NOT_FOUND
    default_status = 404


class UnknownModelError(NotFoundError):
    """No installed plugin answers for this model."""


class ConflictError(APIError):
    """The request conflicts with another (409)."""

    kind = FailureKind.CONFLICT
    default_status = 409


class UnprocessableEntityError(APIError):
    """The request is well formed and not acceptable (422)."""

    kind = FailureKind.UNPROCESSABLE
    default_status = 422


class RateLimitError(APIError):
    """Too many requests, or no capacity (429)."""

    kind = FailureKind.RATE_LIMIT
    default_status = 429


class InternalServerError(APIError):
    """The provider failed (5xx)."""

    kind = FailureKind.SERVER


class ServiceUnavailableError(InternalServerError):
    """The provider is down or overloaded (502, 503, 529)."""

    kind = FailureKind.OVERLOADED
    default_status = 503


class APIConnectionError(APIError):
    """No connection could be made, or it broke."""

    kind = FailureKind.UNREACHABLE


class Timeout(APIConnectionError):
    """No answer in time (408)."""

    kind = FailureKind.TIMEOUT
    default_status = 408


class InvalidResponse(APIError):
    """An answer that is not what its protocol says: malformed, truncated, of another type."""

    kind = FailureKind.BAD_ANSWER
    default_status = 502


class PluginError(APIError):
    """A plugin broke the rules of a hook, or failed inside one."""

    kind = FailureKind.BUG


class StatusError(Exception):
    """A sender was answered with an error status. Senders raise it; callers never see it.

    Args:
        status: HTTP status.
        text: The body, or its beginning.
        headers: The answer's headers, names in any case.
    """

    def __init__(
        self, status: int, text: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"status {status}: {text[:200]}")
        self.status = status
        self.text = text
        self.headers = {name.lower(): value for name, value in (headers or {}).items()}


def _below(error: type[APIError]) -> Iterator[type[APIError]]:
    for known in error.__subclasses__():
        yield known
        yield from _below(known)


_BY_KIND = {known.kind: known for known in _below(APIError) if "kind" in vars(known)}


def error_for(failure: Failure) -> type[APIError]:
    """Return the class of error that stands for *failure*."""
    return _BY_KIND[failure.kind]


def hint(
    name: str, known: Iterable[str], *, end: str = "", most: int = 1, cutoff: float = 0.6
) -> str:
    """Return ``did you mean 'x'?`` with the nearest of *known*, or ``""``; for a message."""
    from difflib import get_close_matches  # only mistakes pay for it

    near = (repr(f"{each}{end}") for each in get_close_matches(name, [*known], most, cutoff))
    names = " or ".join(near)
    return f"did you mean {names}?" if names else ""

"""What the kernel itself answers when no plugin does."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from scillm.answers import Answer
from scillm.errors import APIError, InvalidResponse, PluginError, StatusError, error_for
from scillm.failures import Failure, FailureKind
from scillm.folding import no_event
from scillm.hookspecs import hookimpl
from scillm.secrets import Secret, redact

if TYPE_CHECKING:
    from scillm.answers import Event
    from scillm.calls import Call, Request, Sender

_BY_STATUS = {
    400: FailureKind.BAD_REQUEST,
    401: FailureKind.AUTH,
    403: FailureKind.PERMISSION,
    404: FailureKind.NOT_FOUND,
    408: FailureKind.TIMEOUT,
    409: FailureKind.CONFLICT,
    413: FailureKind.CONTEXT_WINDOW,
    422: FailureKind.UNPROCESSABLE,
    429: FailureKind.RATE_LIMIT,
    502: FailureKind.OVERLOADED,
    503: FailureKind.OVERLOADED,
    504: FailureKind.TIMEOUT,
    529: FailureKind.OVERLOADED,
}
_BY_CODE = {
    "context_length_exceeded": FailureKind.CONTEXT_WINDOW,
    "string_above_max_length": FailureKind.CONTEXT_WINDOW,
    "exceed_context_size_error": FailureKind.CONTEXT_WINDOW,
    "content_policy_violation": FailureKind.CONTENT_POLICY,
    "content_filter": FailureKind.CONTENT_POLICY,
}
_LONGEST_WAIT_S = 10 * 366 * 86400.0  # what is longer is a mistake
_BY_TYPE: tuple[tuple[type[Exception], FailureKind], ...] = (
    (TimeoutError, FailureKind.TIMEOUT),
    (ConnectionError, FailureKind.UNREACHABLE),
)


@frozen(eq=False)
class Defaults:
    """The kernel's own plugin. Asked last, so any plugin may answer instead."""

    hook: Any  # pluggy's relay, whose calls it cannot type

    @hookimpl(wrapper=True, trylast=True)
    def send(self, call: Call) -> Generator[None, Sender | None, Sender | None]:
        """Innermost wrapper: name errors at the edge, so that all above see an APIError."""
        inner = yield
        return inner and _named(self.hook, call, inner)

    @hookimpl(trylast=True)
    def classify_error(self, request: Request, error: Exception) -> Failure:
        """Read HTTP statuses, OpenAI's error body, and the exceptions of the edge."""
        if isinstance(error, StatusError):
            return _of_status(request, error)
        if isinstance(error, APIError):
            return error.failure
        kinds = (kind for known, kind in _BY_TYPE if isinstance(error, known))
        kind = next(kinds, FailureKind.BUG)
        said = f"{type(error).__name__}: {error}" if kind is FailureKind.BUG else str(error)
        return Failure(kind=kind, detail=said or type(error).__name__)

    @hookimpl(trylast=True)
    def post_process(self, response: Answer) -> Answer:
        """Leave the answer as it is."""
        return response


def _named(hook: Any, call: Call, inner: Sender) -> Sender:
    async def send(request: Request) -> AsyncGenerator[Event, None]:
        is_first = True
        source: Any = None
        event: Any = None
        try:
            source = inner(request)
            async with aclosing(source) as events:
                async for event in events:
                    is_told = not is_first or event.served_by is not None
                    yield event if is_told else event.served(request.route)
                    is_first = False
            if is_first:
                raise InvalidResponse("the answer holds nothing that can be read")  # noqa: TRY301  # named below
        except APIError as error:
            if error.llm_provider:
                raise
            raise _told(hook, call, request, error) from error.__cause__
        except Exception as error:  # whatever a Sender raises gets a name here, and only here
            rule = _rule_broken(source, event)
            raise _told(hook, call, request, rule or error) from error

    return send


def _rule_broken(source: Any, event: Any) -> PluginError | None:
    """Say which rule of Senders was broken, if that is why one failed."""
    if source is not None and not hasattr(source, "aclose"):
        if hasattr(source, "close"):
            source.close()  # a coroutine that nobody will await
        return PluginError(
            f"its Sender returned {source!r:.80}: it must be an async generator function, "
            "an `async def` with `yield`"
        )
    return None if event is None or isinstance(event, Answer) else no_event(event)


def _told(hook: Any, call: Call, request: Request, error: Exception) -> APIError:
    failure: Failure = hook.classify_error(call=call, request=request, error=error)
    query = Secret(request.url.partition("?")[2])  # where some hosts want a key
    known = (call.api_key, query, *call.headers.values(), *request.headers.values())
    request_id = failure.request_id and redact(failure.request_id, known)
    detail = redact(failure.detail, known)[:500]
    failure = evolve(failure, detail=detail, request_id=request_id)
    route = request.route
    where = f"{route.provider}/{route.model}" if route.model else route.provider
    kind = type(error) if isinstance(error, APIError) else error_for(failure)
    return kind(
        f"{where}: {failure.detail}",
        llm_provider=route.provider,
        model=route.model,
        failure=failure,
        partial=getattr(error, "partial", None),
    )


def _of_status(request: Request, error: StatusError) -> Failure:
    message, code = _openai_error(error.text)
    kind = _BY_CODE.get(code or "") or _BY_STATUS.get(error.status)
    if kind is None:
        kind = FailureKind.SERVER if error.status >= 500 else FailureKind.BAD_REQUEST
    said = f"status {error.status} from {request.url}"
    return Failure(
        kind=kind,
        detail=f"{said}: {message}" if message else said,
        status=error.status,
        retry_after_s=retry_after_s(error.headers),
        code=code,
        request_id=error.headers.get("x-request-id"),
    )


def _openai_error(text: str) -> tuple[str, str | None]:
    """Return message and code out of ``{"error": {"message", "code"}}`` or what is like it."""
    import json  # only errors pay for it

    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return text[:300].strip(), None
    said = said.get("error", said) if isinstance(said, dict) else said
    if not isinstance(said, Mapping):
        return str(said)[:300], None
    message = said.get("message") or said.get("detail") or text[:300]
    code = said.get("code") if isinstance(said.get("code"), str) else said.get("type")
    return str(message), code if isinstance(code, str) else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait, from ``retry-after-ms`` or ``Retry-After``.

    Source: RFC 9110, section 10.2.3, which allows seconds or a date.
    """
    try:
        if (ms := headers.get("retry-after-ms")) is not None:
            seconds = float(ms) / 1000
        elif (text := headers.get("retry-after")) is None:
            return None
        else:
            seconds = float(text) if text.strip()[:1].isdigit() else _until(text)
        return max(0.0, seconds) if seconds < _LONGEST_WAIT_S else None
    except ValueError:
        return None


def _until(date: str) -> float:
    import time
    from email.utils import parsedate_to_datetime

    return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())

"""The five hooks: the whole contract between the kernel and its plugins.

A call runs through them from top to bottom. Each *asks* plugins, lowest ``ORDER`` first,
until one answers; ``None`` means "not mine". A plugin changes another's answer with
``@hookimpl(wrapper=True)``::

    @hookimpl(wrapper=True)
    def send(call, request):
        inner = yield  # what the plugins below answered; may be None
        return inner and _timed(inner)

All are plain functions: only a Sender awaits. A hook may take any of its arguments, by
name, and leave out the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    from scillm.answers import Answer
    from scillm.calls import Call, Request, Route, Sender
    from scillm.failures import Failure

hookspec = HookspecMarker("scillm")
hookimpl = HookimplMarker("scillm")


@hookspec(firstresult=True)
def resolve_model(call: Call) -> Route | None:
    """Say who answers this call.

    The first plugin that returns a route wins. ``call.model_for("mine")`` tells whether the
    caller named you. Pure: no I/O, no clock.

    Args:
        call: What was asked; ``call.model`` is what the caller wrote.

    Returns:
        A route, or None if the model is not yours. Never raise for a foreign name.
    """


@hookspec(firstresult=True)
def prepare_request(call: Call, route: Route) -> Request | None:
    """Translate a call into what the provider wants to receive.

    The first plugin that returns a request wins. Pure: no I/O, no clock, and the same call
    gives the same request. ``request.read`` must read what the provider will answer.

    Args:
        call: What was asked.
        route: Who answers, as ``resolve_model`` said.

    Returns:
        A request, or None if the route is not yours.

    Raises:
        BadRequestError: The call cannot be expressed; UnsupportedParamsError for one argument.
        AuthenticationError: A key is needed and none was given.
    """


@hookspec(firstresult=True)
def send(call: Call, request: Request) -> Sender | None:
    """Return the async generator function that carries the request out.

    The first plugin that returns a Sender wins; a strategy (retry, cache, pacing) wraps it.
    The Sender is called once per attempt, with a request that may differ from this one. It
    yields events in order, a Chunk for a piece or one Response for a whole answer, and
    closes what it opened when it is closed.

    Args:
        call: What was asked.
        request: What goes out; its URL's scheme tells a transport whether it is its own.

    Returns:
        A Sender, or None if the request is not yours.

    Raises:
        StatusError, TimeoutError, ConnectionError, InvalidResponse: By the Sender, when run.
    """


@hookspec(firstresult=True)
def classify_error(call: Call, request: Request, error: Exception) -> Failure | None:
    """Name an error in the terms of ``FailureKind``.

    The first plugin that returns a failure wins; the kernel itself knows the HTTP statuses
    and OpenAI's error codes. Must not raise. The one place where text may be searched.

    Args:
        call: What was asked.
        request: What was sent.
        error: What the Sender raised.

    Returns:
        A failure, or None if you know nothing special of this error.
    """


@hookspec(firstresult=True)
def post_process(call: Call, response: Answer) -> Answer | None:
    """Refine a whole answer; called once per call, for a stream after its last event.

    Write it as a wrapper; the kernel's own implementation returns the answer unchanged. What
    a stream has already handed over cannot be taken back: to change events, wrap ``send``.

    Args:
        call: What was asked.
        response: The whole answer: the fold of its events.

    Returns:
        The answer, changed with ``response.evolve`` or ``response.with_notes``.
    """

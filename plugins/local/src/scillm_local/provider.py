"""The embedded model as a provider: what a call becomes, and how it reaches the host."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from functools import cache
from typing import TYPE_CHECKING

from attrs import evolve

from scillm import (
    APIConnectionError,
    Failure,
    FailureKind,
    ModelList,
    Route,
    Secret,
    Timeout,
    hookimpl,
)
from scillm_local import chat, tools
from scillm_local.model import BUILT_IN, Model, chosen, find
from scillm_local.settings import SETTINGS

if TYPE_CHECKING:
    from scillm import Call, Event, Request, Sender
    from scillm.answers import Answer
    from scillm_local.access import Leases
    from scillm_local.meeting import Record

NAME = "local"


class Local:
    """The plugin; holds the leases of one kernel on the hosts that it uses."""

    PROVIDERS = (NAME,)
    SETTINGS = SETTINGS

    def __init__(self) -> None:
        self._leases: Leases | None = None

    @hookimpl
    def resolve_model(self, call: Call) -> Route | None:
        """Take ``local/...``, and a chat that names neither model nor provider nor address."""
        named = call.model_for(NAME)
        if named is None and not _is_default(call):
            return None
        model = find(named or "")
        return Route(
            provider=NAME, model=model.id if model else named or "", base_url=chat.BASE_URL
        )

    @hookimpl
    def prepare_request(self, call: Call, route: Route) -> Request | None:
        """Speak OpenAI's dialect, with what a small model needs."""
        if route.provider != NAME:
            return None
        return chat.request(call, route, is_known=find(route.model) is not None)

    @hookimpl(wrapper=True)
    def send(self, call: Call, request: Request) -> Generator[None, Sender | None, Sender | None]:
        """Make sure that the host runs, and let the transport go there."""
        inner = yield
        if request.route.provider != NAME:
            return inner
        if call.operation == "models":
            return _listed  # known without the host, which would have to be started
        return inner and self._sender(call, inner)

    @hookimpl
    def classify_error(self, request: Request, error: Exception) -> Failure | None:
        """Tell a content that the model cannot take from a failure; llama.cpp says 500 to both."""
        text = getattr(error, "text", "")
        if request.route.provider != NAME or " input is not supported" not in text:
            return None
        detail = "the embedded model reads text alone: leave out images, audio and video"
        return Failure(kind=FailureKind.BAD_REQUEST, detail=detail, status=400)

    @hookimpl(wrapper=True)
    def post_process(self, call: Call) -> Generator[None, Answer, Answer]:
        """Note which model answered, and whether anybody had asked for it."""
        answer = yield
        served_by = answer.served_by
        if call.operation != "chat" or served_by is None or served_by.provider != NAME:
            return answer
        notes = {"model": f"{NAME}/{served_by.model}", "is_default": _is_default(call)}
        return answer.with_notes(NAME, notes)

    async def aclose(self) -> None:
        """Give the leases back; a host without users stops by itself."""
        if self._leases is not None:
            self._leases.give_back()

    def _sender(self, call: Call, inner: Sender) -> Sender:
        async def send(request: Request) -> AsyncGenerator[Event, None]:
            model = find(request.route.model) or chosen()
            if _is_default(call):
                _say_once(
                    f"scillm: no model was named, so the embedded {NAME}/{model.id} answers; "
                    "name one with model=... or SCILLM_MODEL"
                )
            events = self._exchanged(model, request, inner)
            reshaping = tools.Reshaping() if tools.forced(call) else None
            async with aclosing(events):
                async for event in events:
                    yield reshaping.event(event) if reshaping else event

        return send

    async def _exchanged(
        self, model: Model, request: Request, inner: Sender
    ) -> AsyncGenerator[Event, None]:
        """Ask the host; once more if it is gone before it said anything."""
        is_begun, host = False, await self._host(model)
        try:
            async with aclosing(inner(_aimed(request, host))) as events:
                async for event in events:
                    is_begun = True
                    yield event
                return
        except Timeout:
            raise
        except APIConnectionError:
            if is_begun:
                raise
        # It stopped for idleness or was killed meanwhile; asking twice costs nothing but time.
        host = await self._host(model, lost=host)
        async with aclosing(inner(_aimed(request, host))) as events:
            async for event in events:
                yield event

    async def _host(self, model: Model, lost: Record | None = None) -> Record:
        import asyncio

        from scillm_local.access import Leases, host_for  # processes, locks, pip: for calls alone

        self._leases = self._leases or Leases()
        return await asyncio.to_thread(host_for, model, self._leases, lost)


async def _listed(request: Request) -> AsyncGenerator[Event, None]:
    names = dict.fromkeys((chosen().id, BUILT_IN))
    data = [{"id": name, "object": "model", "created": 0, "owned_by": NAME} for name in names]
    yield ModelList({"object": "list", "data": data})


def _is_default(call: Call) -> bool:
    named = call.model or call.provider or call.api_base
    return call.operation == "chat" and not named


def _aimed(request: Request, host: Record) -> Request:
    url = request.url.replace("127.0.0.1", f"127.0.0.1:{host.port}", 1)
    headers = {**request.headers, "authorization": Secret(f"Bearer {host.token}")}
    return evolve(request, url=url, headers=headers)


@cache
def _say_once(text: str) -> None:
    """Tell the person at the terminal, once per process."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201  # it is meant for a person

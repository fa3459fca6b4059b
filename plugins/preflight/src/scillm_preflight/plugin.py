"""The plugin: looks at the model's id of each request before anything is sent.

It wraps ``send`` beneath a Router, so that every deployment's own id is looked at, and above all
that costs anything: keys, pacing, the wire. Off, it is not there.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from attrs import evolve

from scillm import Failure, FailureKind, Request, Setting, hookimpl
from scillm_preflight.catalogs import Catalogues, in_words, place_of
from scillm_preflight.errors import AmbiguousModelId, UnknownModelId
from scillm_preflight.flights import Flights
from scillm_preflight.resolving import Resolution, nearest, resolve
from scillm_preflight.settings import (
    ALIAS,
    ALIAS_LLM,
    ALIAS_LLM_MODEL,
    ALLOW_STALE,
    CUTOFF,
    GUARD,
    SETTINGS,
    checked_cutoff,
)
from scillm_preflight.shelf import LOG, Catalog

if TYPE_CHECKING:
    from scillm import Call, Event, Sender
    from scillm.answers import Answer
    from scillm_preflight.choosing import Ask

NOTES = "preflight"
MOST_CHOSEN = 1024
Choices = dict[tuple[str, str, tuple[str, ...]], str]


class Preflight:
    """Refuses ids that a host does not have, and resolves names; each only if asked for.

    Args:
        clock: Tells seconds since 1970.
        ask: What asks the model that chooses; None is ``scillm.acompletion``.
    """

    ORDER = 355
    SETTINGS: tuple[Setting[Any], ...] = SETTINGS

    def __init__(self, clock: Callable[[], float] = time.time, ask: Ask | None = None) -> None:
        self.catalogues = Catalogues(clock)
        self._ask = ask
        self._choosing: Flights[str | None] = Flights()
        self._chosen: Choices = {}
        self._told: set[str] = set()

    @hookimpl(wrapper=True)
    def send(self, call: Call) -> Generator[None, Sender | None, Sender | None]:
        """Wrap the Sender, if ids are to be looked at."""
        inner = yield
        if inner is None or call.operation == "models":
            return inner
        is_guarded, is_aliased = GUARD.value(call), ALIAS.value(call)
        if not is_guarded and not is_aliased:
            return inner
        return self._checked(inner, call, is_guarded=is_guarded, is_aliased=is_aliased)

    @hookimpl(wrapper=True)
    def post_process(self, call: Call) -> Generator[None, Answer, Answer]:
        """Say on an answer from memory, which no Sender of ours saw, what it was asked by."""
        answer = yield
        served = answer.served_by
        if served is None or NOTES in answer.additional_kwargs or call.operation == "models":
            return answer
        if call.model.endswith(served.model) or not ALIAS.value(call):
            return answer
        named = call.model_for(call.provider or call.model.partition("/")[0])
        return answer.with_notes(NOTES, _notes(named or call.model, served.model))

    def _checked(self, inner: Sender, call: Call, *, is_guarded: bool, is_aliased: bool) -> Sender:
        async def send(request: Request) -> AsyncGenerator[Event, None]:
            notes: dict[str, Any] | None = None
            if is_aliased:
                request, notes = await self._resolved(call, request, is_guarded=is_guarded)
            elif (catalog := self._catalog(call, request)) is not None:
                _guard(request, catalog, self.catalogues.age_s(catalog))
            async with aclosing(inner(request)) as events:
                async for event in events:
                    yield event if notes is None else event.with_notes(NOTES, notes)
                    notes = None

        return send

    def _catalog(self, call: Call, request: Request) -> Catalog | None:
        """Return the catalogue that counts for a request; None if nothing is known."""
        base = request.route.base_url
        if not base:
            return None
        place = place_of(base)
        if (fresh := self.catalogues.fresh(place)) is not None:
            return fresh
        known = self.catalogues.known(place)
        if known is None:
            LOG.debug("no catalogue of %s: the model's id is not looked at", place)
            return None
        if ALLOW_STALE.value(call):
            return known
        if place not in self._told:  # once: it is so for every call from now on
            self._told.add(place)
            LOG.warning(
                "the catalogue of %s was read %s ago and does not count: "
                "call preflight_models(api_base=...) again, or allow a stale one by %s=1",
                place,
                in_words(self.catalogues.age_s(known)),
                ALLOW_STALE.variable,
            )
        return None

    async def _resolved(
        self, call: Call, request: Request, *, is_guarded: bool
    ) -> tuple[Request, dict[str, Any]]:
        """Return the request with the id that its model's name means, and what to note.

        Raises:
            AmbiguousModelId: It means several.
            UnknownModelId: It means none, and the id is guarded.
        """
        asked = model_of(request)
        catalog = self._catalog(call, request)
        if catalog is None:
            return request, _notes(asked, asked)
        resolution = resolve(asked, catalog.ids, checked_cutoff(CUTOFF.value(call)))
        if resolution.candidates:
            chosen = await self._choice(call, request, resolution, catalog)
            if chosen is None:
                raise _ambiguous(request, resolution, self.catalogues.age_s(catalog))
            notes = {**_notes(asked, chosen), "resolved_by": ALIAS_LLM_MODEL.value()}
            return _renamed(request, chosen), notes
        if resolution.canonical is not None:
            return _renamed(request, resolution.canonical), _notes(asked, resolution.canonical)
        if is_guarded:
            _guard(request, catalog, self.catalogues.age_s(catalog))
        return request, _notes(asked, asked)

    async def _choice(
        self, call: Call, request: Request, resolution: Resolution, catalog: Catalog
    ) -> str | None:
        """Return what a model chooses, always the same in one process; None if it may not."""
        if not ALIAS_LLM.value(call):
            return None
        from scillm_preflight.choosing import choice  # few calls come here

        key = (place_of(request.route.base_url), resolution.asked, resolution.candidates)
        if key in self._chosen:
            return self._chosen[key]

        async def work() -> str | None:
            return await choice(self._asking(), call, request, resolution, catalog)

        chosen = await self._choosing.once(key, work)
        if chosen is not None:
            if len(self._chosen) >= MOST_CHOSEN:
                self._chosen.clear()
            self._chosen[key] = chosen
        return chosen

    def _asking(self) -> Ask:
        if self._ask is not None:
            return self._ask
        import scillm

        return scillm.acompletion


def model_of(request: Request) -> str:
    """Return the model's id as it would be sent."""
    named = (request.body or {}).get("model")
    return named if isinstance(named, str) else request.route.model


def _notes(requested: str, resolved: str) -> dict[str, Any]:
    return {"requested_model_id": requested, "resolved_model_id": resolved}


def _renamed(request: Request, model: str) -> Request:
    """Return the request for another id, in its route and in its body."""
    route = evolve(request.route, model=model)
    if "model" not in (request.body or {}):
        return evolve(request, route=route)
    return evolve(request, route=route, body={**(request.body or {}), "model": model})


def _guard(request: Request, catalog: Catalog, age_s: float) -> None:
    """Let an id pass that the catalogue has.

    Raises:
        UnknownModelId: It does not.
    """
    asked = model_of(request)
    if asked in catalog.ids:
        return
    near = nearest(asked, catalog.ids)
    hint = f"the nearest: {', '.join(map(repr, near))}" if near else "none of them is near"
    raise _refused(
        UnknownModelId,
        request,
        f"{asked!r} is none of the {len(catalog.ids)} models that {request.route.base_url} listed "
        f"{in_words(age_s)} ago; {hint}. Nothing was sent. Ask for an id as it is listed, or, if "
        "it is new there, call preflight_models(api_base=..., ttl_s=0)",
        {"asked": asked, "nearest": near, "catalog_age_s": age_s},
    )


def _ambiguous(request: Request, resolution: Resolution, age_s: float) -> UnknownModelId:
    names = resolution.candidates
    return _refused(
        AmbiguousModelId,
        request,
        f"{resolution.asked!r} may mean {' or '.join(map(repr, names))} at "
        f"{request.route.base_url}, by its list of {in_words(age_s)} ago. Nothing was sent. "
        "Ask for one of them",
        {
            "asked": resolution.asked,
            "nearest": names,
            "candidates": names,
            "catalog_age_s": age_s,
        },
    )


def _refused(
    kind: type[UnknownModelId], request: Request, detail: str, facts: Mapping[str, Any]
) -> UnknownModelId:
    route = request.route
    error = kind(
        f"{route.provider}/{route.model}: {detail}",
        llm_provider=route.provider,
        model=route.model,
        failure=Failure(kind=FailureKind.NOT_FOUND, detail=detail),
    )
    vars(error).update(facts)
    return error

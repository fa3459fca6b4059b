"""What a call does with a catalogue: an id passes, is resolved, or is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve

from scillm import Failure, FailureKind, Request
from scillm_preflight.catalogs import WEB, Catalogues, in_words, place_of
from scillm_preflight.errors import AmbiguousModelId, UnknownModelId
from scillm_preflight.flights import Flights
from scillm_preflight.resolving import Resolution, nearest, resolve
from scillm_preflight.settings import (
    ALIAS_LLM,
    ALIAS_LLM_MODEL,
    ALLOW_STALE,
    CUTOFF,
    checked_cutoff,
)
from scillm_preflight.shelf import LOG, Catalog

if TYPE_CHECKING:
    from scillm import Call
    from scillm_preflight.choosing import Ask

MOST_CHOSEN = 1024


class Checks:
    """The catalogues of one kernel's plugin, and what they say of a request.

    Args:
        clock: Tells seconds since 1970.
        ask: What asks the model that chooses; None is ``scillm.acompletion``.
    """

    def __init__(self, clock: Callable[[], float], ask: Ask | None) -> None:
        self.catalogues = Catalogues(clock)
        self._ask = ask
        self._choosing: Flights[str | None] = Flights()
        self._chosen: dict[tuple[str, Resolution], str] = {}
        self._told: set[str] = set()

    @staticmethod
    def model_of(request: Request) -> str:
        """Return the model's id as it would be sent."""
        named = (request.body or {}).get("model")
        return named if isinstance(named, str) else request.route.model

    def guard(self, call: Call, request: Request) -> None:
        """Let a request pass whose id is listed, or of whose host nothing is known.

        Raises:
            UnknownModelId: It is not.
        """
        catalog, asked = self._catalog(call, request), self.model_of(request)
        if catalog is not None and asked not in catalog.ids:
            raise _unknown(request, asked, catalog, self.catalogues.age_s(catalog))

    async def resolved(
        self, call: Call, request: Request, *, is_guarded: bool
    ) -> tuple[Request, str]:
        """Return the request with the id that its model's name means, and which model chose it.

        Raises:
            AmbiguousModelId: It means several.
            UnknownModelId: It means none, and ids are guarded.
        """
        catalog, asked = self._catalog(call, request), self.model_of(request)
        if catalog is None:
            return request, ""
        resolution = resolve(asked, catalog.ids, checked_cutoff(CUTOFF.value(call)))
        if resolution.candidates:
            chosen = await self._choice(call, request, resolution, catalog)
            if chosen is None:
                raise _ambiguous(request, resolution, self.catalogues.age_s(catalog))
            return _renamed(request, chosen), ALIAS_LLM_MODEL.value()
        if resolution.canonical is None and is_guarded:
            raise _unknown(request, asked, catalog, self.catalogues.age_s(catalog))
        return _renamed(request, resolution.canonical or asked), ""

    def _catalog(self, call: Call, request: Request) -> Catalog | None:
        """Return the catalogue that counts for a request; None if there is none."""
        base = request.route.base_url
        if not base.startswith(WEB):  # a provider that is nowhere on the net, or in its own way
            return None
        place = place_of(base)
        if (fresh := self.catalogues.fresh(place)) is not None:
            self._told.discard(place)
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
                "the catalogue of %s was read %s ago and does not count: call "
                "preflight_models(api_base=...) again, or let a stale one count by %s=1",
                place,
                in_words(self.catalogues.age_s(known)),
                ALLOW_STALE.variable,
            )
        return None

    async def _choice(
        self, call: Call, request: Request, resolution: Resolution, catalog: Catalog
    ) -> str | None:
        """Return what a model chooses, the same for all calls; None if it may not, or fails."""
        if not ALIAS_LLM.value(call):
            return None
        from scillm_preflight.choosing import choice  # few calls come here

        key = (place_of(request.route.base_url), resolution)

        async def work() -> str | None:
            ask = _door() if self._ask is None else self._ask
            return await choice(ask, call, request, resolution, catalog)

        if (known := self._chosen.get(key)) is not None:
            return known
        chosen = await self._choosing.once(key, work)
        if chosen is None:
            return None
        if len(self._chosen) >= MOST_CHOSEN:
            self._chosen.clear()
        return self._chosen.setdefault(key, chosen)


def _door() -> Ask:
    import scillm

    return scillm.acompletion


def _renamed(request: Request, model: str) -> Request:
    """Return the request for another id, in its route and in its body."""
    body = request.body
    if body is not None and "model" in body:
        body = {**body, "model": model}
    return evolve(request, route=evolve(request.route, model=model), body=body)


def _unknown(request: Request, asked: str, catalog: Catalog, age_s: float) -> UnknownModelId:
    near = nearest(asked, catalog.ids)
    hint = f"the nearest: {', '.join(map(repr, near))}" if near else "none of them is near"
    return _refused(
        UnknownModelId,
        request,
        f"{asked!r} is none of the {len(catalog.ids)} models that {request.route.base_url} listed "
        f"{in_words(age_s)} ago; {hint}. Nothing was sent. Ask for an id as it is listed or, if "
        "it is new there, call preflight_models(api_base=..., ttl_s=0)",
        {"asked": asked, "nearest": near, "catalog_age_s": age_s},
    )


def _ambiguous(request: Request, resolution: Resolution, age_s: float) -> UnknownModelId:
    names = resolution.candidates
    return _refused(
        AmbiguousModelId,
        request,
        f"{resolution.asked!r} may mean {' or '.join(map(repr, names))}, of what "
        f"{request.route.base_url} listed {in_words(age_s)} ago. Nothing was sent. Ask for one "
        "of them",
        {"asked": resolution.asked, "nearest": names, "candidates": names, "catalog_age_s": age_s},
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

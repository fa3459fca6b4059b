"""A Router out of the environment: who offers what, the least busy first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from scillm import APIError
from scillm_chutes.catalog import CATALOG, TTL_S, key_of, serves
from scillm_chutes.load import LOAD
from scillm_chutes.settings import MOST_GATEWAYS, UTIL_HI, Gateway, Kind, gateways

Entry = dict[str, Any]


def candidates(
    kind: Kind = "text",
    *,
    require_json: bool = False,
    require_tools: bool = False,
    bases: Iterable[Gateway] | None = None,
    per_base: int = 2,
) -> list[Entry]:
    """Return entries for a Router's model list, the least busy first.

    A model that the environment pins for a gateway is taken instead of what the gateway lists.

    Args:
        kind: ``"text"``, ``"vlm"`` or ``"tools"``.
        require_json: Only models that the gateway says can answer in JSON.
        require_tools: Only models that the gateway says can call tools.
        bases: The gateways; those of the environment if None.
        per_base: The most entries of one gateway.

    Raises:
        RuntimeError: No gateway is named, or none offers such a model; says what each said.
    """
    found: list[tuple[tuple[int, float, int], Entry]] = []
    said = []
    for gateway in gateways() if bases is None else bases:
        pins = gateway.pins(kind)
        try:
            models = pins or _listed(gateway, kind, is_json=require_json, has_tools=require_tools)
        except APIError as error:
            said.append(str(error))
            continue
        if not models:
            said.append(f"{gateway.base} lists no model for {kind!r} with these features")
        LOAD.read(gateway, models)
        places = [(*LOAD.place(gateway.base, model), rank) for rank, model in enumerate(models)]
        ranked = sorted(zip(places, models, strict=True))
        chosen = ranked if pins else ranked[:per_base]
        found += [(place, _entry(gateway, kind, model)) for place, model in chosen]
    if not found:
        raise RuntimeError(f"no gateway offers a model for {kind!r}: {'; '.join(said)}")
    return _ordered([entry for _, entry in sorted(found, key=lambda each: each[0])])


def auto_router_from_env(
    kind: Kind = "text",
    require_json: bool = False,  # noqa: FBT001, FBT002  # the signature that users know
    require_tools: bool = False,  # noqa: FBT001, FBT002  # the same
    max_bases: int = MOST_GATEWAYS,
    max_candidates_per_base: int = 2,
) -> Any:
    """Return a Router over what the gateways of the environment offer, the least busy first.

    Its group is ``router.model_list[0]["model_name"]``, which is ``chutes/<kind>``.

    Args:
        kind: ``"text"``, ``"vlm"`` or ``"tools"``.
        require_json: Only models that can answer in JSON, as far as the gateway tells.
        require_tools: Only models that can call tools, as far as the gateway tells.
        max_bases: The most gateways to look at.
        max_candidates_per_base: The most models of one gateway.

    Raises:
        RuntimeError: No gateway is named, or none offers such a model.
        ImportError: scillm-router is not installed.
    """
    entries = candidates(
        kind,
        require_json=require_json,
        require_tools=require_tools,
        bases=gateways()[:max_bases],
        per_base=max_candidates_per_base,
    )
    return router_of(entries)


def router_of(entries: list[Entry]) -> Any:
    """Return the Router that another distribution lends to ``scillm``."""
    from scillm import Router  # whoever brings it; if nobody, a hint

    return Router(model_list=entries)


def find_best_chutes_model(
    kind: Kind = "text",
    require_tools: bool = False,  # noqa: FBT001, FBT002  # the signature that users know
    require_json: bool = False,  # noqa: FBT001, FBT002  # the same
    bases: Iterable[Gateway] | None = None,
    util_threshold: float | None = None,
) -> Entry | None:
    """Return the first candidate under the threshold of load, else the least busy one.

    Returns:
        An entry for a Router's model list, whose key does not show when printed; None if there
        is no candidate.
    """
    limit = UTIL_HI.value() if util_threshold is None else util_threshold
    try:
        entries = candidates(
            kind, require_json=require_json, require_tools=require_tools, bases=bases
        )
    except RuntimeError:
        return None
    shares = [_share(entry) for entry in entries]
    under = (e for e, share in zip(entries, shares, strict=True) if share is None or share < limit)
    least = min(zip(shares, range(len(entries)), strict=True), key=lambda each: each[0] or 0.0)
    return next(under, entries[least[1]])


def warm_chutes_caches(
    entries: Iterable[Mapping[str, Any]], ttl_s: float = TTL_S
) -> tuple[int, int]:
    """Read the models and the load of each gateway of a model list, for the calls to come.

    Returns:
        How many gateways told their models, and how many their load.
    """
    by_base: dict[str, tuple[Gateway, list[str]]] = {}
    for entry in entries:
        params = entry["litellm_params"]
        if base := params.get("api_base"):
            gateway = Gateway(base, key_of(entry))
            by_base.setdefault(base, (gateway, []))[1].append(params["model"])
    models_ok = load_ok = 0
    for gateway, models in by_base.values():
        with contextlib.suppress(APIError):  # counted by its absence
            models_ok += bool(CATALOG.models(gateway, ttl_s))
        load_ok += LOAD.read(gateway, models)
    return models_ok, load_ok


def _listed(gateway: Gateway, kind: Kind, *, is_json: bool, has_tools: bool) -> list[str]:
    models = CATALOG.models(gateway)
    return [m["id"] for m in models if serves(m, kind, is_json=is_json, has_tools=has_tools)]


def _entry(gateway: Gateway, kind: Kind, model: str) -> Entry:
    params = {
        "custom_llm_provider": "openai_like",
        "model": model,
        "api_base": gateway.base,
        "api_key": gateway.key,
    }
    return {"model_name": f"chutes/{kind}", "litellm_params": params}


def _ordered(entries: list[Entry]) -> list[Entry]:
    for order, entry in enumerate(entries, 1):
        entry["litellm_params"]["order"] = order
    return entries


def _share(entry: Entry) -> float | None:
    params = entry["litellm_params"]
    return LOAD.share(params["api_base"], params["model"])

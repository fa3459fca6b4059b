"""Which other models of a gateway could stand in for one: its peers by size and features."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

import scillm
from scillm import APIError, Response
from scillm_chutes.catalog import CATALOG, serves
from scillm_chutes.load import LOAD
from scillm_chutes.settings import PINS, Gateway, Kind
from scillm_chutes.sizes import Size, size_of

FARTHEST_OCTAVES = 2.0
"""A peer is at most four times as large or as small."""

_ORDINARY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*")
_UNTAUGHT = re.compile(r"[-_]base$", re.IGNORECASE)
_CHECK = 'Return only {"ok": true} as JSON.'


@frozen
class Peers:
    """A model and those that could stand in for it, the nearest first.

    Attributes:
        primary: The model.
        alternates: Its peers.
        dropped: What kept others out, by their ids: what the check said of them.
        remarks: What a person should know of the choice.
    """

    primary: str
    alternates: tuple[str, ...]
    dropped: Mapping[str, str]
    remarks: tuple[str, ...] = ()


class NoModels(RuntimeError):
    """A gateway offers no model of a kind, or none that passes the check."""


def find(
    gateway: Gateway, kind: Kind, *, primary: str | None = None, most: int = 3, verify: bool = False
) -> Peers:
    """Return a model and at most so many peers of it.

    Args:
        gateway: Whose models to look at.
        kind: ``"text"`` or ``"vlm"``.
        primary: The model; None takes the one that the environment names, else the largest.
        most: The most peers.
        verify: Whether each must first answer a small call with JSON; who does not is left out.

    Raises:
        NoModels: The gateway offers none, or none answered.
        APIError: The gateway does not tell what it offers.
    """
    listed = {
        model["id"]: model
        for model in CATALOG.models(gateway)
        if _is_usable(model) and serves(model, kind, is_json=False, has_tools=False)
    }
    named = primary or next(iter(gateway.pins(kind)), None)
    if not listed and not named:
        raise NoModels(f"{gateway.base} lists no model for {kind!r}")
    LOAD.read(gateway, list(listed))
    first = named or _largest(gateway, listed)
    remarks = _remarks(first, listed, is_named=bool(named))
    chosen, dropped = _passing(gateway, _ranked(gateway, first, listed), most, verify=verify)
    if verify and (wrong := check(gateway, first)):
        dropped[first] = wrong
        if not chosen:
            said = "; ".join(f"{model}: {why}" for model, why in dropped.items())
            raise NoModels(f"no model of {gateway.base} passed the check: {said}")
        if not named:
            first, *chosen = chosen
    return Peers(first, tuple(chosen), dropped, remarks)


def check(gateway: Gateway, model: str) -> str:
    """Make the smallest JSON call; returns what is wrong, ``""`` if the answer is a JSON object."""
    try:
        answer: Response = scillm.completion(
            model,
            [{"role": "user", "content": _CHECK}],
            custom_llm_provider="openai_like",
            api_base=gateway.base,
            api_key=gateway.key,
            response_format={"type": "json_object"},
            temperature=0,
            max_tokens=256,
            timeout=45,
        )
    except APIError as error:
        return str(error)
    return wrong_json(answer)


def wrong_json(answer: Response) -> str:
    """Return why an answer is no JSON object, ``""`` if it is one."""
    text = answer.text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if answer.choices and answer.choices[0].finish_reason == "length":
            return f"the answer was cut at its limit of tokens: {text[:60]!r}"
        return f"the answer is not JSON: {text[:60]!r}"
    return "" if isinstance(value, dict) else f"the answer is no JSON object: {text[:60]!r}"


def env_lines(found: Peers, kind: Kind) -> list[str]:
    """Return the lines for a ``.env`` file."""
    name = PINS[kind].name
    alternates = (f"{name}_ALT{n}={model}" for n, model in enumerate(found.alternates, 1))
    return [f"{name}={found.primary}", *alternates]


def router_lines(found: Peers, kind: Kind) -> list[str]:
    """Return a Router that takes everything out of the environment: no address, no key."""
    name = PINS[kind].name
    names = [name, *(f"{name}_ALT{n}" for n in range(1, len(found.alternates) + 1))]
    return [
        "import os",
        "from scillm import Router",
        "",
        "router = Router(model_list=[",
        *(line for order, each in enumerate(names, 1) for line in _entry(kind, each, order)),
        "])",
    ]


def _entry(kind: Kind, variable: str, order: int) -> list[str]:
    return [
        f'  {{"model_name": "chutes/{kind}", "litellm_params": {{',
        '    "custom_llm_provider": "openai_like",',
        f'    "model": os.environ["{variable}"],',
        '    "api_base": os.environ["CHUTES_API_BASE"],',
        '    "api_key": os.environ["CHUTES_API_KEY"],',
        f'    "order": {order}}}}},',
    ]


def _is_usable(model: Mapping[str, Any]) -> bool:
    """Whether an id may stand in a .env file, and the model was taught to converse."""
    name = model.get("id")
    is_ordinary = isinstance(name, str) and _ORDINARY.fullmatch(name) is not None
    return is_ordinary and not _UNTAUGHT.search(str(name))


def _largest(gateway: Gateway, listed: Mapping[str, Any]) -> str:
    def place(model: str) -> tuple[float, tuple[int, float], str]:
        size = size_of(model)
        return (-size.total_b if size else 0.0, LOAD.place(gateway.base, model), model)

    return min(listed, key=place)


def _ranked(gateway: Gateway, primary: str, listed: Mapping[str, Any]) -> list[str]:
    """Return the peers: by what they lack, how far their size is, and how busy they are."""
    size = size_of(primary)
    wanted = _features(listed.get(primary, {})) or set()
    near = {}
    for model, told in listed.items():
        octaves, features = _octaves(size, size_of(model)), _features(told)
        if model == primary or octaves > FARTHEST_OCTAVES:
            continue
        lacking = len(wanted - (wanted if features is None else features))
        near[model] = (lacking, round(octaves), LOAD.place(gateway.base, model), octaves, model)
    return sorted(near, key=near.__getitem__)


def _octaves(one: Size | None, other: Size | None) -> float:
    """Return how far two sizes are apart; a size that is not told is as far as a peer may be."""
    if one is None or other is None:
        return 0.0 if one is other else FARTHEST_OCTAVES
    return one.octaves_from(other)


def _features(told: Mapping[str, Any]) -> set[str] | None:
    """Return what the gateway says that a model can do, None if it says nothing."""
    features = told.get("supported_features")
    return {str(each) for each in features} if isinstance(features, list) else None


def _passing(
    gateway: Gateway, ranked: list[str], most: int, *, verify: bool
) -> tuple[list[str], dict[str, str]]:
    if not verify:
        return ranked[:most], {}
    chosen: list[str] = []
    dropped: dict[str, str] = {}
    for model in ranked:
        if len(chosen) >= most:
            break
        if wrong := check(gateway, model):
            dropped[model] = wrong
        else:
            chosen.append(model)
    return chosen, dropped


def _remarks(primary: str, listed: Mapping[str, Any], *, is_named: bool) -> tuple[str, ...]:
    said = []
    if not is_named:
        said.append(f"no primary was named: {primary} is the largest that the gateway lists")
    elif primary not in listed:
        said.append(f"the gateway does not list {primary} among its models of this kind")
    if size_of(primary) is None:
        said.append(f"the name of {primary} tells no size: peers of unknown size come first")
    return tuple(said)

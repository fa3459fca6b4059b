"""The entries of a model list: read, checked, and with what is known of each at the moment."""

from __future__ import annotations

import difflib
import hashlib
import logging
from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

from attrs import define, evolve, field

from scillm import BadRequestError, Call, Failure, Secret, Timeouts
from scillm.answers import plain
from scillm.doors import OPENAI_PARAMS
from scillm_router.windows import Window

LOG = logging.getLogger("scillm.router")

HALF_LIFE_S = 30.0  # of what was seen of a latency

_OF_ENTRY = ("model_name", "litellm_params", "model_info")
_OF_PARAMS = (
    "model",
    "custom_llm_provider",
    "api_base",
    "base_url",
    "api_key",
    "extra_headers",
    "extra_body",
    "timeout",
    "order",
    "weight",
    "rpm",
    "tpm",
    "max_parallel_requests",
)


@define(eq=False)
class Deployment:
    """One place that answers for a group, and how it is doing.

    Attributes:
        group: The name that calls use.
        id: Its own name, in notes and logs.
        model: The model's name there.
        provider: Provider named apart from the model, or None.
        api_base: Address, or None for the provider's own.
        api_key: Key, or None for the provider's own variable.
        headers: Headers of its own.
        params: OpenAI's parameters that hold unless the call says otherwise.
        extra_body: Fields put into the body as they are.
        options: Options of plugins.
        timeouts: How long to wait, or None for what the call says.
        order: Those of the lowest order are asked first.
        weight: How often it is chosen, beside the others.
        rpm: Requests a minute that it may be sent, or None.
        tpm: Tokens a minute that it may be sent, or None.
        max_parallel: Requests that it may have at a time, or None.
    """

    group: str
    id: str
    model: str
    provider: str | None = None
    api_base: str | None = None
    api_key: Secret | None = None
    headers: Mapping[str, str | Secret] = field(factory=dict, repr=False)
    params: Mapping[str, Any] = field(factory=dict)
    extra_body: Mapping[str, Any] = field(factory=dict)
    options: Mapping[str, Any] = field(factory=dict)
    timeouts: Timeouts | None = None
    order: float = 0
    weight: float = 1.0
    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None

    # What is known of it at the moment; changed by `health` alone.
    in_flight: int = field(default=0, init=False)
    latency_s: float | None = field(default=None, init=False)
    heard_s: float = field(default=0.0, init=False)
    fails: int = field(default=0, init=False)
    last_failure: Failure | None = field(default=None, init=False)
    cool_until_s: float = field(default=0.0, init=False)
    is_doubtful: bool = field(default=False, init=False)
    is_troubled: bool = field(default=False, init=False)
    probe: object = field(default=None, init=False, repr=False)
    probed_until_s: float = field(default=0.0, init=False)
    full_until_s: float = field(default=0.0, init=False)
    requests: Window | None = field(default=None, init=False, repr=False)
    tokens: Window | None = field(default=None, init=False, repr=False)
    has_limits: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.requests = None if self.rpm is None else Window(self.rpm)
        self.tokens = None if self.tpm is None else Window(self.tpm)
        self.has_limits = not (self.rpm is None and self.tpm is None and self.max_parallel is None)

    def expected_s(self, now_s: float) -> float | None:
        """Return the latency to expect, None if it was never seen; it halves as it grows old."""
        if self.latency_s is None:
            return None
        return float(self.latency_s * 0.5 ** ((now_s - self.heard_s) / HALF_LIFE_S))

    def call(self, asked: Call, timeouts: Timeouts) -> Call:
        """Return *asked* as this deployment is to be asked it; the call's own arguments win."""
        return evolve(
            asked,
            model=self.model,
            provider=self.provider,
            api_base=asked.api_base or self.api_base,
            api_key=asked.api_key or self.api_key,
            headers={**self.headers, **asked.headers},
            params={**self.params, **asked.params},
            extra_body={**self.extra_body, **asked.extra_body},
            options={**self.options, **asked.options},
            timeouts=timeouts,
        )


def answer_limit(params: Mapping[str, Any]) -> int | None:
    """Return the most tokens that an answer may take, None if these parameters allow any."""
    limit = params.get("max_completion_tokens") or params.get("max_tokens")
    return limit if isinstance(limit, int) else None


def digest_of(deployments: Iterable[Deployment]) -> str:
    """Return a text that is another one wherever the answers of these deployments may be others."""
    said = [
        (d.model, d.provider, d.api_base, _shown(d.params), _shown(d.extra_body), _shown(d.options))
        for d in deployments
    ]
    return hashlib.sha256(repr(sorted(map(repr, said))).encode()).hexdigest()[:12]


def _shown(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(((name, plain(value)) for name, value in values.items()), key=str)


def read(
    model_list: Iterable[Mapping[str, Any]],
    options: frozenset[str],
    of_calls: frozenset[str | None] = frozenset(),
) -> list[Deployment]:
    """Read a model list; an entry whose model is empty is an alternate that is not configured.

    Args:
        model_list: Entries ``{"model_name", "litellm_params", "model_info"}``.
        options: Names of options that the installed plugins take.
        of_calls: Those of them that plugins around the Router take, which see no deployment.

    Raises:
        BadRequestError: An entry that cannot be understood, or a group of which nothing is left.
    """
    deployments: list[Deployment] = []
    names: dict[str, None] = {}
    for place, entry in enumerate(model_list):
        where = f"model_list[{place}]"
        name, params = _parts(entry, where)
        names[name] = None
        if not params.get("model"):
            LOG.info("%s (%s) names no model and is left out", where, name)
            continue
        if misplaced := [each for each in params if each in of_calls]:
            raise BadRequestError(
                f"{where} has {misplaced[0]!r}, which holds for a whole call and not for one "
                "deployment: give it to the call, or retries to the Router as num_retries"
            )
        deployments.append(_deployment(entry, name, params, where, options))
    for name in names:
        if not any(deployment.group == name for deployment in deployments):
            raise BadRequestError(
                f"group {name!r} has no deployment left: each of its entries has an empty model. "
                "Set the variable that the model is read from"
            )
    return deployments


def _parts(entry: Any, where: str) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(entry, Mapping):
        raise BadRequestError(f"{where} is {entry!r:.80}: an entry is a mapping")
    _known(entry, _OF_ENTRY, where)
    name, params = entry.get("model_name"), entry.get("litellm_params")
    if not isinstance(name, str) or not name or not isinstance(params, Mapping):
        raise BadRequestError(
            f"{where} needs a model_name, which is text, and litellm_params, which is a mapping"
        )
    return name, params


def _known(mapping: Mapping[str, Any], names: Iterable[str], where: str) -> None:
    for name in mapping:
        if name not in (known := list(names)):
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise BadRequestError(f"{where} has {name!r}, which nobody takes{hint}")


def _deployment(
    entry: Mapping[str, Any],
    name: str,
    params: Mapping[str, Any],
    where: str,
    options: frozenset[str],
) -> Deployment:
    _known(params, (*_OF_PARAMS, *sorted(OPENAI_PARAMS), *sorted(options)), where)
    key = params.get("api_key") or None
    info = entry.get("model_info") or {}
    timeout = params.get("timeout")
    rest = {n: v for n, v in params.items() if n not in _OF_PARAMS and v is not None}
    return Deployment(
        group=name,
        id=str(info.get("id") or _id(name, params, where)),
        model=str(params["model"]),
        provider=params.get("custom_llm_provider") or None,
        api_base=params.get("api_base") or params.get("base_url") or None,
        api_key=Secret(key) if isinstance(key, str) else key,
        headers={n.lower(): _header(v) for n, v in (params.get("extra_headers") or {}).items()},
        params={n: v for n, v in rest.items() if n not in options},
        extra_body=params.get("extra_body") or {},
        options={n: v for n, v in rest.items() if n in options},
        timeouts=None if timeout is None else Timeouts.of(timeout),
        order=_number(params, "order", where) or 0,
        weight=1.0 if (weight := _number(params, "weight", where)) is None else weight,
        rpm=_limit(params, "rpm", where),
        tpm=_limit(params, "tpm", where),
        max_parallel=_limit(params, "max_parallel_requests", where),
    )


def _header(value: str | Secret) -> Secret:
    """Hide a header's value: which of them holds a key is not ours to guess."""
    return value if isinstance(value, Secret) else Secret(value)


def _number(params: Mapping[str, Any], name: str, where: str) -> float | None:
    value = params.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < inf:
        raise BadRequestError(f"{where} has {name}={value!r}: it must be a number, 0 or more")
    return value


def _limit(params: Mapping[str, Any], name: str, where: str) -> int | None:
    value = _number(params, name, where)
    if value is not None and (value < 1 or value != int(value)):
        raise BadRequestError(
            f"{where} has {name}={value!r}: it must be a whole number, 1 or more; "
            "leave it out for no limit, and the entry out if it is not to be asked"
        )
    return None if value is None else int(value)


def _id(name: str, params: Mapping[str, Any], where: str) -> str:
    """Return an id that is the same in every process, so that they can speak of one deployment."""
    shown = {n: v for n, v in params.items() if n not in ("api_key", "extra_headers")}
    digest = hashlib.sha256(repr((name, _shown(shown), where)).encode())
    return f"{name}:{digest.hexdigest()[:8]}"

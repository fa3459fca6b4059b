"""One call, from the name of a group to the deployment that answers.

A plugin of the Router's own kernel. What lies around it, such as retries and a cache, treats
the group as one provider; what lies beneath, such as pacing, sees the deployment.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from scillm import (
    APIError,
    BadRequestError,
    Call,
    Failure,
    FailureKind,
    RateLimitError,
    Request,
    Route,
    Setting,
    hookimpl,
)
from scillm_router.budget import Budget
from scillm_router.deployments import Deployment
from scillm_router.health import SLOT_S, Group, Health, Lease, is_worth_another

if TYPE_CHECKING:
    from scillm import Event, Kernel, Sender
    from scillm_router.strategies import Strategy

ORDER = 350
PROVIDER = "router"
Fallbacks = Mapping[str, Sequence[str]]


def _option(name: str, meaning: str) -> Setting[Any]:
    return Setting(name=name.upper(), default=None, option=name, help=meaning)


FALLBACKS = _option("fallbacks", "groups to ask when a group has nobody left")
CONTEXT_WINDOW = _option("context_window_fallbacks", "groups to ask when messages are too long")
CONTENT_POLICY = _option("content_policy_fallbacks", "groups to ask when content is refused")
DISABLE = _option("disable_fallbacks", "true leaves all of these out")
SEED: Setting[str] = Setting(
    name="DETERMINISTIC_SEED",
    default="",
    help="seed of every call of a deterministic Router: a number, or text that one is made of",
)
FIXED = {"temperature": 0, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}
_BY_KIND = {
    FailureKind.CONTEXT_WINDOW: CONTEXT_WINDOW,
    FailureKind.CONTENT_POLICY: CONTENT_POLICY,
}


def read_fallbacks(value: Any, name: str) -> Fallbacks:
    """Read ``[{"a": ["b", "c"]}]`` or ``{"a": ["b", "c"]}``; ``"*"`` stands for every group.

    Raises:
        BadRequestError: It is something else.
    """
    merged: dict[str, Sequence[str]] = {}
    for each in [value] if isinstance(value, Mapping) else value or ():
        if not isinstance(each, Mapping):
            raise BadRequestError(f"{name} has {each!r:.80}: write {{'group': ['another']}}")
        for group, others in each.items():
            merged[group] = [others] if isinstance(others, str) else list(others)
    return merged


@define(eq=False)
class _Attempts:
    """What has become of one call so far."""

    asked: str
    tried: list[Deployment] = field(factory=list)
    said: list[dict[str, Any]] = field(factory=list)
    error: APIError | None = None
    lease: Lease | None = None
    is_begun: bool = False
    tokens: int | None = None

    def failed(self, lease: Lease, error: APIError) -> None:
        deployment = lease.deployment
        self.tried.append(deployment)
        self.error = error
        told = {"group": deployment.group, "deployment": deployment.id, "model": deployment.model}
        self.said.append({**told, "kind": str(error.failure.kind), "error": error.message})


@frozen(eq=False)
class RoutePlan:
    """Answers for the groups of one Router.

    Attributes:
        groups: By name.
        beneath: The kernel that asks a deployment.
        health: Who may be asked.
        strategy: Who is, of those.
        fallbacks: By the name of the setting: group to the groups after it.
        budget: What may be spent; a list of none or one, so that it can be set later.
        is_deterministic: Whether nothing may be left to chance.
    """

    groups: Mapping[str, Group]
    beneath: Kernel
    health: Health
    strategy: Strategy
    fallbacks: Mapping[str, Fallbacks]
    budget: list[Budget] = field(factory=list)
    is_deterministic: bool = False
    ORDER: int = ORDER

    @property
    def SETTINGS(self) -> tuple[Setting[Any], ...]:  # noqa: N802  # the attribute that kernels read
        """Its own options, and those of the plugins beneath."""
        own = (FALLBACKS, CONTEXT_WINDOW, CONTENT_POLICY, DISABLE)
        return (*own, *self.beneath.plugins.settings)

    @hookimpl
    def resolve_model(self, call: Call) -> Route:
        """Take every call: a group's, or one that names its provider or address itself."""
        if call.model in self.groups and not call.provider:
            return Route(provider=PROVIDER, model=call.model)
        if self.groups and not (call.provider or call.api_base or "/" in call.model):
            near = difflib.get_close_matches(call.model, list(self.groups), 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise BadRequestError(
                f"{call.model!r} is no group of this Router: {hint}there are "
                f"{', '.join(sorted(self.groups))}; or name a provider, as in 'provider/model'",
                llm_provider=PROVIDER,
                model=call.model,
            )
        named = f"{call.provider}/{call.model}" if call.provider else call.model
        return Route(provider=PROVIDER, model=named, base_url=call.api_base or "")

    @hookimpl
    def prepare_request(self, call: Call, route: Route) -> Request:
        """Say what is asked, without what belongs to one deployment; no key is in it."""
        body = {"model": route.model, **call.params, **call.extra_body}
        if call.operation == "chat":
            body["messages"] = list(call.messages)
        return Request(
            route=route,
            url=f"router:{call.operation}",
            body=body,
            read=lambda frame: (),
            frames="sse" if call.stream else "json",
        )

    @hookimpl
    def send(self, call: Call, request: Request) -> Sender | None:
        """Ask one deployment after another, until one answers."""
        if request.route.provider != PROVIDER:
            return None

        async def send(request: Request) -> AsyncGenerator[Event, None]:
            attempts = _Attempts(call.model)
            asked = self._asked(call, request)
            waiting = [self._group(call)]
            seen = {call.model}
            while True:
                lease = await self._leased(waiting[0], attempts, asked)
                if lease is None:
                    waiting = self._next(call, waiting, seen, attempts)
                    continue
                async with aclosing(self._attempt(lease, asked, attempts)) as events:
                    async for event in events:
                        yield event
                if attempts.error is None or attempts.lease is lease:  # it answered
                    return
                if not is_worth_another(attempts.error):
                    waiting = self._next(call, waiting, seen, attempts)

        return send

    def _group(self, call: Call) -> Group:
        if call.model in self.groups and not call.provider:
            return self.groups[call.model]
        name = call.model
        alone = Deployment(group=name, id=name, model=name, provider=call.provider)
        return Group(name, [alone])

    def _asked(self, call: Call, request: Request) -> Call:
        """Return the call as the plugins around this one want it: they may change the request."""
        left_out = ("model", "messages", *call.extra_body)
        body = request.body or {}
        is_fixed = self.is_deterministic and call.operation == "chat"
        return evolve(
            call,
            params={
                **{n: v for n, v in body.items() if n not in left_out},
                **(FIXED if is_fixed else {}),
            },
            messages=tuple(body.get("messages", ())),
            timeouts=request.timeouts,
        )

    async def _leased(self, group: Group, attempts: _Attempts, asked: Call) -> Lease | None:
        """Choose a deployment and take note of the request; None if there is none left."""
        while True:
            able = self.health.available(group, attempts.tried)
            if able:
                break
            untried = [d for d in group.deployments if d not in attempts.tried]
            if not untried or not 0 < self.health.wait_s(untried) <= SLOT_S:
                return None
            await asyncio.sleep(SLOT_S)
        deployment = self.strategy.chosen(able)
        for budget in self.budget:
            budget.take_request(attempts.asked)
        tokens = _estimated(asked) if deployment.tpm is not None else 0
        return self.health.begin(group, deployment, tokens)

    async def _attempt(
        self, lease: Lease, asked: Call, attempts: _Attempts
    ) -> AsyncGenerator[Event, None]:
        try:
            call = self._seeded(lease.deployment.call(asked))
            async with aclosing(self.beneath.events(call)) as events:
                async for event in events:
                    if not attempts.is_begun:
                        attempts.is_begun = True
                        self.health.answered(lease)
                        yield event.with_notes("router", _notes(lease, attempts))
                    else:
                        yield event
                    if (usage := event.get("usage")) is not None:
                        attempts.tokens = usage.get("total_tokens")
            attempts.lease = lease
            self._succeeded(lease, attempts)
        except APIError as error:
            self.health.failed(lease, error)
            if attempts.is_begun:
                raise
            attempts.failed(lease, error)
        finally:
            self.health.ended(lease)

    def _seeded(self, call: Call) -> Call:
        """Give a call the environment's seed, if neither it nor its deployment has one."""
        if not self.is_deterministic or call.operation != "chat" or "seed" in call.params:
            return call
        seed = seed_of(SEED.value())
        return call if seed is None else evolve(call, params={**call.params, "seed": seed})

    def _succeeded(self, lease: Lease, attempts: _Attempts) -> None:
        self.health.succeeded(lease, attempts.tokens)
        for budget in self.budget:
            budget.add_tokens(attempts.tokens or 0)

    def _next(
        self, call: Call, waiting: list[Group], seen: set[str], attempts: _Attempts
    ) -> list[Group]:
        """Return the groups to ask after one that has nobody left.

        Raises:
            APIError: There is none. The last error, which says when it may be tried again.
        """
        group, *rest = waiting
        error = attempts.error
        is_permanent = error is not None and not is_worth_another(error)
        if not call.options.get("disable_fallbacks"):
            setting = _BY_KIND.get(error.failure.kind, FALLBACKS) if error else FALLBACKS
            if not is_permanent or setting is not FALLBACKS:
                known = self._fallbacks(call, setting)
                names = [n for n in known.get(group.name, known.get("*", ())) if n not in seen]
                seen.update(names)
                rest = [*(self._group(evolve(call, model=n, provider=None)) for n in names), *rest]
        if rest:
            return rest
        raise self._last_word(call, group, attempts)

    def _fallbacks(self, call: Call, setting: Setting[Any]) -> Fallbacks:
        given = call.options.get(setting.option or "")
        if given is None:
            return self.fallbacks.get(setting.option or "", {})
        if isinstance(given, (list, tuple)) and all(isinstance(name, str) for name in given):
            return {"*": list(given)}
        return read_fallbacks(given, str(setting.option))

    def _last_word(self, call: Call, group: Group, attempts: _Attempts) -> APIError:
        wait_s = self.health.wait_s(group.deployments)
        error = attempts.error
        if error is None:
            return _all_resting(call, group, wait_s)
        if wait_s > 0 and error.failure.is_transient:
            error.failure = evolve(error.failure, retry_after_s=wait_s)
        vars(error)["attempted"] = attempts.said
        return error


def _notes(lease: Lease, attempts: _Attempts) -> dict[str, Any]:
    return {
        "model_group": attempts.asked,
        "served_group": lease.deployment.group,
        "deployment": lease.deployment.id,
        "attempted": attempts.said,
        "fallback_used": lease.deployment.group != attempts.asked,
    }


def _all_resting(call: Call, group: Group, wait_s: float) -> APIError:
    """Return the error for a group that cannot be asked now: what its members last said."""
    failures = [d.last_failure for d in group.deployments if d.last_failure is not None]
    said = "; ".join(dict.fromkeys(failure.detail for failure in failures))[:300]
    detail = f"no deployment of group {group.name!r} may be asked for the next {wait_s:.1f} s"
    detail += f": {said}" if said else ", by their limits"
    failure = Failure(kind=FailureKind.RATE_LIMIT, detail=detail, retry_after_s=wait_s)
    return RateLimitError(
        f"router/{call.model}: {detail}", llm_provider=PROVIDER, model=call.model, failure=failure
    )


def seed_of(text: str) -> int | None:
    """Return the number that a text says or, if it says none, one that it always gives."""
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def _estimated(call: Call) -> int:
    """Return about how many tokens a call costs: a token is about four characters."""
    size = sum(len(str(message.get("content") or "")) for message in call.messages) // 4
    limit = call.params.get("max_completion_tokens") or call.params.get("max_tokens") or 0
    return size + (limit if isinstance(limit, int) else 0)

"""One call, from the name of a group to the deployment that answers.

A plugin of the Router's own kernel. What lies around it, such as retries and a cache, treats
the group as one provider; what lies beneath, such as pacing, sees the deployment.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from attrs import evolve, field, frozen

from scillm import (
    APIError,
    BadRequestError,
    Call,
    Request,
    Route,
    Setting,
    Timeouts,
    hookimpl,
)
from scillm.settings import TIMEOUT
from scillm_router.attempts import (
    PROVIDER,
    Attempts,
    Meter,
    all_resting,
    is_callers,
    prompt_tokens,
    too_late,
)
from scillm_router.budget import Budget, BudgetExceeded
from scillm_router.deployments import Deployment, answer_limit
from scillm_router.fallbacks import (
    CONTENT_POLICY,
    CONTEXT_WINDOW,
    DISABLE,
    FALLBACKS,
    Fallbacks,
    read_fallbacks,
    setting_for,
)
from scillm_router.groups import Group, Lease, Wanted
from scillm_router.health import Health, is_worth_another
from scillm_router.variables import SEED

if TYPE_CHECKING:
    from scillm import Event, Kernel, Sender
    from scillm_router.shared import Shared
    from scillm_router.strategies import Strategy

ORDER = 350


FIXED = {"temperature": 0, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}


@frozen(eq=False)
class RoutePlan:
    """Answers for the groups of one Router.

    Attributes:
        groups: By name.
        beneath: The kernel that asks a deployment.
        health: Who may be asked.
        strategy: Who is, of those.
        shared: What other processes know of that, or None.
        fallbacks: By the name of the setting: group to the groups after it.
        timeout_s: Seconds for one request where nobody says more.
        budget: What may be spent; a list of none or one, so that it can be set later.
        is_deterministic: Whether nothing may be left to chance.
    """

    groups: Mapping[str, Group]
    beneath: Kernel
    health: Health
    strategy: Strategy
    fallbacks: Mapping[str, Fallbacks]
    shared: Shared | None = None
    timeout_s: float | None = None
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
        group = self.groups.get(route.model)
        digest = group.digest if group is not None and not call.provider else ""
        fixed = f"/fixed-{SEED.value()}" if self.is_deterministic else ""
        return Request(
            route=route,
            # A cache tells requests apart by this, too: two Routers may have groups of one name.
            url=f"router:{call.operation}/{digest}{fixed}",
            body=body,
            read=lambda frame: (),
            frames="sse" if call.stream else "json",
        )

    @hookimpl
    def send(self, call: Call, request: Request) -> Sender | None:
        """Ask one deployment after another, until one answers."""
        if request.route.provider != PROVIDER:
            return None
        for setting in (FALLBACKS, CONTEXT_WINDOW, CONTENT_POLICY) if call.options else ():
            self._fallbacks(call, setting)  # what cannot be read is told before anything is sent
        return partial(self._routed, call)

    async def _routed(self, call: Call, request: Request) -> AsyncGenerator[Event, None]:
        attempts = self._begun(call, request)
        try:
            while attempts.waiting:
                group = attempts.waiting[0]
                if group not in attempts.asked:
                    attempts.asked.append(group)
                lease = await self._leased(group, attempts)
                if lease is None:
                    self._go_on(attempts)
                    continue
                async with aclosing(self._attempt(lease, attempts)) as events:
                    async for event in events:
                        yield event
                if attempts.is_answered:
                    return
                if not is_worth_another(cast("APIError", attempts.error)):
                    self._go_on(attempts)
            raise self._last_word(call, attempts)
        finally:
            attempts.taken()

    def _group(self, call: Call) -> Group:
        if call.model in self.groups and not call.provider:
            return self.groups[call.model]
        name = call.model
        alone = Deployment(group=name, id=name, model=name, provider=call.provider)
        return Group(name, [alone])

    def _begun(self, call: Call, request: Request) -> Attempts:
        asked = self._asked(call, request)
        is_counted = any(budget.max_tokens is not None for budget in self.budget)
        return Attempts(
            asked,
            call.model,
            prompt_tokens=prompt_tokens(asked) if is_counted else 0,
            waiting=[self._group(call)],
            seen={call.model},
        )

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

    async def _leased(self, group: Group, attempts: Attempts) -> Lease | None:
        """Choose a deployment and take note of the request; None if there is none left."""
        wanted = Wanted(group, attempts.tried, self.strategy.chosen, self.strategy.is_built_in)
        if group.has_tokens:
            asked = attempts.call
            tokens = prompt_tokens(asked), answer_limit(asked.params)
            wanted = evolve(wanted, prompt_tokens=tokens[0], answer_tokens=tokens[1])
        while True:
            if self.shared is not None:
                await self.shared.refresh()
            lease = self.health.lease(wanted) or await self._waited_for(wanted, attempts)
            if lease is None:
                return None
            try:
                is_allowed = self.shared is None or await self.shared.allows(lease)
                if is_allowed:
                    self._take(attempts)
                    return lease
            except BaseException:
                self.health.withdrawn(lease)
                if self.shared is not None:
                    await self.shared.withdrawn(lease)
                raise
            self.health.withdrawn(lease)

    async def _waited_for(self, wanted: Wanted, attempts: Attempts) -> Lease | None:
        total_s = attempts.call.timeouts.total_s
        loop = asyncio.get_running_loop()
        if attempts.until_s is None and total_s is not None:
            attempts.until_s = loop.time() + total_s
        refresh = None if self.shared is None else self.shared.refresh
        if attempts.waiting[1:] or self._names(attempts, wanted.group, FALLBACKS):
            wanted = evolve(wanted, is_patient=False)
        try:
            return await self.health.lease_soon(wanted, attempts.until_s, refresh)
        except TimeoutError:
            raise too_late(attempts.group, wanted.group, total_s) from None

    def _take(self, attempts: Attempts) -> None:
        for budget in self.budget:
            try:
                budget.take_request(attempts.group, attempts.prompt_tokens)
            except BudgetExceeded as error:
                vars(error)["attempted"] = attempts.said
                raise

    async def _attempt(self, lease: Lease, attempts: Attempts) -> AsyncGenerator[Event, None]:
        meter = Meter(attempts, lease, is_read=bool(self.budget) or lease.tokens is not None)
        try:
            call = self._seeded(self._call(lease.deployment, attempts.call_to(lease.group)))
            async with aclosing(self.beneath.events(call)) as events:
                async for event in events:
                    meter.read(event)
                    if attempts.is_begun:
                        yield event
                        continue
                    attempts.is_begun = True
                    await self._answered(lease)
                    yield event.with_notes("router", attempts.notes(lease))
            attempts.is_answered = True
        except APIError as error:
            meter.is_refused = not attempts.is_begun
            await self._failed(lease, attempts, error)
            if attempts.is_begun:
                raise
            attempts.failed(lease, error)
        finally:
            await self._ended(lease, attempts, meter.spent())

    async def _answered(self, lease: Lease) -> None:
        was_troubled = lease.deployment.is_troubled
        self.health.answered(lease)
        if was_troubled and self.shared is not None and not lease.deployment.is_troubled:
            await self.shared.well(lease)

    async def _failed(self, lease: Lease, attempts: Attempts, error: APIError) -> None:
        if is_callers(attempts.call_to(lease.group), error):
            return
        rest_s = self.health.failed(lease, error)
        if rest_s > 0 and self.shared is not None:
            await self.shared.cooled(lease, rest_s)

    async def _ended(self, lease: Lease, attempts: Attempts, tokens: int) -> None:
        """Give back what a request held, however it ended: a cancelled one, too."""
        is_open = lease.deployment.probe is lease
        self.health.spent(lease, tokens)
        self.health.ended(lease)
        for budget in self.budget:
            budget.settle(attempts.prompt_tokens, tokens)
        if self.shared is not None:
            await self.shared.spent(lease, tokens)
            if is_open:
                await self.shared.left(lease)

    def _call(self, deployment: Deployment, asked: Call) -> Call:
        """Return the call for one deployment; its timeout holds unless the call has one."""
        timeouts = asked.timeouts
        if deployment.timeouts is not None:
            usual = Timeouts.of(TIMEOUT.value() if self.timeout_s is None else self.timeout_s)
            timeouts = deployment.timeouts if timeouts == usual else timeouts
        return deployment.call(asked, timeouts)

    def _seeded(self, call: Call) -> Call:
        """Give a call the environment's seed, if neither it nor its deployment has one."""
        if not self.is_deterministic or call.operation != "chat" or "seed" in call.params:
            return call
        seed = seed_of(SEED.value())
        return call if seed is None else evolve(call, params={**call.params, "seed": seed})

    def _go_on(self, attempts: Attempts) -> None:
        """Go on to the groups to ask after one that has nobody left."""
        group = attempts.waiting.pop(0)
        error, names = attempts.error, list[str]()
        setting = setting_for(error)
        if setting is not FALLBACKS or error is None or is_worth_another(error):
            names = self._names(attempts, group, setting)
        attempts.seen.update(names)
        attempts.waiting[:0] = [
            self._group(evolve(attempts.call, model=name, provider=None)) for name in names
        ]

    def _names(self, attempts: Attempts, group: Group, setting: Setting[Any]) -> list[str]:
        """Return the names of those that are for the time when nobody of a group is left."""
        if attempts.call.options.get("disable_fallbacks"):
            return []
        known = self._fallbacks(attempts.call, setting)
        names = known.get(group.name, known.get("*", ()))
        return [name for name in names if name not in attempts.seen]

    def _fallbacks(self, call: Call, setting: Setting[Any]) -> Fallbacks:
        given = call.options.get(setting.option or "")
        if given is None:
            return self.fallbacks.get(setting.option or "", {})
        if isinstance(given, (list, tuple)) and all(isinstance(name, str) for name in given):
            given = {"*": list(given)}
        return read_fallbacks(given, str(setting.option), self.groups)

    def _last_word(self, call: Call, attempts: Attempts) -> APIError:
        """Return the error of a call that nobody answered; it says when to try again."""
        wait_s = min(self.health.wait_s(group.deployments) for group in attempts.asked)
        if (error := attempts.taken()) is None:
            return all_resting(call, attempts.asked[0], wait_s)
        if wait_s > 0 and error.failure.is_transient:
            error.failure = evolve(error.failure, retry_after_s=wait_s)
        vars(error)["attempted"] = attempts.said
        return error


def seed_of(text: str) -> int | None:
    """Return the number that a text says or, if it says none, one that it always gives."""
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1

"""Who of a group may be asked now: cooldowns, probes, limits. The one place that changes them.

A deployment that failed is left alone until its cooldown ends; then one request probes it,
and only when that begins to be answered does it take its share again. A later failure never
shortens a cooldown. A request that was cancelled says nothing about its deployment.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from scillm import APIError, FailureKind
from scillm_router import forks
from scillm_router.deployments import Deployment
from scillm_router.groups import Group, Lease, Waiter, Wanted
from scillm_router.windows import Entry

SOON_S = 0.25  # what is free sooner than this is waited for
UNKNOWN_S = 0.02  # nobody knows when a request under way ends; its end wakes who waits for it
NEWEST = 0.3  # the share of the newest latency in the average
ITS_OWN_FAULT = frozenset({FailureKind.AUTH, FailureKind.PERMISSION, FailureKind.NOT_FOUND})
Clock = Callable[[], float]
Refresh = Callable[[], Awaitable[None]]


def is_worth_another(error: APIError) -> bool:
    """Tell whether another deployment may do better at the same request."""
    return error.failure.is_transient or error.failure.kind in ITS_OWN_FAULT


class Health:
    """The state of a Router's deployments; safe for threads, event loops and forks.

    Args:
        cooldown_s: Seconds that a deployment is left alone after it failed.
        allowed_fails: Failures in a row that a deployment may have before it is.
        clock: Tells seconds that never go back.
        groups: All groups whose state it is.
    """

    def __init__(
        self,
        cooldown_s: float,
        allowed_fails: int,
        clock: Clock = time.monotonic,
        groups: Iterable[Group] = (),
    ) -> None:
        self._cooldown_s, self._allowed_fails, self.clock = cooldown_s, allowed_fails, clock
        self._groups = tuple(groups)
        self._lock = threading.Lock()
        forks.register(self)

    def lease(self, wanted: Wanted) -> Lease | None:
        """Choose one that may be asked now, and take note of the request; None if none may."""
        with self._lock:
            return self._lease(wanted)

    async def lease_soon(
        self, wanted: Wanted, until_s: float | None = None, refresh: Refresh | None = None
    ) -> Lease | None:
        """Wait for one that is about to be free, behind those that wait already.

        Args:
            wanted: What the call wants.
            until_s: When to give up, by the loop's clock; None for never.
            refresh: Awaited now and then: it learns what other processes know.

        Returns:
            A lease; None if nobody will be free soon.

        Raises:
            TimeoutError: None was free in time.
        """
        while True:
            with self._lock:
                if (lease := self._lease(wanted)) is not None:
                    return lease
                if not 0 < self._soonest_s(wanted.awaited(self.clock())) <= SOON_S:
                    return None
                waiter = Waiter.of(wanted)
                wanted.group.waiting.append(waiter)
            try:
                await self._waited(waiter, until_s, refresh)
            except BaseException:
                self._leave(waiter)
                raise
            if waiter.lease is not None:
                return waiter.lease

    def wait_s(self, deployments: Iterable[Deployment]) -> float:
        """Return the seconds until one of them may be asked; 0 if one may now."""
        with self._lock:
            return self._soonest_s(deployments)

    def ended(self, lease: Lease) -> None:
        """Take note that a request is over, however it ended."""
        with self._lock:
            self._end(lease)
            self._serve(lease.group)

    def withdrawn(self, lease: Lease) -> None:
        """Take note that a request did not go out after all."""
        with self._lock:
            self._withdraw(lease)

    def answered(self, lease: Lease) -> None:
        """Take note of the first event of an answer: the deployment is well."""
        deployment = lease.deployment
        now_s = self.clock()
        taken_s, before = now_s - lease.begun_s, deployment.expected_s(now_s)
        deployment.latency_s = taken_s if before is None else before + NEWEST * (taken_s - before)
        deployment.heard_s = now_s
        if deployment.is_troubled and lease.begun_s >= deployment.cool_until_s:
            with self._lock:
                self._mend(lease.group, deployment)
                self._serve(lease.group)

    def spent(self, lease: Lease, tokens: float) -> None:
        """Take note of the tokens that a request took in truth."""
        if lease.tokens is not None and lease.deployment.tokens is not None:
            with self._lock:
                lease.deployment.tokens.correct(lease.tokens, tokens)

    def failed(self, lease: Lease, error: APIError) -> float:
        """Take note of a failure; return the seconds that the deployment is now left alone.

        A deployment without an alternate is only left alone if its provider asks for it.
        """
        deployment, failure, group = lease.deployment, error.failure, lease.group
        if not is_worth_another(error):
            return 0.0
        with self._lock:
            deployment.fails += 1
            deployment.is_troubled = group.is_troubled = True
            deployment.last_failure = failure
            wait_s = failure.retry_after_s or 0.0
            is_enough = deployment.fails > self._allowed_fails or lease.is_probe
            if group.has_alternate and is_enough:
                wait_s = max(wait_s, self._cooldown_s)
            if wait_s > 0:
                self._rest(group, deployment, wait_s)
            return wait_s

    def rest(self, group: Group, deployment: Deployment, wait_s: float) -> None:
        """Leave a deployment alone, as another process says; never for less than it is already."""
        with self._lock:
            self._rest(group, deployment, wait_s)

    def doubt(self, group: Group, deployment: Deployment, wait_s: float) -> None:
        """Take note that another process probes a deployment, for at most so long."""
        with self._lock:
            deployment.probed_until_s = self.clock() + wait_s
            deployment.is_doubtful = group.has_alternate
            deployment.is_troubled = group.is_troubled = True

    def full(self, deployment: Deployment, wait_s: float) -> None:
        """Take note that all processes together have used up what a deployment takes."""
        with self._lock:
            deployment.full_until_s = self.clock() + wait_s

    def mend(self, group: Group, deployment: Deployment) -> None:
        """Take note that another process found a deployment well."""
        with self._lock:
            if deployment.is_doubtful and deployment.cool_until_s <= self.clock():
                self._mend(group, deployment)
                self._serve(group)

    def forked(self) -> None:
        """In a forked child nothing is under way."""
        self._lock = threading.Lock()
        for group in self._groups:
            group.waiting.clear()
            for deployment in group.deployments:
                deployment.in_flight, deployment.probe = 0, None

    def _lease(self, wanted: Wanted) -> Lease | None:
        now_s, group = self.clock(), wanted.group
        deployment = self._chosen(wanted, now_s)
        if deployment is None:
            return None
        deployment.in_flight += 1
        is_probe = deployment.is_doubtful
        if deployment.has_limits:
            entries = _counted(deployment, now_s, wanted)
            lease = Lease(group, deployment, now_s, is_probe, *entries)
        else:
            lease = Lease(group, deployment, now_s, is_probe)
        if is_probe:
            deployment.probe = lease
        return lease

    def _chosen(self, wanted: Wanted, now_s: float) -> Deployment | None:
        group = wanted.group
        if not (wanted.tried or group.is_troubled):
            if not group.has_limits:
                return wanted.choose(group.first)
            if wanted.is_pure:
                # Chosen of all, it is as good as chosen of those that have room, if it has room.
                one = wanted.choose(group.first)
                if self._wait_s(one, now_s) <= 0:
                    return one
        able = self._able(wanted, now_s)
        return wanted.choose(able) if able else None

    def _able(self, wanted: Wanted, now_s: float) -> Sequence[Deployment]:
        able: list[Deployment] = []
        for deployment in wanted.group.deployments:  # by order
            if able and deployment.order != able[0].order:
                break
            if deployment in wanted.tried:
                continue
            is_easy = not (deployment.is_troubled or deployment.has_limits)
            if is_easy or self._wait_s(deployment, now_s) <= 0:
                able.append(deployment)
        return able

    def _soonest_s(self, deployments: Iterable[Deployment]) -> float:
        now_s = self.clock()
        return max(0.0, min((self._wait_s(d, now_s) for d in deployments), default=0.0))

    def _wait_s(self, deployment: Deployment, now_s: float) -> float:
        wait_s = max(deployment.cool_until_s, deployment.full_until_s) - now_s
        if deployment.probed_until_s > now_s:
            wait_s = max(wait_s, UNKNOWN_S)
        is_full = deployment.max_parallel is not None and (
            deployment.in_flight >= deployment.max_parallel
        )
        if deployment.probe is not None or is_full:
            wait_s = max(wait_s, UNKNOWN_S)
        for window in (deployment.requests, deployment.tokens):
            if window is not None:
                wait_s = max(wait_s, window.wait_s(now_s))
        return wait_s

    def _end(self, lease: Lease) -> None:
        lease.deployment.in_flight -= 1
        if lease.deployment.probe is lease:
            lease.deployment.probe = None

    def _withdraw(self, lease: Lease) -> None:
        requests, spent = lease.deployment.requests, lease.deployment.tokens
        if requests is not None and lease.request is not None:
            requests.correct(lease.request, 0)
        if spent is not None and lease.tokens is not None:
            spent.correct(lease.tokens, 0)
        self._end(lease)
        self._serve(lease.group)

    def _rest(self, group: Group, deployment: Deployment, wait_s: float) -> None:
        deployment.cool_until_s = max(deployment.cool_until_s, self.clock() + wait_s)
        deployment.is_doubtful = group.has_alternate
        deployment.is_troubled = group.is_troubled = True

    def _mend(self, group: Group, deployment: Deployment) -> None:
        deployment.fails, deployment.cool_until_s, deployment.probed_until_s = 0, 0.0, 0.0
        deployment.is_doubtful = deployment.is_troubled = False
        deployment.probe = None  # if it is a stream, it need not end before others may ask
        group.look()

    def _serve(self, group: Group) -> None:
        """Give those that wait what they wait for, or let them look why they need not wait."""
        kept: list[Waiter] = []
        while group.waiting:
            waiter = group.waiting.popleft()
            if 0 < self._soonest_s(waiter.wanted.awaited(self.clock())) <= SOON_S:
                kept.append(waiter)
                if not waiter.wanted.tried and waiter.wanted.is_patient:
                    break  # nor is there anything for those behind it
                continue
            waiter.is_waiting = False
            with contextlib.suppress(Exception):  # a way to choose that fails: it is told so itself
                waiter.lease = self._lease(waiter.wanted)
            if not waiter.wake() and waiter.lease is not None:
                self._end(waiter.lease)
        group.waiting.extendleft(reversed(kept))

    async def _waited(self, waiter: Waiter, until_s: float | None, refresh: Refresh | None) -> None:
        while (wait_s := self._look_s(waiter)) > 0:
            if until_s is not None:
                wait_s = min(wait_s, until_s - waiter.loop.time())
                if wait_s <= 0:
                    raise TimeoutError
            await asyncio.wait({waiter.woken}, timeout=wait_s)
            if refresh is not None and waiter.is_waiting:
                await refresh()

    def _look_s(self, waiter: Waiter) -> float:
        """Return the seconds after which to look again; 0 if it need not wait any longer.

        Time brings what nobody tells of, such as the end of a cooldown.
        """
        with self._lock:
            if not waiter.is_waiting:
                return 0.0
            wait_s = self._soonest_s(waiter.wanted.awaited(self.clock()))
            if 0 < wait_s <= SOON_S:
                return SOON_S if wait_s == UNKNOWN_S else wait_s
            waiter.wanted.group.waiting.remove(waiter)
            waiter.is_waiting = False
            return 0.0

    def _leave(self, waiter: Waiter) -> None:
        with self._lock:
            if waiter.is_waiting:
                waiter.wanted.group.waiting.remove(waiter)
                waiter.is_waiting = False
            elif waiter.lease is not None:
                self._withdraw(waiter.lease)


def _counted(
    deployment: Deployment, now_s: float, wanted: Wanted
) -> tuple[Entry | None, Entry | None]:
    requests, tokens = deployment.requests, deployment.tokens
    return (
        None if requests is None else requests.add(now_s, 1),
        None if tokens is None else tokens.add(now_s, wanted.tokens_at(deployment)),
    )

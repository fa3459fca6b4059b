"""Who of a group may be asked now: cooldowns, probes, limits. The one place that changes them.

A deployment that failed is left alone until its cooldown ends; then one request probes it,
and only if that succeeds does it take its share again. A later failure never shortens a
cooldown. A request that was cancelled says nothing about its deployment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from attrs import frozen

from scillm import APIError, FailureKind
from scillm_router.deployments import Deployment

MINUTE_S = 60.0
SLOT_S = 0.02  # nobody knows when a slot is free: after this it is looked again
NEWEST = 0.3  # the share of the newest latency in the average
_ITS_OWN_FAULT = frozenset({FailureKind.AUTH, FailureKind.PERMISSION, FailureKind.NOT_FOUND})
Clock = Callable[[], float]


def is_worth_another(error: APIError) -> bool:
    """Tell whether another deployment may do better at the same request."""
    return error.failure.is_transient or error.failure.kind in _ITS_OWN_FAULT


class Health:
    """The state of a Router's deployments; safe for threads.

    Args:
        cooldown_s: Seconds that a deployment is left alone after it failed.
        allowed_fails: Failures in a row that a deployment may have before it is.
        clock: Tells seconds that never go back.
    """

    def __init__(
        self, cooldown_s: float, allowed_fails: int, clock: Clock = time.monotonic
    ) -> None:
        self._cooldown_s, self._allowed_fails, self._clock = cooldown_s, allowed_fails, clock
        self._lock = threading.Lock()

    def available(self, group: Group, tried: Sequence[Deployment]) -> Sequence[Deployment]:
        """Return those that may be asked now, of the lowest order that has any."""
        if not (tried or group.is_watched):
            return group.first
        now_s = self._clock()
        able = [d for d in group.deployments if d not in tried and self._wait_s(d, now_s) <= 0]
        if not able:
            return able
        known = [d for d in able if not d.is_probed]
        lowest = min(d.order for d in known or able)
        return [d for d in known or able if d.order == lowest]

    def wait_s(self, deployments: Sequence[Deployment]) -> float:
        """Return the seconds until one of them may be asked; 0 if one may now."""
        now_s = self._clock()
        return max(0.0, min((self._wait_s(d, now_s) for d in deployments), default=0.0))

    def begin(self, group: Group, deployment: Deployment, tokens: int) -> Lease:
        """Take note that a request goes out."""
        with self._lock:
            deployment.in_flight += 1
            is_probe = deployment.is_doubtful and not deployment.is_probed
            deployment.is_probed = deployment.is_probed or is_probe
            if deployment.has_limits:
                deployment.sent.append((self._clock(), 1, tokens))
        return Lease(self, group, deployment, self._clock(), is_probe, tokens)

    def ended(self, lease: Lease) -> None:
        """Take note that a request is over, however it ended."""
        with self._lock:
            lease.deployment.in_flight -= 1
            if lease.is_probe:
                lease.deployment.is_probed = False

    def answered(self, lease: Lease) -> None:
        """Take note of the first event of an answer."""
        taken_s, deployment = self._clock() - lease.begun_s, lease.deployment
        before = deployment.latency_s
        deployment.latency_s = taken_s if before is None else before + NEWEST * (taken_s - before)

    def succeeded(self, lease: Lease, tokens: int | None) -> None:
        """Take note of a whole answer and, if it was told, of the tokens that it took."""
        deployment = lease.deployment
        if deployment.fails and lease.begun_s >= deployment.cool_until_s:
            with self._lock:
                deployment.is_doubtful, deployment.fails, deployment.cool_until_s = False, 0, 0.0
                lease.group.look()
        if tokens is not None and deployment.tpm is not None:
            with self._lock:
                deployment.sent.append((self._clock(), 0, tokens - lease.tokens))

    def failed(self, lease: Lease, error: APIError) -> None:
        """Take note of a failure, and leave the deployment alone for a while if it is its own.

        A deployment without an alternate is only left alone if its provider asks for it.
        """
        deployment, failure = lease.deployment, error.failure
        if not is_worth_another(error):
            return
        with self._lock:
            deployment.fails += 1
            deployment.last_failure = failure
            has_alternate = len(lease.group.deployments) > 1
            wait_s = failure.retry_after_s or 0.0
            if has_alternate and (deployment.fails > self._allowed_fails or lease.is_probe):
                wait_s = max(wait_s, self._cooldown_s)
            if wait_s > 0:
                until_s = self._clock() + wait_s
                deployment.cool_until_s = max(deployment.cool_until_s, until_s)
                deployment.is_doubtful = has_alternate
                lease.group.look()

    def _wait_s(self, deployment: Deployment, now_s: float) -> float:
        waits = [deployment.cool_until_s - now_s]
        if deployment.has_limits:
            waits.append(self._limited_s(deployment, now_s))
        return max(waits)

    def _limited_s(self, deployment: Deployment, now_s: float) -> float:
        sent = deployment.sent
        with self._lock:
            while sent and sent[0][0] <= now_s - MINUTE_S:
                sent.popleft()
            if (
                deployment.max_parallel is not None
                and deployment.in_flight >= deployment.max_parallel
            ):
                return SLOT_S
            is_full = deployment.rpm is not None and sum(s[1] for s in sent) >= deployment.rpm
            if deployment.tpm is not None:
                is_full = is_full or sum(s[2] for s in sent) >= deployment.tpm
            return sent[0][0] + MINUTE_S - now_s if is_full and sent else 0.0


class Group:
    """The deployments of one name.

    Attributes:
        name: That name.
        deployments: All of them, by order.
        first: Those of the lowest order.
        is_watched: Whether some of them may not be asked at any time.
    """

    def __init__(self, name: str, deployments: Sequence[Deployment]) -> None:
        self.name = name
        self.deployments = sorted(deployments, key=lambda deployment: deployment.order)
        self.first = [d for d in self.deployments if d.order == self.deployments[0].order]
        self.is_watched = False
        self.look()

    def look(self) -> None:
        """See anew whether there is anything to watch: while all is well, choosing is cheap."""
        self.is_watched = any(d.has_limits or d.cool_until_s > 0 for d in self.deployments)


@frozen(eq=False)
class Lease:
    """One request on its way to a deployment.

    Attributes:
        health: Who keeps the books.
        group: The group that it was chosen from.
        deployment: Where it goes.
        begun_s: When it went.
        is_probe: Whether it finds out if the deployment is well again.
        tokens: How many it was taken to cost.
    """

    health: Health
    group: Group
    deployment: Deployment
    begun_s: float
    is_probe: bool
    tokens: int

"""What processes tell each other through Redis: who rests, who is being probed, what was sent.

Each process decides by what it knows, and learns what the others know at most every
``REFRESH_S``, before it chooses. Only requests to deployments with ``rpm`` or ``tpm`` ask Redis
each time. What Redis does not answer is decided by what this process knows.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Any

from scillm import Secret
from scillm_redis_store import RedisStore
from scillm_router import scripts
from scillm_router.deployments import Deployment
from scillm_router.groups import Group, Lease
from scillm_router.health import Health

REFRESH_S = 0.25
ANSWER_S = 2.0  # a Redis that takes longer is done without for a while
PROBE_S = 30.0  # a process that died while it probed is believed for so long
FORGOTTEN_S = 3600.0  # after so long without a probe a doubt is dropped
_KEYS = ("{scillm:router}:resting", "{scillm:router}:probes")


class Shared:
    """The state of one Router's deployments, as all processes know it.

    Args:
        redis: Where it is kept.
        groups: The groups of the Router.
        health: What this process knows.
    """

    def __init__(self, redis: RedisStore, groups: Iterable[Group], health: Health) -> None:
        self._redis, self._health = redis, health
        each = [(group, deployment) for group in groups for deployment in group.deployments]
        self._names = {deployment: _name(deployment) for _, deployment in each}
        self._known = {self._names[deployment]: (group, deployment) for group, deployment in each}
        self._told_s: dict[str, float] = {}  # since when Redis knows of those that rest
        self._taken: dict[Lease, tuple[int, int]] = {}  # in which second it counts, how many tokens
        self._next_s = 0.0

    async def refresh(self) -> None:
        """Learn what other processes know, unless it was asked lately."""
        begun_s = self._health.clock()
        if begun_s < self._next_s:
            return
        self._next_s = begun_s + REFRESH_S
        found = await self._run(scripts.LIST, _KEYS)
        if found is not None:
            self._learn({_text(name): ms for name, *ms in found}, begun_s)

    async def allows(self, lease: Lease) -> bool:
        """Ask whether all processes together may send this request; else take note why not."""
        name = self._names.get(lease.deployment)
        if name is None:
            return True
        if lease.is_probe and not await self._is_probe_ours(lease, name):
            return False
        if lease.request is None and lease.tokens is None:
            return True
        if await self._is_taken(lease, name):
            return True
        await self.withdrawn(lease)
        return False

    async def cooled(self, lease: Lease, seconds: float) -> None:
        """Tell the others to leave a deployment alone."""
        if (name := self._names.get(lease.deployment)) is not None:
            rest_ms, kept_ms = math.ceil(seconds * 1000), int(FORGOTTEN_S * 1000)
            if await self._run(scripts.COOL, _KEYS, name, rest_ms, kept_ms):
                self._told_s[name] = self._health.clock()

    async def well(self, lease: Lease) -> None:
        """Tell the others that a deployment is well again."""
        if (name := self._names.get(lease.deployment)) is not None:
            self._told_s.pop(name, None)
            await self._run(scripts.WELL, _KEYS, name)

    async def left(self, lease: Lease) -> None:
        """Tell the others that a probe was cancelled."""
        if (name := self._names.get(lease.deployment)) is not None:
            await self._run(scripts.LEAVE, _KEYS, name)

    async def withdrawn(self, lease: Lease) -> None:
        """Tell that a request did not go out after all."""
        second, taken = self._taken.pop(lease, (0, 0))
        if second:
            key = _used(self._names[lease.deployment])
            await self._run(scripts.CORRECT, [key], f"r{second}", -1)
            await self._run(scripts.CORRECT, [key], f"t{second}", -taken)
        if lease.is_probe:
            await self.left(lease)

    async def spent(self, lease: Lease, tokens: float) -> None:
        """Tell how many tokens a request took in truth."""
        second, taken = self._taken.pop(lease, (0, 0))
        if lease.tokens is not None and second and (wrong := round(tokens) - taken):
            key = _used(self._names[lease.deployment])
            await self._run(scripts.CORRECT, [key], f"t{second}", wrong)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _learn(self, found: dict[str, Sequence[int]], begun_s: float) -> None:
        for name, (rest_ms, probe_ms) in found.items():
            if name not in self._known:
                continue  # another Router's
            group, deployment = self._known[name]
            self._told_s.setdefault(name, begun_s)
            if rest_ms > 0:
                self._health.rest(group, deployment, rest_ms / 1000)
            elif deployment.probe is None:
                self._health.doubt(group, deployment, max(0, probe_ms) / 1000)
        for name, told_s in list(self._told_s.items()):
            if name not in found and told_s <= begun_s:
                del self._told_s[name]
                self._health.mend(*self._known[name])

    async def _is_probe_ours(self, lease: Lease, name: str) -> bool:
        answer = await self._run(scripts.PROBE, _KEYS, name, int(PROBE_S * 1000))
        if answer is None:
            return True
        state, left_s = _text(answer[0]), answer[1] / 1000
        if state == "resting":
            self._health.rest(lease.group, lease.deployment, left_s)
        elif state == "probed":
            self._health.doubt(lease.group, lease.deployment, left_s)
        return state in ("yours", "well")

    async def _is_taken(self, lease: Lease, name: str) -> bool:
        deployment = lease.deployment
        limits = [-1 if limit is None else limit for limit in (deployment.rpm, deployment.tpm)]
        tokens = round(lease.tokens.amount) if lease.tokens is not None else 0
        answer = await self._run(scripts.TAKE, [_used(name)], *limits, tokens)
        if answer is None:
            return True
        wait_ms, second = answer
        if wait_ms > 0:
            self._health.full(deployment, wait_ms / 1000)
            return False
        self._taken[lease] = second, tokens
        return True

    async def _run(self, script: str, keys: Sequence[str], *arguments: Any) -> Any:
        async def work(redis: Any) -> Any:
            asked = redis.register_script(script)(keys=keys, args=arguments)
            try:
                return await asyncio.wait_for(asked, ANSWER_S)
            except asyncio.TimeoutError:  # not yet Python's own TimeoutError in 3.10
                raise TimeoutError(f"no answer in {ANSWER_S:g} s") from None

        return await self._redis.run(work, default=None)


def _name(deployment: Deployment) -> str:
    """Return what a deployment is called among processes: its id, and whose key it uses.

    One key's limits are not another's. Nothing can be read out of the digest.
    """
    key = deployment.api_key.reveal() if deployment.api_key is not None else ""
    headers = sorted(
        (name, value.reveal() if isinstance(value, Secret) else value)
        for name, value in deployment.headers.items()
    )
    return hashlib.sha256(repr((deployment.id, key, headers)).encode()).hexdigest()[:24]


def _text(said: bytes | str) -> str:
    return said if isinstance(said, str) else said.decode()  # as the address of Redis asks for


def _used(name: str) -> str:
    return f"{{scillm:router}}:used:{name}"

"""The engine: workers on a cluster, items leased to them, one writer of results at home."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
from collections.abc import Mapping
from typing import Any

import ray
from attrs import define, field
from ray.exceptions import RayActorError, RayTaskError

from scillm_batch import BatchError, Item, Job
from scillm_batch.engines import Pull, Push
from scillm_engine_ray.worker import Limiter, Worker

LOG = logging.getLogger("scillm.batch.ray")
MOST_DEATHS = 5  # in a row, of the worker of one place, without a row between
_PASSED_ON = ("SCILLM_", "REDIS_", "OPENAI_", "CHUTES_", "CODEX_", "HTTP_", "HTTPS_", "SSL_", "no_")
_PASSED_ON_TOO = ("_API_KEY", "_API_BASE", "_BASE_URL")


class Ray:
    """Runs the items of a batch on workers of a Ray cluster.

    A worker leases some items, answers them with the loop of the local engine, and sends rows
    back as they are ready; they are written at home, by the one who reads the input. Of a
    worker that dies, the items without a row are leased again, to another.

    Args:
        address: The cluster, as ``ray.init`` takes it; None is one that is made on this machine,
            on loopback, and ends with the run.
        workers: How many; None is one for each node.
        lease: The most items that a worker has at a time; None is four times its calls under way.
        per_second: Calls a second of all workers together, by an actor that says when; None is
            no limit but those of the plugins, which share theirs if ``REDIS_URL`` is set.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        lease: int | None = None,
        per_second: float | None = None,
    ) -> None:
        for name, least in (("workers", workers), ("lease", lease)):
            if least is not None and not (isinstance(least, int) and least >= 1):
                raise BatchError(f"{name}={least!r} must be 1 or more")
        if per_second is not None and not per_second > 0:
            raise BatchError(f"per_second={per_second!r} must be above 0")
        self._address, self._count, self._lease = address, workers, lease
        self._per_second = per_second
        self._places: list[_Place] = []

    def state(self) -> Mapping[str, Any]:
        """Return how many items are out, and how many may be."""
        return {
            "in_flight": sum(len(place.out) for place in self._places),
            "limit": sum(place.lease for place in self._places),
            "paused_s": 0.0,
            "workers": sum(place.is_alive for place in self._places),
        }

    async def run(self, job: Job, pull: Pull, push: Push) -> None:
        """Lease items to the workers until there are none.

        Raises:
            BatchError: The cluster cannot be reached, or its workers keep dying.
        """
        if job.router is not None and not isinstance(job.router, Mapping):
            raise BatchError(
                "a Router cannot be sent to a worker: give its arguments, router={...}"
            )
        connecting = asyncio.ensure_future(
            asyncio.to_thread(_connected, self._address, self._count)
        )
        try:
            await asyncio.shield(connecting)
            await self._run(job, pull, push)
        except RayTaskError as error:
            raise BatchError(
                f"a worker of the Ray cluster failed: {error.cause!r:.300}; what was answered is "
                "written, --resume goes on"
            ) from error
        finally:
            for place in self._places:
                place.end()
            self._places = []
            with contextlib.suppress(BatchError):  # it has been raised above
                if await connecting:
                    await asyncio.to_thread(ray.shutdown)

    async def _run(self, job: Job, pull: Pull, push: Push) -> None:
        nodes: Any = ray.nodes()  # type: ignore[no-untyped-call]  # Ray types some of its doors
        count = self._count or len([node for node in nodes if node["Alive"]])
        at_a_time = math.ceil(job.concurrency / count)
        limiter = None
        if self._per_second is not None:
            limiter = ray.remote(Limiter).options(num_cpus=0).remote(self._per_second)
        self._places = [
            _Place(job, at_a_time, self._lease or 4 * at_a_time, limiter) for _ in range(count)
        ]
        tasks = [asyncio.ensure_future(place.run(pull, push)) for place in self._places]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@define(eq=False)
class _Place:
    """The place of one worker, filled anew when it dies."""

    job: Job
    at_a_time: int
    lease: int
    limiter: Any
    out: dict[str, tuple[Item, str]] = field(factory=dict, init=False)
    has_room: asyncio.Event = field(factory=asyncio.Event, init=False)
    worker: Any = field(default=None, init=False)
    deaths: int = field(default=0, init=False)

    @property
    def is_alive(self) -> bool:
        """Whether there is a worker."""
        return self.worker is not None

    async def run(self, pull: Pull, push: Push) -> None:
        """Lease items to a worker until there are none, and to another if it dies."""
        while True:
            try:
                await self._served(pull, push)
            except RayActorError as error:
                self._died(error)
            else:
                return

    def end(self) -> None:
        """End the worker."""
        if self.worker is not None:
            ray.kill(self.worker)
            self.worker = None

    async def _served(self, pull: Pull, push: Push) -> None:
        kind = ray.remote(Worker).options(num_cpus=1, max_restarts=0)
        worker = self.worker = kind.remote(self.job, self.at_a_time, self.limiter)
        rows_of: Any = worker.rows  # Ray's types know no method that streams
        answers = rows_of.options(num_returns="streaming").remote()
        leasing = asyncio.ensure_future(self._lease(worker, pull))
        try:
            async for answer in answers:
                rows = await answer
                await asyncio.gather(*(push(row) for row in rows))
                for row in rows:
                    del self.out[row.item_id]
                self.deaths = 0
                self.has_room.set()
            await leasing
        finally:
            leasing.cancel()
            await asyncio.gather(leasing, return_exceptions=True)

    async def _lease(self, worker: Any, pull: Pull) -> None:
        """Give a worker what is open, and more as it answers."""
        try:
            await worker.add.remote([*self.out.values()])
            while True:
                while len(self.out) >= self.lease:
                    self.has_room.clear()
                    await self.has_room.wait()
                items = await pull(self.lease - len(self.out))
                if not items:
                    return
                self.out.update((item.id, (item, digest)) for item, digest in items)
                await worker.add.remote(items)
        finally:
            worker.finish.remote()

    def _died(self, error: RayActorError) -> None:
        self.worker = None
        self.deaths += 1
        LOG.warning("a worker died, and its %d open items are leased again", len(self.out))
        if self.deaths > MOST_DEATHS:
            raise BatchError(
                f"a worker died {self.deaths} times without answering an item: "
                f"{str(error)[:300]}; what was answered is written, --resume goes on"
            )


def _connected(address: str | None, workers: int | None) -> bool:
    """Connect to the cluster, or make one; return whether it is ours to end.

    Raises:
        BatchError: There is none at that address.
    """
    if ray.is_initialized():
        return False
    variables = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_PASSED_ON) or name.endswith(_PASSED_ON_TOO)
    }
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "runtime_env": {"env_vars": variables},
    }
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        cpus = (workers or 1) + 1
        options |= {"include_dashboard": False, "num_cpus": cpus, "_node_ip_address": "127.0.0.1"}
    else:
        options["address"] = address
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise BatchError(f"the Ray cluster {address or 'here'} cannot be used: {error}") from None
    return True

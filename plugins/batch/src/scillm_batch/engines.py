"""Who runs the calls of a batch: a hook, so that another machine's processes can.

A distribution adds an engine by an entry point in the group ``scillm.engines``::

    @hookimpl
    def engine(name, options):
        return Elsewhere(**options) if name == "elsewhere" else None
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias

import pluggy

from scillm_batch.gate import Gate
from scillm_batch.items import BatchError, Item
from scillm_batch.rows import Row
from scillm_batch.work import Job, Worker

hookspec = pluggy.HookspecMarker("scillm_batch")
hookimpl = pluggy.HookimplMarker("scillm_batch")
GROUP = "scillm.engines"

Pull: TypeAlias = Callable[[int], Awaitable[list[tuple[Item, str]]]]
"""Hands out up to so many items with their digests; waits for the first, ``[]`` is the end."""

Push: TypeAlias = Callable[[Row], Awaitable[None]]
"""Takes the row of an item; returns when it is on the disk."""


class Engine(Protocol):
    """Runs the items of a batch."""

    async def run(self, job: Job, pull: Pull, push: Push) -> None:
        """Answer items until there are none; push a row for each that was pulled.

        When it is cancelled it stops at once, and what was pulled and not pushed is asked
        again by the next run.

        Args:
            job: What is done with each item.
            pull: Where items come from.
            push: Where rows go; may be called from several tasks at once.
        """

    def state(self) -> Mapping[str, Any]:
        """Return what a progress line shows: ``in_flight``, ``limit``, ``paused_s``.

        It may have ``resting`` too, the names of routes that nobody asks for a while.
        """


class Specs:
    """What an engine's plugin implements."""

    @hookspec(firstresult=True)
    def engine(self, name: str, options: Mapping[str, Any]) -> Engine | None:
        """Return the engine of this name.

        Args:
            name: As the user wrote it.
            options: What the user says to it, such as an address.

        Returns:
            An engine, or None if the name is not yours.
        """


class Local:
    """The engine that is always there: one event loop, so many calls at a time."""

    def __init__(self) -> None:
        self._gate: Gate | None = None
        self._worker: Worker | None = None

    async def run(self, job: Job, pull: Pull, push: Push) -> None:
        """Answer items with so many tasks, each of which takes one after another."""
        gate = self._gate = Gate(job.concurrency, is_adaptive=job.is_adaptive)
        worker = self._worker = Worker(job, gate.refused)
        tasks = [
            asyncio.ensure_future(_take_turns(worker, gate, pull, push))
            for _ in range(job.concurrency)
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def state(self) -> Mapping[str, Any]:
        """Return the gate's, and the Router's."""
        gate, worker = self._gate, self._worker
        if gate is None or worker is None:
            return {"in_flight": 0, "limit": 0, "paused_s": 0.0, "refusals": 0, "resting": []}
        return {
            "in_flight": gate.in_flight,
            "limit": int(gate.limit),
            "paused_s": gate.paused_s,
            "refusals": gate.refusals,
            "resting": worker.resting(),
        }


async def _take_turns(worker: Worker, gate: Gate, pull: Pull, push: Push) -> None:
    while True:
        await gate.enter()
        try:
            items = await pull(1)
            if not items:
                return
            item, digest = items[0]
            row = await worker.answer(item, digest)
            if row.is_ok:
                gate.accepted()
        finally:
            gate.leave()
        await push(row)


class _BuiltIn:
    @hookimpl
    def engine(self, name: str) -> Engine | None:
        return Local() if name == "local" else None


def engine_for(name: str | Engine, options: Mapping[str, Any]) -> Engine:
    """Return the engine of a name.

    Raises:
        BatchError: Nobody brings it.
    """
    if not isinstance(name, str):
        return name
    manager = pluggy.PluginManager("scillm_batch")
    manager.add_hookspecs(Specs)
    manager.register(_BuiltIn())
    manager.load_setuptools_entrypoints(GROUP)
    try:
        found: Engine | None = manager.hook.engine(name=name, options=options)
    except TypeError as error:  # an option that it does not take
        raise BatchError(f"the engine {name!r} cannot be told {dict(options)}: {error}") from None
    if found is None:
        raise BatchError(
            f"there is no engine {name!r}: 'local' is always there, others come with plugins; "
            f"try pip install scillm-engine-{name}"
        )
    return found

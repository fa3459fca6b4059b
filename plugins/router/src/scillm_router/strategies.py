"""Whom of those that may be asked: a hook of its own, so that others can add ways to choose.

A distribution adds one by an entry point in the group ``scillm.router``, or a caller by
``Router(routing_strategy=plugin)``::

    @hookimpl
    def choose(strategy, deployments):
        return deployments[-1] if strategy == "last" else None
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pluggy

from scillm import BadRequestError
from scillm_router.deployments import Deployment

hookspec = pluggy.HookspecMarker("scillm_router")
hookimpl = pluggy.HookimplMarker("scillm_router")
DEFAULT = "simple-shuffle"
GROUP = "scillm.router"


class Specs:
    """What a way to choose implements."""

    @hookspec(firstresult=True)
    def choose(self, strategy: str, deployments: Sequence[Deployment]) -> Deployment | None:
        """Choose one; the first plugin that does wins.

        Args:
            strategy: The name that the Router was given.
            deployments: Those that may be asked now, all of one order; at least two.

        Returns:
            One of them, or None if the strategy is not yours.
        """


class BuiltIn:
    """The ways that there always are.

    ``simple-shuffle`` draws by ``weight``; ``least-busy`` takes the one with the fewest requests
    under way; ``latency-based-routing`` the one that lately began to answer soonest, one
    without an answer yet first; ``ordered`` always the first.

    Args:
        seed: Makes the drawing repeatable; None takes any.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311  # nothing here is to be secret

    @hookimpl
    def choose(self, strategy: str, deployments: Sequence[Deployment]) -> Deployment | None:
        """Choose one by name of the strategy."""
        if strategy == "simple-shuffle":
            return self._drawn(deployments)
        if strategy == "least-busy":
            fewest = min(deployment.in_flight for deployment in deployments)
            return self._random.choice([d for d in deployments if d.in_flight == fewest])
        if strategy in ("latency-based-routing", "lowest-latency"):
            return min(deployments, key=lambda d: (d.latency_s or 0.0, d.in_flight))
        return deployments[0] if strategy == "ordered" else None

    def _drawn(self, deployments: Sequence[Deployment]) -> Deployment:
        weights = [deployment.weight for deployment in deployments]
        if weights.count(weights[0]) == len(weights) or not any(weights):
            return self._random.choice(deployments)
        return self._random.choices(deployments, weights)[0]


class Strategy:
    """One way to choose, by name.

    Args:
        name: Its name, or a plugin with the hook ``choose``.
        seed: For those that draw.

    Raises:
        BadRequestError: Nobody knows the name.
    """

    def __init__(self, name: str | Any = DEFAULT, seed: int | None = None) -> None:
        self.manager = pluggy.PluginManager("scillm_router")
        self.manager.add_hookspecs(Specs)
        self.manager.register(BuiltIn(seed))
        self.manager.load_setuptools_entrypoints(GROUP)
        self.name = name if isinstance(name, str) else type(name).__name__
        if not isinstance(name, str):
            self.manager.register(name)
        probe = [Deployment(group="", id=str(n), model="") for n in range(2)]
        if self.manager.hook.choose(strategy=self.name, deployments=probe) is None:
            raise BadRequestError(
                f"routing_strategy={self.name!r} is known to nobody; there are simple-shuffle, "
                "least-busy, latency-based-routing, ordered, and what plugins add"
            )

    def chosen(self, deployments: Sequence[Deployment]) -> Deployment:
        """Choose one of those that may be asked."""
        if len(deployments) == 1:
            return deployments[0]
        one: Deployment = self.manager.hook.choose(strategy=self.name, deployments=deployments)
        return one

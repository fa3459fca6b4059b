"""Whom of those that may be asked: a hook of its own, so that others can add ways to choose.

A distribution adds one by an entry point in the group ``scillm.router``, or a caller by
``Router(routing_strategy=plugin)``::

    @hookimpl
    def choose(strategy, deployments):
        return deployments[-1] if strategy == "last" else None
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import pluggy

from scillm import BadRequestError, PluginError
from scillm_router.deployments import Deployment

hookspec = pluggy.HookspecMarker("scillm_router")
hookimpl = pluggy.HookimplMarker("scillm_router")
DEFAULT = "simple-shuffle"
GROUP = "scillm.router"
Choose = Callable[[Sequence[Deployment]], Deployment]


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

    ``simple-shuffle`` draws by ``weight``, a weight of 0 only where there is no other;
    ``least-busy`` takes the one with the fewest requests under way; ``latency-based-routing`` the
    one that lately began to answer soonest, one without an answer yet first (what was seen counts
    for less as it grows old, so that one that was slow once is tried again); ``ordered`` always
    the first.

    Args:
        seed: Makes the drawing repeatable; None takes any.
        clock: Tells seconds that never go back.
    """

    def __init__(
        self, seed: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311  # nothing here is to be secret
        self._clock = clock
        self._sums: tuple[Sequence[Deployment], list[float] | None] = ((), None)
        self.ways: dict[str, Choose] = {
            "simple-shuffle": self._drawn,
            "least-busy": self._least_busy,
            "latency-based-routing": self._quickest,
            "lowest-latency": self._quickest,
            "ordered": _first,
        }

    @hookimpl
    def choose(self, strategy: str, deployments: Sequence[Deployment]) -> Deployment | None:
        """Choose one by name of the strategy."""
        way = self.ways.get(strategy)
        return None if way is None else way(deployments)

    def _drawn(self, deployments: Sequence[Deployment]) -> Deployment:
        known, sums = self._sums
        if deployments is not known:  # while all is well, it is the same sequence each time
            sums = _sums(deployments)
            self._sums = deployments, sums
        if sums is None:
            return self._random.choice(deployments)
        return self._random.choices(deployments, cum_weights=sums)[0]

    def _least_busy(self, deployments: Sequence[Deployment]) -> Deployment:
        fewest = min(deployment.in_flight for deployment in deployments)
        return self._random.choice([d for d in deployments if d.in_flight == fewest])

    def _quickest(self, deployments: Sequence[Deployment]) -> Deployment:
        now_s = self._clock()
        return min(deployments, key=lambda d: (d.expected_s(now_s) or 0.0, d.in_flight))


def _first(deployments: Sequence[Deployment]) -> Deployment:
    return deployments[0]


def _sums(deployments: Sequence[Deployment]) -> list[float] | None:
    """Return the sums of the weights up to each, None if all are the same."""
    weights = [deployment.weight for deployment in deployments]
    return None if weights.count(weights[0]) == len(weights) else list(accumulate(weights))


class Strategy:
    """One way to choose, by name.

    Args:
        name: Its name, or a plugin with the hook ``choose``.
        seed: For those that draw.
        clock: Tells seconds that never go back.

    Raises:
        BadRequestError: Nobody knows the name.
    """

    def __init__(
        self,
        name: str | Any = DEFAULT,
        seed: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.manager = pluggy.PluginManager("scillm_router")
        self.manager.add_hookspecs(Specs)
        built_in = BuiltIn(seed, clock)
        self.manager.register(built_in)
        self.manager.load_setuptools_entrypoints(GROUP)
        self.name = name if isinstance(name, str) else type(name).__name__
        if not isinstance(name, str):
            self.manager.register(name)
        probe = [Deployment(group="", id=str(n), model="") for n in range(2)]
        if self._asked(probe) is None:
            raise BadRequestError(
                f"routing_strategy={self.name!r} is known to nobody; there are simple-shuffle, "
                "least-busy, latency-based-routing, ordered, and what plugins add"
            )
        self.is_built_in = len(self.manager.get_plugins()) == 1
        self._way: Choose = built_in.ways[self.name] if self.is_built_in else self._checked

    def chosen(self, deployments: Sequence[Deployment]) -> Deployment:
        """Choose one of those that may be asked."""
        return deployments[0] if len(deployments) == 1 else self._way(deployments)

    def _asked(self, deployments: Sequence[Deployment]) -> Deployment | None:
        one: Deployment | None = self.manager.hook.choose(
            strategy=self.name, deployments=deployments
        )
        return one

    def _checked(self, deployments: Sequence[Deployment]) -> Deployment:
        one = self._asked(deployments)
        if one is None or one not in deployments:
            raise PluginError(
                f"the routing strategy {self.name!r} chose {one!r}, which is none of the "
                f"{len(deployments)} deployments that it was given"
            )
        return one

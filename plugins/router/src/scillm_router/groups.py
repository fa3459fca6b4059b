"""The deployments of one name, who waits for them, and the requests on their way to them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from attrs import define, field, frozen

from scillm_router.deployments import Deployment, answer_limit
from scillm_router.windows import Entry


@frozen(eq=False)
class Lease:
    """One request on its way to a deployment.

    Attributes:
        group: The group that it was chosen from.
        deployment: Where it goes.
        begun_s: When it went.
        is_probe: Whether it finds out if the deployment is well again.
        request: Its entry among the requests of the last minute, if they are limited.
        tokens: Its entry among the tokens of the last minute, if they are.
    """

    group: Group
    deployment: Deployment
    begun_s: float
    is_probe: bool
    request: Entry | None = None
    tokens: Entry | None = None


@frozen(eq=False)
class Wanted:
    """What a call wants: one of a group, to send a request to.

    Attributes:
        group: Whom to choose from.
        tried: Those that it has asked already.
        choose: Picks one of those that may be asked, all of one order.
        is_pure: Whether *choose* may be asked in vain, and of some that may not be asked.
        prompt_tokens: About how many tokens its messages are.
        answer_tokens: The most that its answer may take, None if it does not say.
        is_patient: Whether it waits for the end of a probe; else it has somewhere else to go.
    """

    group: Group
    tried: Sequence[Deployment]
    choose: Callable[[Sequence[Deployment]], Deployment]
    is_pure: bool = False
    prompt_tokens: int = 0
    answer_tokens: int | None = None
    is_patient: bool = True

    def tokens_at(self, deployment: Deployment) -> int:
        """Return how many tokens it is taken to cost at one of them."""
        answer_tokens = self.answer_tokens
        if answer_tokens is None:
            answer_tokens = answer_limit(deployment.params)
        return self.prompt_tokens + (answer_tokens or 0)

    def awaited(self, now_s: float) -> Iterator[Deployment]:
        """Yield those that it may still ask, and would wait for."""
        for deployment in self.group.deployments:
            is_probed = deployment.probe is not None or deployment.probed_until_s > now_s
            if deployment not in self.tried and (self.is_patient or not is_probed):
                yield deployment


@define(eq=False)
class Waiter:
    """A call that waits until a deployment is free for it.

    Attributes:
        wanted: What it wants.
        loop: The loop that it waits on.
        woken: Set when it is to look.
        is_waiting: Whether it is in the queue still.
        lease: What it was given.
    """

    wanted: Wanted
    loop: asyncio.AbstractEventLoop
    woken: asyncio.Future[None]
    is_waiting: bool = True
    lease: Lease | None = None

    @classmethod
    def of(cls, wanted: Wanted) -> Waiter:
        """Make one that waits on the running loop."""
        loop = asyncio.get_running_loop()
        return cls(wanted, loop, loop.create_future())

    def wake(self) -> bool:
        """Have it look; False if its loop is closed, and it with it."""
        try:
            self.loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            return False
        return True

    def _wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


@define(eq=False)
class Group:
    """The deployments of one name.

    Attributes:
        name: That name.
        deployments: All of them, by order.
        has_alternate: Whether somebody else can be asked when one of them rests.
        digest: Tells it from another of the same name, whose answers may be others.
        first: Those of the lowest order.
        has_tokens: Whether the tokens of some of them are limited.
        has_limits: Whether some of them take only so many requests or tokens.
        is_troubled: Whether some of them failed lately, or are said to have.
        waiting: Calls that wait for one of them, the first to come first.
    """

    name: str
    deployments: list[Deployment]
    has_alternate: bool = False
    digest: str = ""
    first: list[Deployment] = field(init=False)
    has_tokens: bool = field(init=False)
    has_limits: bool = field(init=False)
    is_troubled: bool = field(default=False, init=False)
    waiting: deque[Waiter] = field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        self.deployments = sorted(self.deployments, key=lambda deployment: deployment.order)
        self.has_alternate = self.has_alternate or len(self.deployments) > 1
        self.first = [d for d in self.deployments if d.order == self.deployments[0].order]
        self.has_tokens = any(d.tpm is not None for d in self.deployments)
        self.has_limits = any(d.has_limits for d in self.deployments)

    def look(self) -> None:
        """See anew whether there is any trouble: while there is none, choosing is cheap."""
        self.is_troubled = any(d.is_troubled for d in self.deployments)

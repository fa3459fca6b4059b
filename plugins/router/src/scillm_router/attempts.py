"""What becomes of one call, deployment by deployment, and what it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field

from scillm import APIError, Call, Failure, FailureKind, RateLimitError, Secret, Timeout
from scillm_router.deployments import Deployment
from scillm_router.groups import Group, Lease
from scillm_router.health import ITS_OWN_FAULT, is_worth_another

if TYPE_CHECKING:
    from scillm import Event

PROVIDER = "router"
LETTERS_OF_A_TOKEN = 4


@define(eq=False)
class Attempts:
    """What has become of one call so far.

    Attributes:
        call: What is asked of each deployment.
        group: The name that was asked for.
        until_s: When it is too late, by the loop's clock; None for never.
        prompt_tokens: About how many tokens its messages are.
        tried: Those that were asked.
        said: What became of that.
        waiting: The groups to ask, the one that is being asked first.
        seen: The names of all that are or were to be asked.
        asked: The groups that were asked.
        error: What the last one raised.
        passing: The last error that may pass.
        is_begun: Whether an event was handed on.
        is_answered: Whether the answer is whole.
    """

    call: Call
    group: str
    until_s: float | None = None
    prompt_tokens: int = 0
    tried: list[Deployment] = field(factory=list)
    said: list[dict[str, Any]] = field(factory=list)
    waiting: list[Group] = field(factory=list)
    seen: set[str] = field(factory=set)
    asked: list[Group] = field(factory=list)
    error: APIError | None = None
    passing: APIError | None = None
    is_begun: bool = False
    is_answered: bool = False

    def failed(self, lease: Lease, error: APIError) -> None:
        """Take note of what a deployment said."""
        deployment = lease.deployment
        self.tried.append(deployment)
        self.error = error
        if error.failure.is_transient:
            self.passing = error
        told = {"group": deployment.group, "deployment": deployment.id, "model": deployment.model}
        self.said.append({**told, "kind": str(error.failure.kind), "error": error.message})

    def call_to(self, group: Group) -> Call:
        """Return the call for a group: what it says of an address or a key is for the first alone.

        A fallback is another host, to which a key of the first must not be sent.
        """
        if group is self.asked[0]:
            return self.call
        headers = {n: v for n, v in self.call.headers.items() if not isinstance(v, Secret)}
        return evolve(self.call, api_base=None, api_key=None, headers=headers)

    def notes(self, lease: Lease) -> dict[str, Any]:
        """Return what the answer is to say of how it came about."""
        return {
            "model_group": self.group,
            "served_group": lease.deployment.group,
            "deployment": lease.deployment.id,
            "attempted": self.said,
            "fallback_used": lease.deployment.group != self.group,
        }

    def taken(self) -> APIError | None:
        """Return the error to raise, if any, and forget all.

        A raised error that is still held here would hold itself, by way of its traceback.
        """
        error, passing, self.error, self.passing = self.error, self.passing, None, None
        if error is None or passing is None:
            return error
        # What a fallback has against the request says nothing of the group that was asked for.
        is_final = not is_worth_another(error) and self.tried[-1].group == self.group
        return error if is_final else passing


class Meter:
    """Counts what one request takes: as the provider says or, where it says nothing, by letters.

    Args:
        attempts: The call.
        lease: The request.
        is_read: Whether anybody wants to know.
    """

    def __init__(self, attempts: Attempts, lease: Lease, *, is_read: bool) -> None:
        self._prompt = prompt_tokens(attempts.call) if is_read else 0
        self._is_read, self._letters = is_read, 0
        self._told: int | None = None
        self.is_refused = False

    def read(self, event: Event) -> None:
        """Take an event into account."""
        if not self._is_read:
            return
        if (usage := event.get("usage")) is not None:
            self._told = usage.get("total_tokens")
        for choice in event.get("choices") or ():
            said = choice.get("delta") or choice.get("message") or {}
            self._letters += len(said.get("content") or "")

    def spent(self) -> int:
        """Return the tokens; none for a request that was refused."""
        if self._told is not None:
            return self._told
        return 0 if self.is_refused else self._prompt + self._letters // LETTERS_OF_A_TOKEN


def prompt_tokens(call: Call) -> int:
    """Return about how many tokens the messages are."""
    size = sum(len(str(message.get("content") or "")) for message in call.messages)
    return size // LETTERS_OF_A_TOKEN


def is_callers(asked: Call, error: APIError) -> bool:
    """Tell whether a failure is that of the key or the address that the call itself brought."""
    if asked.api_base is not None:
        return True
    has_key = asked.api_key is not None or any(
        isinstance(value, Secret) for value in asked.headers.values()
    )
    return has_key and error.failure.kind in ITS_OWN_FAULT


def all_resting(call: Call, group: Group, wait_s: float) -> APIError:
    """Return the error for a group that cannot be asked now: what its members last said."""
    failures = [d.last_failure for d in group.deployments if d.last_failure is not None]
    said = "; ".join(dict.fromkeys(failure.detail for failure in failures))[:300]
    detail = f"no deployment of group {group.name!r} may be asked for the next {wait_s:.1f} s"
    detail += f": {said}" if said else ", by their limits"
    failure = Failure(kind=FailureKind.RATE_LIMIT, detail=detail, retry_after_s=wait_s)
    return RateLimitError(
        f"router/{call.model}: {detail}", llm_provider=PROVIDER, model=call.model, failure=failure
    )


def too_late(model: str, group: Group, total_s: float | None) -> Timeout:
    """Return the error for a call that waited for a free deployment as long as it may take."""
    said = (
        f"no deployment of group {group.name!r} was free within the {total_s:g} s of the call's "
        "timeout; allow more time, or raise max_parallel_requests"
    )
    return Timeout(
        f"router/{model}: {said}",
        llm_provider=PROVIDER,
        model=model,
        failure=Failure(kind=FailureKind.TIMEOUT, detail=said),
    )

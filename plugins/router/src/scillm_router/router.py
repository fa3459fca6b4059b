"""The Router: a list of deployments, and the calls of a kernel over it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from math import inf
from typing import TYPE_CHECKING, Any

from attrs import evolve

import scillm
from scillm import BadRequestError, EmbeddingResponse, Kernel, Response
from scillm.plugins import DEFAULT_ORDER
from scillm_router.budget import Budget, OnExhaust
from scillm_router.deployments import Deployment, digest_of, read
from scillm_router.fallbacks import Fallbacks, read_fallbacks, warn_of_strangers
from scillm_router.fan import Items, each
from scillm_router.groups import Group
from scillm_router.health import Clock, Health
from scillm_router.plan import ORDER, RoutePlan
from scillm_router.requests import arguments
from scillm_router.results import Slot
from scillm_router.strategies import DEFAULT, Strategy

if TYPE_CHECKING:
    from scillm_router.shared import Shared

_JSON = ("json_object", "json_schema")


class Router:
    """Calls several deployments by one name; answers, errors and streams are those of a kernel.

    A group's name is asked of its deployments of the lowest ``order``, one chosen by the
    strategy; what failed is left alone for a while and the next is asked at once. Retries,
    caching and whatever else is installed lies around that. Safe for threads and event loops.

    Args:
        model_list: Entries ``{"model_name", "litellm_params", "model_info"}``; several of one
            ``model_name`` make a group. One whose model is empty is left out. None: no group,
            so that calls name their provider.
        fallbacks: ``[{"group": ["another", "provider/model"]}]``: whom to ask when a group has
            nobody left; ``"*"`` stands for every group.
        context_window_fallbacks: The same, for messages that are too long.
        content_policy_fallbacks: The same, for content that is refused.
        num_retries: How often a call is made again when no deployment is left; needs a plugin
            that takes ``max_retries``. None: that plugin's own default.
        retry_after: Seconds of the first wait, for that plugin.
        timeout: Seconds for one request.
        cooldown_time: Seconds that a deployment is left alone after a failure, unless its
            provider asks for more.
        cooldown: Another name of *cooldown_time*, which wins.
        allowed_fails: Failures in a row that it may have before that.
        routing_strategy: ``"simple-shuffle"``, ``"least-busy"``, ``"latency-based-routing"``,
            ``"ordered"``, the name of a plugin's, or a plugin.
        deterministic: Temperature 0, one at a time, always the first deployment that may be
            asked, ``SCILLM_DETERMINISTIC_SEED`` as the seed where none is given.
        redis_url: Redis by which processes share who rests and what was sent; None takes the
            environment's ``REDIS_URL`` or ``REDIS_HOST``, and none without them.
        kernel: Whose plugins to use; the default one if None.
        clock: Tells seconds that never go back.

    Raises:
        BadRequestError: A model list, a fallback or a strategy that cannot be understood.
    """

    def __init__(  # noqa: PLR0913  # the names that users know
        self,
        model_list: Iterable[Mapping[str, Any]] | None = None,
        *,
        fallbacks: Any = None,
        context_window_fallbacks: Any = None,
        content_policy_fallbacks: Any = None,
        num_retries: int | None = None,
        retry_after: float | None = None,
        timeout: float | None = None,
        cooldown_time: float = 5.0,
        cooldown: float | None = None,
        allowed_fails: int = 0,
        routing_strategy: str | Any = DEFAULT,
        deterministic: bool = False,
        redis_url: str | None = None,
        kernel: Kernel | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        within = kernel or scillm.kernel()
        models = list(model_list or ())
        around = [p for p in within.plugins.active() if _order(p) < ORDER]
        of_calls = frozenset(s.option for p in around for s in getattr(p, "SETTINGS", ()))
        deployments = read(models, within.plugins.options, of_calls)
        names = dict.fromkeys(deployment.group for deployment in deployments)
        given = {
            "fallbacks": fallbacks,
            "context_window_fallbacks": context_window_fallbacks,
            "content_policy_fallbacks": content_policy_fallbacks,
        }
        tables = {name: read_fallbacks(value, name, names) for name, value in given.items()}
        for name, table in tables.items():
            warn_of_strangers(table, name, names)
        groups = {name: _group(name, deployments, tables["fallbacks"]) for name in names}
        wait_s = _cooldown_s(cooldown_time if cooldown is None else cooldown)
        health = Health(wait_s, allowed_fails, clock, groups.values())
        self.model_list = [entry for entry in models if entry["litellm_params"]["model"]]
        self.is_deterministic = deterministic
        self.plan = RoutePlan(
            groups=groups,
            beneath=within.beneath(ORDER - 1),
            health=health,
            strategy=Strategy("ordered" if deterministic else routing_strategy, clock=clock),
            fallbacks=tables,
            shared=_shared(redis_url, groups.values(), health),
            timeout_s=timeout,
            is_deterministic=deterministic,
        )
        self._kernel = Kernel.of(*around, self.plan)
        self._given = {"max_retries": num_retries, "retry_after": retry_after, "timeout": timeout}
        self._check_retries()

    async def acompletion(self, model: str | None = None, messages: Any = (), **given: Any) -> Any:
        """Ask a group, or a model whose provider is named; as ``scillm.acompletion``."""
        return await self._kernel.acompletion(model, messages, **self._arguments(given))

    def completion(self, model: str | None = None, messages: Any = (), **given: Any) -> Any:
        """Ask a group from sync code; as ``scillm.completion``."""
        return self._kernel.completion(model, messages, **self._arguments(given))

    async def aembedding(self, model: str, input: Any, **given: Any) -> EmbeddingResponse:  # noqa: A002  # OpenAI's name
        """Ask a group for vectors; as ``scillm.aembedding``."""
        return await self._kernel.aembedding(model, input, **self._arguments(given))

    def embedding(self, model: str, input: Any, **given: Any) -> EmbeddingResponse:  # noqa: A002  # OpenAI's name
        """Ask a group for vectors from sync code; as ``scillm.embedding``."""
        return self._kernel.embedding(model, input, **self._arguments(given))

    async def parallel_acompletions(
        self,
        requests: Items,
        concurrency: int = 8,
        *,
        preserve_order: bool = True,
        return_exceptions: bool = True,
        max_concurrency: int | None = None,
    ) -> list[Slot]:
        """Make many calls, so many at a time; one slot per request.

        Args:
            requests: Mappings of arguments of ``acompletion``, or ``RouterParallelRequest``;
                from a list, a generator, or an async iterator.
            concurrency: The most calls under way; 1 for a deterministic Router.
            preserve_order: Whether slots are in the order of the requests, or as they came.
            return_exceptions: Whether a failure fills its slot; else the first one is raised
                at once, and the rest is cancelled.
            max_concurrency: Another name for *concurrency*, which wins.

        Returns:
            Slots: ``index``, ``request``, ``response``, ``error``, ``content``, and a mapping in
            OpenAI's shape.
        """
        found = []
        slots = self._slots(requests, concurrency if max_concurrency is None else max_concurrency)
        async with aclosing(slots):
            async for slot in slots:
                if slot.error is not None and not return_exceptions:
                    raise slot.error
                found.append(slot)
        return sorted(found, key=lambda slot: slot.index) if preserve_order else found

    async def parallel_as_completed(
        self, requests: Items, concurrency: int = 8
    ) -> AsyncGenerator[Slot, None]:
        """Make many calls, so many at a time; yields a slot for each as it is ready.

        Requests are read as they are needed, and no slot is kept.
        """
        async with aclosing(self._slots(requests, concurrency)) as slots:
            async for slot in slots:
                yield slot

    def set_budget(
        self,
        max_tokens: int | None = None,
        max_requests: int | None = None,
        on_exhaust: OnExhaust = "error",
        hard: bool = True,  # noqa: FBT001, FBT002  # the signature that users know
    ) -> Budget:
        """Limit what this Router may spend from now on; counted as it is spent.

        Args:
            max_tokens: Tokens, as providers count them; looked at before each request.
            max_requests: Requests, each attempt counted.
            on_exhaust: ``"error"``, ``"warn"``, or a function that is called once.
            hard: Whether a request beyond it raises BudgetExceeded, which is a RuntimeError.

        Returns:
            The budget, whose ``tokens`` and ``requests`` say what was spent.
        """
        budget = Budget(max_tokens, max_requests, on_exhaust, hard=hard)
        self.plan.budget[:] = [budget]
        return budget

    async def aclose(self) -> None:
        """Give back the connections to Redis; all others belong to the kernel that is used."""
        if self.plan.shared is not None:
            await self.plan.shared.aclose()

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Router holds locks and connections, so it cannot be pickled or copied: "
            "make one in each process, from the same model_list"
        )

    async def __aenter__(self) -> Router:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def _slots(self, requests: Items, concurrency: int) -> AsyncGenerator[Slot, None]:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise BadRequestError(f"concurrency={concurrency!r} must be a whole number, 1 or more")
        return each(requests, self._slot, 1 if self.is_deterministic else concurrency)

    async def _slot(self, index: int, request: Any) -> Slot:
        begun_s = time.perf_counter()
        slot = Slot(index, request)
        try:
            given = arguments(request)
            slot = evolve(slot, is_json=_asks_for_json(given))
            slot = evolve(slot, response=await self._whole(given))
        except Exception as error:  # noqa: BLE001  # one request lost must not lose the rest
            slot = evolve(slot, error=error)
        return evolve(slot, timing_ms=(time.perf_counter() - begun_s) * 1000)

    async def _whole(self, given: dict[str, Any]) -> Response:
        answer = await self.acompletion(**given)
        if isinstance(answer, Response):
            return answer
        async with answer:
            async for _ in answer:
                pass
        response: Response = answer.response
        return response

    def _arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        known = {n: v for n, v in self._given.items() if v is not None}
        if "num_retries" in given:
            known.pop("max_retries", None)
        return {**known, **given}

    def _check_retries(self) -> None:
        for name, is_wanted in (
            ("max_retries", bool(self._given["max_retries"])),
            ("retry_after", self._given["retry_after"] is not None),
        ):
            if name in self._kernel.plugins.options:
                continue
            if is_wanted:
                raise BadRequestError(
                    f"no installed plugin retries, so {name.replace('max', 'num')} has no meaning: "
                    "install scillm-retry, or leave it out"
                )
            self._given[name] = None


def _group(name: str, deployments: Sequence[Deployment], fallbacks: Fallbacks) -> Group:
    mine = [deployment for deployment in deployments if deployment.group == name]
    others = fallbacks.get(name, fallbacks.get("*", ()))
    return Group(name, mine, any(other != name for other in others), digest_of(mine))


def _shared(url: str | None, groups: Iterable[Group], health: Health) -> Shared | None:
    from scillm_redis_store import RedisStore

    redis = RedisStore("scillm.router", url, health.clock)
    if not redis.is_configured:
        return None
    from scillm_router.shared import Shared  # only who shares pays for it

    return Shared(redis, groups, health)


def _cooldown_s(seconds: Any) -> float:
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not 0 <= seconds < inf:
        raise BadRequestError(f"cooldown_time={seconds!r} is not a time: give seconds, 0 or more")
    return float(seconds)


def _order(plugin: Any) -> int:
    order: int = getattr(plugin, "ORDER", DEFAULT_ORDER)
    return order


def _asks_for_json(given: Mapping[str, Any]) -> bool:
    if given.get("json_schema") is not None:
        return True
    asked = given.get("response_format")
    return asked.get("type") in _JSON if isinstance(asked, Mapping) else asked is not None

"""One item answered: asked, checked, asked again with what was wrong, and told as a row."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import define, field, frozen

import scillm
from scillm import APIError, BadRequestError, InvalidResponse, UnprocessableEntityError
from scillm_batch.items import Arguments, BatchError, Item
from scillm_batch.rows import Failed, Row

_CORRECT = "That cannot be used: {why}. Answer again, with the corrected JSON and nothing else."
_DESCRIBE = (
    "Answer with one JSON value that conforms to this JSON Schema, and nothing else: {schema}"
)
_PATIENCE = {"max_retries": 10, "retry_time_budget_s": 3600.0}  # nobody waits for one answer
_FORMS = ("json_schema", "json_object", "text")
_REFUSED = (BadRequestError, UnprocessableEntityError)


class OtherModel(InvalidResponse):
    """The answer names another model than the one that the run is for."""


@frozen(kw_only=True)
class Job:
    """What is done with every item of a run. Can be pickled, if its parts can.

    Attributes:
        model: Whom every item asks; None leaves it to the items.
        defaults: Arguments of calls that hold unless an item says otherwise.
        router: A Router, or the arguments of one; None asks without.
        schema: JSON Schema that each answer must fit.
        max_repairs: How often an answer that does not fit is asked for again.
        exact_model: Whether nobody but the named model may answer; a text is the name that its
            provider gives it, if that is another.
        concurrency: The most calls under way.
        is_adaptive: Whether fewer are under way while the gateway refuses some.
    """

    model: str | None = None
    defaults: Arguments = field(factory=dict, repr=False)
    router: Any = field(default=None, repr=False)
    schema: Mapping[str, Any] | None = None
    max_repairs: int = 1
    exact_model: bool | str = False
    concurrency: int = 8
    is_adaptive: bool = True

    def asked(self, item: Item) -> dict[str, Any]:
        """Return the arguments of the call for *item*, but for what the run itself adds."""
        arguments = {**self.defaults, **item.arguments}
        if self.model is not None:
            arguments["model"] = self.model
        if self.schema is not None:
            arguments["json_schema"] = self.schema
        return arguments


@define
class _Tally:
    """What all requests for one item came to."""

    attempts: int = 0
    usage: dict[str, int] = field(factory=dict)
    cost: float | None = None

    def answered(self, answer: Any) -> None:
        raw = answer._raw  # noqa: SLF001  # reading it through views would cost more than the rest
        notes = answer.additional_kwargs.get("router") or {}
        retries = notes.get("retries") or {}
        self.attempts += int(retries.get("attempts") or 1) + len(notes.get("attempted") or ())
        for name, count in (raw.get("usage") or {}).items():
            if isinstance(count, int):
                self.usage[name] = self.usage.get(name, 0) + count
        cost = raw.get("cost")
        if isinstance(cost, (int, float)):
            self.cost = (self.cost or 0.0) + cost

    def failed(self, error: Exception) -> None:
        retries = getattr(error, "retries", None) or {}
        tried = len(getattr(error, "attempted", None) or ()) or 1
        self.attempts += int(retries.get("attempts") or tried)


class Worker:
    """Answers items as a job says. For one event loop.

    Args:
        job: What is done.
        on_attempt: Told of each attempt that failed and is made again.

    Raises:
        BatchError: The job needs a plugin that is not installed.
    """

    def __init__(
        self, job: Job, on_attempt: Callable[[Mapping[str, Any]], object] | None = None
    ) -> None:
        self._job = job
        self._door = _door(job)
        known = scillm.kernel().plugins.options
        _check(job, known)
        more: dict[str, Any] = {"auto_json_sanitize": True, "retry_meta": True, **_PATIENCE}
        if on_attempt is not None:
            more["on_attempt"] = on_attempt
        if job.exact_model:
            more["tenacious"] = True
        self._more = {name: value for name, value in more.items() if name in known}
        if job.exact_model and job.router is not None:
            self._more["disable_fallbacks"] = True
        self._form: dict[str, int] = {}
        self._exact: dict[str, str] = {}

    def resting(self) -> list[str]:
        """Return the deployments of the Router that nobody asks now, since they failed."""
        plan = getattr(self._door, "plan", None)
        if plan is None:
            return []
        every = (each for group in plan.groups.values() for each in group.deployments)
        return [each.id for each in every if plan.health.wait_s([each]) > 0]

    async def answer(self, item: Item, digest: str) -> Row:
        """Return the row of an item, whatever becomes of it."""
        started_at, begun_s = time.time(), time.perf_counter()
        tally, found = _Tally(), {}
        try:
            found = _found(await self._answered(item, tally), item)
        except Exception as error:  # noqa: BLE001  # one item lost must not lose the rest
            found = {"error": Failed.of(error)}
        duration_ms = round((time.perf_counter() - begun_s) * 1000, 3)
        return Row(
            item_id=item.id,
            index=item.index,
            request_hash=digest,
            attempts=tally.attempts,
            usage=tally.usage or None,
            cost=tally.cost,
            timings={"started_at": round(started_at, 3), "duration_ms": duration_ms},
            **found,
        )

    async def _answered(self, item: Item, tally: _Tally) -> Any:
        arguments = {**self._more, **self._job.asked(item)}
        if item.operation == "embedding":
            return await self._once(self._door.aembedding, arguments, tally)
        repairs = self._job.max_repairs
        while True:
            try:
                return await self._formed(arguments, tally)
            except InvalidResponse as error:
                raw = getattr(error, "raw", None)
                if repairs <= 0 or not raw:
                    raise
                repairs -= 1
                arguments["messages"] = [
                    *arguments["messages"],
                    {"role": "assistant", "content": raw},
                    {"role": "user", "content": _CORRECT.format(why=error.failure.detail)},
                ]

    async def _formed(self, arguments: dict[str, Any], tally: _Tally) -> Any:
        """Ask for JSON in the best way that the model is known to take; learn which that is."""
        if "json_schema" not in arguments or "response_format" in arguments:
            return await self._once(self._door.acompletion, arguments, tally)
        model = str(arguments.get("model") or "")
        first: APIError | None = None
        for place in range(self._form.get(model, 0), len(_FORMS)):
            try:
                answer = await self._once(
                    self._door.acompletion, _in_form(arguments, _FORMS[place]), tally
                )
            except _REFUSED as error:
                first = first or error
                continue
            self._form[model] = max(place, self._form.get(model, 0))
            return answer
        assert first is not None
        raise first

    async def _once(
        self, ask: Callable[..., Awaitable[Any]], arguments: dict[str, Any], tally: _Tally
    ) -> Any:
        try:
            answer = await ask(**arguments)
        except Exception as error:
            partial = getattr(error, "partial", None)
            if getattr(error, "raw", None) and partial is not None:
                tally.answered(partial)
            else:
                tally.failed(error)
            raise
        tally.answered(answer)
        if exact := self._job.exact_model:
            _check_model(
                answer, exact if isinstance(exact, str) else self._named(arguments, answer)
            )
        return answer

    def _named(self, arguments: Mapping[str, Any], answer: Any) -> str:
        """Return the one model that may answer; of a Router's group, the first that did."""
        model = "" if answer.served_by is None else str(answer.served_by.model)
        if self._job.router is None:
            return model
        return self._exact.setdefault(str(arguments.get("model")), model)


def _door(job: Job) -> Any:
    """Return who has ``acompletion`` and ``aembedding``."""
    if job.router is None:
        return scillm
    if not isinstance(job.router, Mapping):
        return job.router
    from scillm import Router  # whoever brings it; if nobody, a hint

    return Router(**job.router)


def _check(job: Job, known: frozenset[str]) -> None:
    wanted = {"json_schema": job.schema is not None, "tenacious": bool(job.exact_model)}
    brings = {"json_schema": "scillm-json-mode", "tenacious": "scillm-retry"}
    for option, is_wanted in wanted.items():
        if is_wanted and option not in known:
            raise BatchError(
                f"this run needs a plugin that takes {option!r}, and none is active: "
                f"pip install {brings[option]}, and see `scillm plugins`"
            )


def _in_form(arguments: dict[str, Any], form: str) -> dict[str, Any]:
    if form == "json_schema":
        return arguments
    schema = json.dumps(arguments["json_schema"])
    say = {"role": "system", "content": _DESCRIBE.format(schema=schema)}
    messages = [say, *arguments["messages"]]
    return {**arguments, "messages": messages, "response_format": {"type": form}}


def _check_model(answer: Any, wanted: str) -> None:
    if answer.get("model") != wanted:
        raise OtherModel(
            f"the answer is from the model {answer.get('model')!r}, and the run is for {wanted!r} "
            "alone; if both are the same, give the provider's own name of it as exact_model",
            partial=answer,
        )


def _found(answer: Any, item: Item) -> dict[str, Any]:
    """Return what an answer puts into its row."""
    served, by = answer.served_by, None
    if served is not None:
        by = {"provider": served.provider, "model": served.model, "base_url": served.base_url}
        by["reported_model"] = answer.get("model")
        if deployment := (answer.additional_kwargs.get("router") or {}).get("deployment"):
            by["deployment"] = deployment
    content = answer.text if item.operation == "chat" else None
    return {
        "response": answer._raw,  # noqa: SLF001  # copying it would cost more than all of this
        "content": content,
        "parsed": _parsed(content),
        "served_by": by,
    }


def _parsed(content: str | None) -> Any:
    """Return the JSON that the text is, if it may be one."""
    if not content or content.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)

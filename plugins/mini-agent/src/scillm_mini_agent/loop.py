"""The loop: a model is asked, the tools that it calls for are called, it is told the results.

So on until it answers, or a bound is reached. Nothing is invented: an answer is what the model
said, and each result is what a tool gave.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field

from scillm import APIError, BadRequestError
from scillm_mini_agent import asking, history
from scillm_mini_agent.dispatch import Asked, Dispatch
from scillm_mini_agent.spending import Spending
from scillm_mini_agent.tools import MCPInvoker, NoTools
from scillm_mini_agent.traces import store
from scillm_mini_agent.values import AgentConfig, AgentRunResult, IterationRecord

if TYPE_CHECKING:
    from scillm import Kernel

Say = Callable[[str], None]
_UNSURE = re.compile(
    r"\b(?:i(?:'| a)m not (?:sure|certain)|i (?:do not|don't) know|unsure|cannot (?:tell|say)"
    r"|can't (?:tell|say))\b",
    re.IGNORECASE,
)
_LOOK_IT_UP = "You say that you are not sure. Look it up with a tool, then answer."
_ANSWER_NOW = (
    "No more tools can be used. Answer now from what stands above, and say what is missing."
)


async def arun_mcp_mini_agent(
    messages: Iterable[Mapping[str, Any]],
    mcp: MCPInvoker | None = None,
    cfg: AgentConfig | None = None,
    *,
    kernel: Kernel | None = None,
    say: Say | None = None,
) -> AgentRunResult:
    """Run the agent.

    Args:
        messages: Chat messages, oldest first; they are not changed.
        mcp: The tools; None has none. They are offered only where ``cfg.use_tools`` says so.
        cfg: How the run goes, and when it ends; None takes the defaults.
        kernel: What models are asked through; None takes the process's own.
        say: Called with each piece of what the model says, as it comes.

    Returns:
        The conversation, the answer, why the run ended, and a record of each turn.

    Raises:
        APIError: The model could not be asked; ``agent_result`` on it holds what was done before.
        BadRequestError: The tools cannot be listed, or the settings ask for what there is not.
    """
    config = cfg or AgentConfig()
    if config.auto_run_code_on_code_block:
        raise BadRequestError(
            "auto_run_code_on_code_block is refused: code of a model is run in a sandbox or not "
            "at all, and there is no sandbox in this version"
        )
    conversation = [asking.plain_message(message) for message in messages]
    if not conversation:
        raise BadRequestError("messages is empty: there is nothing to ask")
    run = _Run(conversation, mcp or NoTools(), config, asking.asker(kernel), say)
    return await run.finished()


def run_mcp_mini_agent(
    messages: Iterable[Mapping[str, Any]],
    mcp: MCPInvoker | None = None,
    cfg: AgentConfig | None = None,
    **more: Any,
) -> AgentRunResult:
    """Run the agent from sync code; see ``arun_mcp_mini_agent``. Also within a running loop."""
    work = arun_mcp_mini_agent(messages, mcp, cfg, **more)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    from concurrent.futures import ThreadPoolExecutor  # only within a loop, as in a notebook

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


class _Stopped(Exception):
    """The run ends here."""

    def __init__(self, reason: str, detail: str = "", answer: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.detail, self.answer = reason, detail, answer


@define
class _Run:
    """One run, from the question to its end."""

    messages: list[dict[str, Any]]
    tools: MCPInvoker
    config: AgentConfig
    ask: asking.Ask
    say: Say | None
    spending: Spending = field(init=False)
    records: list[IterationRecord] = field(factory=list)
    hops: int = 0
    has_spoken: bool = False
    used_model: str | None = None
    is_escalated: bool = False

    def __attrs_post_init__(self) -> None:
        self.spending = Spending(self.config, time.monotonic)

    async def finished(self) -> AgentRunResult:
        """Run to the end, whichever it is; a trace is left of each."""
        try:
            stopped = await self._stopped()
        except asyncio.CancelledError:
            self._traced(_Stopped("cancelled", "the caller cancelled it"))
            raise
        except APIError as error:
            result = self._traced(_Stopped("error", error.message))
            error.agent_result = result  # type: ignore[attr-defined]  # what was done before
            raise
        return self._traced(stopped)

    def _traced(self, stopped: _Stopped) -> AgentRunResult:
        """Return the result; it is stored as well, if traces are."""
        result = self._result(stopped)
        store(result, self.config)
        return result

    async def _stopped(self) -> _Stopped:
        if not self.config.use_tools:
            return await self._looped({})
        try:
            await self._in_time(self.tools.__aenter__())
        except TimeoutError:
            return _Stopped("budget", self.spending.over() or "the tools were not ready in time")
        try:
            try:
                specs = await self._in_time(self._offered())
            except TimeoutError:
                return _Stopped("budget", "the tools were not listed in time")
            return await self._looped(specs)
        finally:
            await self.tools.__aexit__(None, None, None)

    async def _offered(self) -> dict[str, Mapping[str, Any]]:
        """Return the tools that the model may call, by name.

        Raises:
            BadRequestError: One is allowed that is not there.
        """
        specs: dict[str, Mapping[str, Any]]
        specs = {s["function"]["name"]: s for s in await self.tools.list_openai_tools()}
        allowed = self.config.allowed_tools
        if allowed is None:
            return specs
        if unknown := sorted(set(allowed) - set(specs)):
            raise BadRequestError(
                f"allowed_tools names {unknown[0]!r}, which is not there; there are: "
                f"{', '.join(sorted(specs)) or 'none'}"
            )
        return {name: specs[name] for name in allowed}

    async def _looped(self, specs: dict[str, Mapping[str, Any]]) -> _Stopped:
        dispatch = Dispatch(self.tools, self.config, self.config.model, specs)
        stopped = await self._turned(dispatch)
        return await self._escalated() if self._is_to_escalate(stopped) else stopped

    async def _turned(self, dispatch: Dispatch) -> _Stopped:
        try:
            for _ in range(self.config.max_iterations):
                if over := self.spending.over():
                    return _Stopped("budget", over)
                await self._turn(dispatch)
        except _Stopped as stopped:
            return stopped
        return _Stopped("max_iterations", f"no answer within {self.config.max_iterations} turns")

    async def _turn(self, dispatch: Dispatch) -> None:
        """Ask once, and make the tool calls; raises _Stopped if that is the end."""
        reply = await self._asked(self.config.model, list(dispatch.specs.values()))
        if not reply.calls:
            self._ended(reply, has_tools=bool(dispatch.specs))
            return
        calls = [Asked.of(index, call) for index, call in enumerate(reply.calls)]
        self.messages[-1]["tool_calls"] = [call.wire() for call in calls]
        dispatch.model = reply.model
        made = self.records[-1].tool_invocations
        try:
            made.extend(await dispatch.make(calls, self.spending.left_s))
        finally:  # a conversation with a call and no result is one that no host takes
            given = [record["result"] for record in made]
            given += ["not finished: the run was cancelled"] * (len(calls) - len(given))
            for call, result in zip(calls, given, strict=True):
                self.messages.append(
                    {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": result}
                )
        if dispatch.is_stuck:
            raise _Stopped("repeated_calls", "the model repeats a call whose results it has")
        failures = [record["error"] for record in made if not record["ok"]]
        if failures and not self.config.enable_repair:
            raise _Stopped("tool_error", failures[0] or "a tool failed")

    def _ended(self, reply: asking.Reply, *, has_tools: bool) -> None:
        """End the run by an answer, unless it is sent back to be looked up."""
        text = reply.content
        if not text:
            raise _Stopped("no_answer", f"the model said nothing ({reply.finish_reason})")
        is_unsure = has_tools and self.config.research_on_unsure and _UNSURE.search(text)
        if is_unsure and self.hops < self.config.max_research_hops:
            self.hops += 1
            self.messages.append({"role": "user", "content": _LOOK_IT_UP})
            return
        raise _Stopped("success", answer=text)

    async def _asked(self, model: str | None, specs: list[Mapping[str, Any]]) -> asking.Reply:
        """Ask the model; the turn is recorded whatever comes of it."""
        sent = history.sent(
            self.messages,
            most=self.config.max_history_messages,
            most_chars=self.config.hard_char_budget,
        )
        arguments = dict(self.config.completion_kwargs) | ({"tools": specs} if specs else {})
        begun_s = time.perf_counter()
        error: str | None = None
        reply: asking.Reply | None = None
        try:
            reply = await self._in_time(self.ask(model, sent, arguments, self._said()))
        except TimeoutError:
            error = self.spending.over() or "the time of the run is over"
            raise _Stopped("budget", error) from None
        except APIError as failure:
            error = failure.message
            raise
        finally:
            took_ms = (time.perf_counter() - begun_s) * 1000
            left_out = len(self.messages) - len(sent)
            self.records.append(_record(reply, model, took_ms, left_out, error))
        self.used_model = reply.model
        self.spending.add(reply.usage, reply.cost_usd)
        self.messages.append({"role": "assistant", "content": reply.content})
        return reply

    def _said(self) -> Say | None:
        """Return what hands on the words of one turn, apart from those of earlier ones."""
        say, gap = self.say, "\n\n" if self.has_spoken else ""
        if say is None:
            return None

        def turn(text: str) -> None:
            nonlocal gap
            say(gap + text)
            gap, self.has_spoken = "", True

        return turn

    def _is_to_escalate(self, stopped: _Stopped) -> bool:
        asked_for = self.config.escalate_on_budget_exceeded and self.config.escalate_model
        return bool(asked_for) and stopped.reason in ("budget", "max_iterations")

    async def _escalated(self) -> _Stopped:
        """Ask the other model for an answer, without tools, from what was found so far."""
        self.spending.extend()
        self.is_escalated = True
        if self.messages[-1]["role"] != "user":
            self.messages.append({"role": "user", "content": _ANSWER_NOW})
        try:
            reply = await self._asked(self.config.escalate_model, [])
        except _Stopped as stopped:
            return stopped
        if not reply.content:
            return _Stopped("no_answer", f"the model said nothing ({reply.finish_reason})")
        return _Stopped("success", answer=reply.content)

    async def _in_time(self, work: Any) -> Any:
        """Await, within what is left to the run.

        Raises:
            TimeoutError: The time is over.
        """
        try:
            return await asyncio.wait_for(work, self.spending.left_s())
        except asyncio.TimeoutError:  # another class before Python 3.11
            raise TimeoutError from None

    def _result(self, stopped: _Stopped) -> AgentRunResult:
        return AgentRunResult(
            messages=self.messages,
            final_answer=stopped.answer,
            stopped_reason=stopped.reason,
            iterations=self.records,
            stopped_detail=stopped.detail,
            used_model=self.used_model,
            is_escalated=self.is_escalated,
            usage=self.spending.usage,
            cost_usd=self.spending.cost_usd,
            total_ms=self.spending.took_s() * 1000,
        )


def _record(
    reply: asking.Reply | None,
    model: str | None,
    took_ms: float,
    left_out: int,
    error: str | None,
) -> IterationRecord:
    return IterationRecord(
        router_call_ms=took_ms,
        model=reply.model if reply else model,
        content=reply.content if reply else None,
        finish_reason=reply.finish_reason if reply else None,
        usage=reply.usage if reply else None,
        cost_usd=reply.cost_usd if reply else None,
        left_out_messages=left_out,
        error=error,
    )

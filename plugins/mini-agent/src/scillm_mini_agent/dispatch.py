"""One turn's tool calls: checked, made, bounded in time and length; each becomes a record."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from scillm_mini_agent.schemas import complaint
from scillm_mini_agent.tools import MCPInvoker, ToolOutput, failed, read_output
from scillm_mini_agent.values import AgentConfig

REFUSALS_OF_A_REPEATED_CALL = 1


@frozen
class Asked:
    """One tool call as the model wrote it."""

    index: int
    id: str
    name: str
    raw: str

    @classmethod
    def of(cls, index: int, call: Mapping[str, Any]) -> Asked:
        """Read a call out of an assistant's message; hosts leave out what they like."""
        function = call.get("function") or {}
        raw = function.get("arguments")
        text = raw if isinstance(raw, str) else json.dumps({} if raw is None else raw)
        call_id = str(call.get("id") or f"call_{index}")
        return cls(index=index, id=call_id, name=str(function.get("name") or ""), raw=text)

    def wire(self) -> dict[str, Any]:
        """Return it in OpenAI's shape."""
        function = {"name": self.name, "arguments": self.raw}
        return {"id": self.id, "type": "function", "function": function}


@define
class Dispatch:
    """Makes the tool calls of a run, and remembers which were made.

    Attributes:
        tools: Who is called.
        config: The bounds.
        model: Whom the records name.
        specs: What was offered, by name; nothing else is called.
    """

    tools: MCPInvoker
    config: AgentConfig
    model: str | None
    specs: Mapping[str, Mapping[str, Any]]
    _made: Counter[str] = field(factory=Counter)

    @property
    def is_stuck(self) -> bool:
        """Whether the model asks for the same again after it was told that this leads nowhere."""
        most = self.config.max_identical_calls + REFUSALS_OF_A_REPEATED_CALL
        return any(times > most for times in self._made.values())

    async def make(
        self, calls: Sequence[Asked], left_s: Callable[[], float | None]
    ) -> list[dict[str, Any]]:
        """Make the calls of one turn; return a record and a message for each, in their order.

        Args:
            calls: The calls of a turn.
            left_s: Tells the seconds that are left to the run; None if it has no end.
        """
        room = asyncio.Semaphore(self.config.tool_concurrency)

        async def one(call: Asked) -> dict[str, Any]:
            async with room:
                begun = time.perf_counter()
                arguments, output = await self._made_one(call, left_s)
                return self._record(call, arguments, output, time.perf_counter() - begun)

        tasks = [asyncio.ensure_future(one(call)) for call in calls]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def _made_one(
        self, call: Asked, left_s: Callable[[], float | None]
    ) -> tuple[Any, ToolOutput]:
        arguments, wrong = self._checked(call)
        if wrong is None:
            wrong = self._counted(call, arguments)
        if wrong is not None:
            return arguments, failed(wrong)
        left = left_s()
        if left is not None and left <= 0:
            return arguments, failed("not run: the time of the run is over")
        bound_s = (
            self.config.tool_timeout_sec
            if left is None
            else min(left, self.config.tool_timeout_sec)
        )
        return arguments, await self._bounded(call, arguments, bound_s)

    def _checked(self, call: Asked) -> tuple[Any, str | None]:
        """Return the arguments, and what is wrong with the call."""
        if call.index >= self.config.max_tools_per_iter:
            most = self.config.max_tools_per_iter
            return None, f"not run: at most {most} tool calls are made in one turn; ask again"
        if call.name not in self.specs:
            return None, (
                f"there is no tool {call.name!r}; there are: {', '.join(sorted(self.specs))}"
            )
        try:
            arguments = json.loads(call.raw or "{}")
        except (ValueError, RecursionError) as error:
            return None, f"the arguments are not JSON ({error}): send one JSON object"
        if not isinstance(arguments, dict):
            return None, "the arguments must be one JSON object"
        schema = self.specs[call.name]["function"].get("parameters") or {"type": "object"}
        wrong = complaint(arguments, schema)
        return arguments, wrong and f"the arguments do not fit the tool's schema: {wrong}"

    def _counted(self, call: Asked, arguments: Any) -> str | None:
        key = json.dumps([call.name, arguments], sort_keys=True)
        self._made[key] += 1
        most = self.config.max_identical_calls
        if self._made[key] <= most:
            return None
        return (
            f"not run: this same call was made {most} times already, and its results stand above; "
            "do something else, or answer"
        )

    async def _bounded(self, call: Asked, arguments: Any, bound_s: float) -> ToolOutput:
        """Make one call. One that does not end, even when cancelled, is left behind."""
        wire = {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(arguments)},
        }
        task = asyncio.ensure_future(self.tools.call_openai_tool(wire))
        try:
            await asyncio.wait({task}, timeout=bound_s)
        finally:
            if not task.done():
                task.add_done_callback(_looked_at)
                task.cancel()
        if not task.done() or task.cancelled():
            return failed(
                f"no result within {bound_s:g} s; what it was doing may still be going on"
            )
        if (error := task.exception()) is not None:
            return self._cut(failed(f"{type(error).__name__}: {error}"))
        try:
            return self._cut(read_output(task.result()))
        except (TypeError, ValueError, RecursionError) as wrong:
            return failed(f"the tool gave what cannot be shown: {wrong}")

    def _cut(self, output: ToolOutput) -> ToolOutput:
        most = self.config.max_tool_output_chars
        return ToolOutput(
            text=_cut(output.text, most),
            is_ok=output.is_ok,
            error=output.error and _cut(output.error, most),
            rc=output.rc,
            stdout=output.stdout and _cut(output.stdout, most),
            stderr=output.stderr and _cut(output.stderr, most),
        )

    def _record(
        self, call: Asked, arguments: Any, output: ToolOutput, took_s: float
    ) -> dict[str, Any]:
        return {
            "call_index": call.index,
            "tool_name": call.name,
            "name": call.name,
            "tool_call_id": call.id,
            "arguments_raw": call.raw,
            "arguments": arguments,
            "t_ms": took_s * 1000,
            "model": self.model,
            "ok": output.is_ok,
            "rc": output.rc,
            "result": output.text,
            "stdout": output.stdout,
            "stderr": output.stderr,
            "error": output.error,
        }


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[cut: the first {most} of {len(text)} characters]"


def _looked_at(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()  # so that asyncio does not tell of one that nobody waits for

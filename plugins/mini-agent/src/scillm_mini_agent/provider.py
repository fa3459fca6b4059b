"""The agent behind ``completion()``: the provider ``mini-agent``, whose model is asked in turns."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from attrs import evolve

from scillm import (
    APIError,
    BadRequestError,
    Chunk,
    Failure,
    FailureKind,
    Request,
    Response,
    Route,
    UnsupportedParamsError,
    hookimpl,
)
from scillm.calls import NO_TIMEOUTS_GIVEN
from scillm.doors import OPENAI_PARAMS
from scillm_dialects import openai_chat
from scillm_mini_agent import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from scillm import Call, Event, Kernel, Sender
    from scillm_mini_agent.tools import MCPInvoker
    from scillm_mini_agent.values import AgentConfig, AgentRunResult

URL = "mini-agent:"
_OURS_IN_THE_BODY = "mini_agent"
_ITS_OWN = ("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call")


class MiniAgent:
    """Answers a chat by a run of the agent.

    Args:
        kernel: Returns what the model is asked through; None takes the process's own kernel.
    """

    PROVIDERS = ("mini-agent", "mini_agent")
    SETTINGS = settings.SETTINGS

    def __init__(self, kernel: Callable[[], Kernel] | None = None) -> None:
        self._kernel = kernel

    @hookimpl
    def resolve_model(self, call: Call) -> Route | None:
        """Take ``mini-agent/<model>``, or any name with ``custom_llm_provider="mini-agent"``."""
        name = call.model_for(*self.PROVIDERS)
        if name is None:
            return None
        return Route(provider=self.PROVIDERS[0], model=name)

    @hookimpl
    def prepare_request(self, call: Call, route: Route) -> Request | None:
        """Say what the model will be asked, and how the run goes."""
        if route.provider != self.PROVIDERS[0]:
            return None
        _refuse_what_there_is_not(call)
        route = evolve(route, model=_target(call, route))
        request = openai_chat.request(call, route, key=call.api_key)
        body = {**(request.body or {}), _OURS_IN_THE_BODY: _shown_options(call)}
        return evolve(request, url=URL, body=body)

    @hookimpl
    def send(self, call: Call, request: Request) -> Sender | None:
        """Carry out a request of ours: run the agent."""
        if request.url != URL:
            return None

        async def send(request: Request) -> AsyncGenerator[Event, None]:
            tools, config = _planned(call, request)
            ask = _streamed if request.frames == "sse" else _whole
            kernel = self._kernel() if self._kernel is not None else None
            async with aclosing(ask(request, tools, config, kernel)) as events:
                async for event in events:
                    yield event

        return send


async def _whole(
    request: Request, tools: MCPInvoker, config: AgentConfig, kernel: Kernel | None
) -> AsyncGenerator[Event, None]:
    from scillm_mini_agent.loop import arun_mcp_mini_agent

    messages = _messages(request)
    try:
        result = await arun_mcp_mini_agent(messages, tools, config, kernel=kernel)
    except APIError as error:
        raise _once(error) from None
    message = {"role": "assistant", "content": content_of(result)}
    choice = {"index": 0, "message": message, "finish_reason": result.stopped_reason}
    raw = {**_head(request, "chat.completion"), "choices": [choice], **_spent(result)}
    yield Response(raw).with_notes("mini_agent", notes_of(result))


async def _streamed(
    request: Request, tools: MCPInvoker, config: AgentConfig, kernel: Kernel | None
) -> AsyncGenerator[Event, None]:
    """Yield what the model says, in every turn, as it comes; then the end, with the record."""
    from scillm_mini_agent.loop import arun_mcp_mini_agent

    head = _head(request, "chat.completion.chunk")
    said: asyncio.Queue[str | None] = asyncio.Queue()
    run = asyncio.ensure_future(
        arun_mcp_mini_agent(_messages(request), tools, config, kernel=kernel, say=said.put_nowait)
    )
    run.add_done_callback(lambda _: said.put_nowait(None))
    try:
        delta: dict[str, Any] = {"role": "assistant"}
        while (text := await said.get()) is not None:
            yield Chunk({**head, "choices": [_piece({**delta, "content": text})]})
            delta = {}
        try:
            result = run.result()
        except APIError as error:
            raise _once(error) from None
    finally:
        run.cancel()
        await asyncio.wait({run})
        if not run.cancelled():
            run.exception()  # so that asyncio does not tell of one that nobody waits for
    if result.final_answer is None:
        delta["content"] = content_of(result)
    end = {**head, "choices": [_piece(delta, result.stopped_reason)], **_spent(result)}
    yield Chunk(end).with_notes("mini_agent", notes_of(result))


def content_of(result: AgentRunResult) -> str:
    """Return the answer; where there is none, how far the run came, as JSON."""
    if result.final_answer is not None:
        return result.final_answer
    told = {"iterations": len(result.iterations), "stopped_reason": result.stopped_reason}
    return json.dumps(told)


def notes_of(result: AgentRunResult) -> dict[str, Any]:
    """Return what ``additional_kwargs["mini_agent"]`` holds."""
    return {
        "iterations": len(result.iterations),
        "stopped_reason": result.stopped_reason,
        "stopped_detail": result.stopped_detail,
        "used_model": result.used_model,
        "escalated": result.is_escalated,
        "conversation": result.messages,
        "parsed_tools": result.parsed_tools,
    }


def _once(error: APIError) -> APIError:
    """Return the error of a run; one that has called tools must not be run again by a retry."""
    run: AgentRunResult | None = getattr(error, "agent_result", None)
    if run is None or not run.parsed_tools:
        return error
    said = f"{error.message} (after tools were called, so the run is not repeated)"
    failure = Failure(kind=FailureKind.BUG, detail=said, status=error.status_code)
    kept = type(error)(said, llm_provider=error.llm_provider, model=error.model, failure=failure)
    kept.agent_result = run  # type: ignore[attr-defined]  # what was done before
    return kept


def _refuse_what_there_is_not(call: Call) -> None:
    if call.operation != "chat":
        raise BadRequestError(f"mini-agent answers chats, and no {call.operation}")
    for name in _ITS_OWN:
        if name in call.params:
            raise UnsupportedParamsError(
                f"mini-agent has tools of its own and takes no {name!r}: give it functions by "
                "agent_tools=[...], servers by mcp_servers={...}"
            )
    if call.params.get("n", 1) != 1:
        raise UnsupportedParamsError("mini-agent gives one answer: leave out 'n'")


def _target(call: Call, route: Route) -> str:
    """Return the model that is asked.

    Raises:
        BadRequestError: None is named.
    """
    named = (s.value(call) for s in (settings.TARGET_MODEL, *settings.TARGET_ALIASES))
    own = route.model if route.model not in ("", *MiniAgent.PROVIDERS) else None
    fallbacks = (setting.value() for setting in settings.DEFAULT_MODELS)
    found = next((name for name in (*named, own, *fallbacks) if name), None)
    if found is None:
        raise BadRequestError(
            "mini-agent asks another model, and none is named: write 'mini-agent/<provider>/"
            "<model>', or give target_model=..., or set SCILLM_MINI_AGENT_TARGET_MODEL"
        )
    return str(found)


def _shown_options(call: Call) -> dict[str, Any]:
    """Return how the run goes, for whoever looks at the request or keeps its answer."""
    shown = {name: value for name, value in call.options.items() if name in settings.OPTIONS}
    if "agent_tools" in shown:
        given = shown["agent_tools"]
        many = given if isinstance(given, (list, tuple)) else [given]
        shown["agent_tools"] = [getattr(each, "__qualname__", repr(each)) for each in many]
    if isinstance(shown.get("mcp_servers"), Mapping):
        servers = shown["mcp_servers"].get("mcpServers", shown["mcp_servers"])
        shown["mcp_servers"] = sorted(servers)  # their env and headers may hold keys
    return shown


def _planned(call: Call, request: Request) -> tuple[MCPInvoker, AgentConfig]:
    from scillm_mini_agent.sources import source_of
    from scillm_mini_agent.tools import NoTools
    from scillm_mini_agent.values import AgentConfig

    tools = source_of(call)
    escalate_model = settings.ESCALATE_MODEL.value(call)
    config = AgentConfig(
        model=request.route.model,
        max_iterations=settings.MAX_ITERATIONS.value(call),
        max_total_seconds=settings.MAX_SECONDS.value(call),
        use_tools=tools is not None,
        max_total_tokens=settings.MAX_TOKENS.value(call),
        max_cost_usd=settings.MAX_COST_USD.value(call),
        escalate_on_budget_exceeded=escalate_model is not None,
        escalate_model=escalate_model,
        completion_kwargs=_arguments(call, request),
    )
    return tools or NoTools(), config


def _arguments(call: Call, request: Request) -> dict[str, Any]:
    """Return the further arguments of each call of the model: those of this one."""
    body = dict(request.body or {})
    for name in ("model", "messages", "stream", "stream_options", _OURS_IN_THE_BODY):
        body.pop(name, None)
    named = {*OPENAI_PARAMS, *call.allowed_openai_params}
    options = {name: v for name, v in call.options.items() if name not in settings.OPTIONS}
    found = {
        **{name: value for name, value in body.items() if name in named},
        **options,
        "extra_body": {name: value for name, value in body.items() if name not in named},
        "api_base": call.api_base,
        "api_key": call.api_key,
        "extra_headers": call.headers,
        "timeout": None if call.timeouts is NO_TIMEOUTS_GIVEN else call.timeouts,
        "allowed_openai_params": call.allowed_openai_params,
        "metadata": call.metadata,
    }
    return {name: value for name, value in found.items() if value}


def _messages(request: Request) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = (request.body or {})["messages"]
    return found


def _head(request: Request, kind: str) -> dict[str, Any]:
    return {
        "id": f"agent-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": request.route.model,
    }


def _piece(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _spent(result: AgentRunResult) -> dict[str, Any]:
    usage = {} if result.usage is None else {"usage": result.usage}
    return usage if result.cost_usd is None else {**usage, "cost": result.cost_usd}

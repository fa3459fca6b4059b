"""The shim: an OpenAI-compatible server over any model of scillm; and ``/agent/run``.

``scillm serve mini-agent``, or ``uvicorn scillm_mini_agent.server:app``.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from attrs import frozen

from scillm import BadRequestError, Chunk, Kernel, Response, Stream, UnsupportedParamsError
from scillm.calls import Call
from scillm.settings import MODEL, variable
from scillm_mini_agent import settings, sources
from scillm_mini_agent.echo import PROVIDER, EchoModel
from scillm_mini_agent.http_tools import HttpToolsInvoker
from scillm_mini_agent.loop import arun_mcp_mini_agent
from scillm_mini_agent.tools import MCPInvoker, NoTools
from scillm_mini_agent.traces import body_of
from scillm_mini_agent.values import AgentConfig
from scillm_serving import Asked, Route, Rules, Server, openai
from scillm_serving.apps import application

PORT = 8788
_REASONING = ("reasoning", "reasoning_effort")
_TOOLS_OF_A_RUN = ("local", "http", "mcp", "echo")


@frozen
class AgentRunRequest:
    """What ``/agent/run`` is asked by.

    ``tool_backend`` is local, http, mcp or echo; with any other the model is asked once.
    """

    messages: list[dict[str, Any]]
    model: str
    tool_backend: str = "local"
    tool_http_base_url: str | None = None
    tool_http_headers: dict[str, str] | None = None
    use_tools: bool = False
    auto_run_code_on_code_block: bool = False
    max_iterations: int | None = None
    max_total_seconds: float | None = None
    escalate_on_budget_exceeded: bool = False
    escalate_model: str | None = None
    enable_repair: bool | None = None


@frozen
class AgentMetrics:
    """How much a run took."""

    iterations: int
    ttotal_ms: float
    escalated: bool
    used_model: str | None


@frozen
class AgentRunAnswer:
    """What ``/agent/run`` answers."""

    ok: bool
    final_answer: str | None
    stopped_reason: str
    stopped_detail: str
    messages: list[dict[str, Any]]
    metrics: AgentMetrics
    usage: dict[str, int] | None = None
    cost_usd: float | None = None
    last_tool_invocation: dict[str, Any] | None = None


@frozen
class Readiness:
    """Whether it answers, and by what."""

    ok: bool
    hints: dict[str, Any]


@frozen
class Health:
    """The same, and where it listens."""

    ok: bool
    host: str
    port: int
    started_at: float
    delay_ms: int
    hints: dict[str, Any]


@frozen
class Shim:
    """Answers the routes.

    Attributes:
        kernel: What models are asked through.
        models: The ids that clients may name, and the model of scillm behind each.
        started_at: When it began, in seconds of the epoch.
    """

    kernel: Kernel
    models: Mapping[str, str]
    started_at: float

    async def chat(self, **arguments: Any) -> Any:
        """Answer a chat; one whose model cannot reason is told so, and answered all the same."""
        arguments["model"] = self.models[arguments["model"]]
        try:
            return await self.kernel.acompletion(**arguments)
        except UnsupportedParamsError as error:
            left_out = [name for name in _REASONING if name in arguments]
            if not left_out or not any(name in error.message for name in left_out):
                raise
            rest = {name: value for name, value in arguments.items() if name not in left_out}
            return _noted(await self.kernel.acompletion(**rest), {"left_out": left_out})

    async def run(self, asked: Asked[AgentRunRequest]) -> Any:
        """Run the agent."""
        wanted = asked.body
        config = AgentConfig(
            model=self._model(wanted.model),
            use_tools=wanted.tool_backend in _TOOLS_OF_A_RUN
            and (wanted.use_tools or wanted.tool_backend != "local"),
            auto_run_code_on_code_block=wanted.auto_run_code_on_code_block,
            max_iterations=_at_least_1("max_iterations", wanted.max_iterations, 3),
            max_total_seconds=_positive("max_total_seconds", wanted.max_total_seconds),
            escalate_on_budget_exceeded=wanted.escalate_on_budget_exceeded,
            escalate_model=self._model(wanted.escalate_model) if wanted.escalate_model else None,
            enable_repair=True if wanted.enable_repair is None else wanted.enable_repair,
        )
        result = await arun_mcp_mini_agent(
            wanted.messages, _tools(wanted), config, kernel=self.kernel
        )
        return body_of(result)

    def _model(self, name: str) -> str:
        if name not in self.models:
            raise openai.unknown_model(name)
        return self.models[name]

    async def ready(self, asked: Asked[None]) -> Any:
        """Say that it answers."""
        return {"ok": True, "hints": hints()}

    async def health(self, asked: Asked[None]) -> Any:
        """Say that it answers, and where."""
        host, _, port = asked.headers.get("host", "").rpartition(":")
        return {
            "ok": True,
            "host": host if port.isdigit() else settings.API_HOST.value(),
            "port": int(port) if port.isdigit() else settings.API_PORT.value(),
            "started_at": self.started_at,
            "delay_ms": settings.SHIM_DELAY_MS.value(),
            "hints": hints(),
        }


def hints() -> dict[str, Any]:
    """Return what is set, by name; no value of a key."""
    return {
        "OPENAI_API_KEY": bool(variable("OPENAI_API_KEY")),
        "OLLAMA_BASE_URL": bool(variable("OLLAMA_BASE_URL")),
        "LITELLM_DEFAULT_MODEL": settings.DEFAULT_MODELS[-1].lookup() is not None,
        "MINI_AGENT_OPENAI_SHIM_MODE": "echo" if is_echo() else settings.SHIM_MODE.value(),
    }


def is_echo() -> bool:
    """Whether the echo answers in place of a model."""
    return bool(settings.SHIM_ECHO.value()) or settings.SHIM_MODE.value() == "echo"


def make(rules: Rules) -> Any:
    """Return the app, over what the environment names."""
    return app_of(shim_of_environment(), rules)


def app_of(shim: Shim, rules: Rules) -> Any:
    """Return the app over this shim; the shim's kernel is closed with it."""
    routes: list[Route]
    routes = [
        Route(path="/ready", method="GET", answer=shim.ready, returns=Readiness, is_open=True),
        Route(path="/healthz", method="GET", answer=shim.health, returns=Health, is_open=True),
        *openai.routes(shim.chat, openai.listed(*shim.models)),
        Route(
            path="/agent/run",
            answer=shim.run,
            takes=AgentRunRequest,
            returns=AgentRunAnswer,
            allows_unknown=True,
        ),
    ]
    return application(routes, rules, title="mini-agent", close=shim.kernel.aclose)


def shim_of_environment() -> Shim:
    """Return the shim that the settings ask for.

    Raises:
        BadRequestError: There is no model.
    """
    if is_echo():
        echo = EchoModel(settings.SHIM_REPLY.value(), settings.SHIM_DELAY_MS.value() / 1000)
        names = settings.SHIM_MODELS.value() or {PROVIDER: PROVIDER}
        models = {name: f"{PROVIDER}/{name}" for name in names}
        return Shim(Kernel.of(echo), models, time.time())
    kernel = Kernel.installed()
    named: dict[str, str] | None = settings.SHIM_MODELS.value()
    if not named:
        default = _default_model(kernel)
        named = {default: default}
    return Shim(kernel, named, time.time())


def _default_model(kernel: Kernel) -> str:
    """Return the model that answers when nobody names one.

    Raises:
        BadRequestError: There is none.
    """
    told = settings.DEFAULT_MODELS[-1].value() or MODEL.value()
    if told:
        return str(told)
    route = kernel.plugins.manager.hook.resolve_model(call=Call())
    if route is None:
        raise BadRequestError(
            "no model answers by itself here: name one by SCILLM_MODEL or "
            f"{settings.SHIM_MODELS.variable}, or set MINI_AGENT_OPENAI_SHIM_MODE=echo"
        )
    return f"{route.provider}/{route.model}"


def _tools(wanted: AgentRunRequest) -> MCPInvoker:
    if wanted.tool_backend not in _TOOLS_OF_A_RUN:
        return NoTools()
    if wanted.tool_backend == "http" and wanted.tool_http_base_url:
        return HttpToolsInvoker(wanted.tool_http_base_url, wanted.tool_http_headers)
    servers = settings.MCP_CONFIG.value() if wanted.tool_backend == "mcp" else None
    return sources.backend(wanted.tool_backend, wanted.tool_http_base_url, servers)[0]


def _at_least_1(name: str, value: int | None, default: int) -> int:
    if value is not None and value < 1:
        raise BadRequestError(f"{name}={value} must be at least 1")
    return default if value is None else value


def _positive(name: str, value: float | None) -> float | None:
    if value is not None and not value > 0:
        raise BadRequestError(f"{name}={value:g} must be greater than 0")
    return value


def _noted(answer: Response | Stream, notes: Mapping[str, Any]) -> Any:
    if isinstance(answer, Response):
        return answer.with_notes("mini_agent", notes)
    return _noted_stream(answer, notes)


async def _noted_stream(stream: Stream, notes: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
    is_first = True
    async with aclosing(stream) as chunks:
        async for chunk in chunks:
            yield chunk.with_notes("mini_agent", notes) if is_first else chunk
            is_first = False


SERVER = Server(make=make, port=PORT, summary="an OpenAI-compatible shim, and the agent")


def __getattr__(name: str) -> Any:
    """Make the app when uvicorn asks for it: nothing is read from the environment before."""
    if name == "app":
        return make(Rules.set_by_environment())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

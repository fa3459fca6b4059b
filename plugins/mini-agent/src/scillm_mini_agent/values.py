"""What a run is given, and what it tells: settings, one record for each turn, the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import asdict, field, frozen, validators

_AT_LEAST_1 = validators.ge(1)
_POSITIVE = validators.optional(validators.gt(0))


@frozen
class AgentConfig:
    """How a run goes, and when it ends.

    Attributes:
        model: Who is asked, ``"provider/model"``; None takes ``SCILLM_MODEL``, else the default.
        max_iterations: The most times that the model is asked.
        max_tools_per_iter: The most tool calls of one turn that are made; more are told so.
        tool_concurrency: How many of them are made at one time.
        enable_repair: Whether the model may go on after a tool call that failed.
        research_on_unsure: Whether an answer that says it is unsure is sent back once, to be
            looked up by a tool.
        max_research_hops: How often.
        max_history_messages: The most messages sent in one turn; what is left out is counted
            in the record. System messages and the last question are always sent.
        hard_char_budget: The most characters of them.
        shell_allow_prefixes: Without effect: no shell is run. A prefix is no protection.
        tool_timeout_sec: Seconds that one tool call may take; what is late is told the model.
        max_total_seconds: Seconds that the run may take, whatever it is doing then.
        use_tools: Whether the model is offered tools at all.
        auto_run_code_on_code_block: Refused: there is no sandbox to run code in.
        escalate_on_budget_exceeded: Whether *escalate_model* is asked for an answer when the run
            ends without one. It has *max_total_seconds* of its own.
        escalate_model: Whom to ask then.
        completion_kwargs: Further arguments of every ``acompletion``.
        allowed_tools: Names that the model may call; None allows what the invoker lists.
        max_total_tokens: Tokens that the run may use, as the provider counts them.
        max_cost_usd: What it may cost, where answers tell their cost.
        max_identical_calls: How often the same call with the same arguments is made.
        max_tool_output_chars: The longest result of a tool that is kept; the rest is cut, and
            marked.
    """

    model: str | None = None
    max_iterations: int = field(default=3, validator=_AT_LEAST_1)
    max_tools_per_iter: int = field(default=4, validator=_AT_LEAST_1)
    tool_concurrency: int = field(default=1, validator=_AT_LEAST_1)
    enable_repair: bool = True
    research_on_unsure: bool = False
    max_research_hops: int = 1
    max_history_messages: int = field(default=50, validator=_AT_LEAST_1)
    hard_char_budget: int = field(default=16000, validator=_AT_LEAST_1)
    shell_allow_prefixes: tuple[str, ...] = ("echo",)
    tool_timeout_sec: float = field(default=10.0, validator=validators.gt(0))
    max_total_seconds: float | None = field(default=None, validator=_POSITIVE)
    use_tools: bool = False
    auto_run_code_on_code_block: bool = False
    escalate_on_budget_exceeded: bool = False
    escalate_model: str | None = None
    completion_kwargs: Mapping[str, Any] = field(factory=dict)
    allowed_tools: tuple[str, ...] | None = None
    max_total_tokens: int | None = field(default=None, validator=_POSITIVE)
    max_cost_usd: float | None = field(default=None, validator=_POSITIVE)
    max_identical_calls: int = field(default=3, validator=_AT_LEAST_1)
    max_tool_output_chars: int = field(default=8000, validator=_AT_LEAST_1)


@frozen
class IterationRecord:
    """One turn: the model was asked, and the tools that it called for.

    Attributes:
        tool_invocations: One mapping for each tool call, in the order of the model's: call_index,
            tool_name, name, tool_call_id, arguments_raw, arguments, t_ms, model, ok, rc, result,
            stdout, stderr, error.
        router_call_ms: How long the model took.
        model: Who was asked.
        content: What the model said.
        finish_reason: Why it stopped.
        usage: Tokens of this turn, as the provider counts them; None if it did not tell.
        cost_usd: What it cost, where that is known.
        left_out_messages: How many of the conversation were not sent, for their length.
        error: Why the turn did not come to its end.
    """

    tool_invocations: list[dict[str, Any]] = field(factory=list)
    router_call_ms: float = 0.0
    model: str | None = None
    content: str | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    cost_usd: float | None = None
    left_out_messages: int = 0
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain dicts."""
        return asdict(self)


@frozen
class AgentRunResult:
    """What came of a run.

    Attributes:
        messages: The whole conversation, tool calls and their results included.
        final_answer: What the model answered; None if the run ended before.
        stopped_reason: ``success``; ``budget`` (seconds, tokens, cost), ``max_iterations``,
            ``repeated_calls``, ``tool_error`` (without repair), ``no_answer`` (the model said
            nothing).
        iterations: One record for each turn.
        stopped_detail: The same in a sentence, ``""`` for success.
        used_model: Who gave the last answer.
        is_escalated: Whether *escalate_model* was asked.
        usage: Tokens of all turns; None if no turn told them.
        cost_usd: What they cost; None if one of them did not tell.
        total_ms: How long it took.
    """

    messages: list[dict[str, Any]]
    final_answer: str | None
    stopped_reason: str
    iterations: list[IterationRecord]
    stopped_detail: str = ""
    used_model: str | None = None
    is_escalated: bool = False
    usage: dict[str, int] | None = None
    cost_usd: float | None = None
    total_ms: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.stopped_reason == "success"

    @property
    def metrics(self) -> dict[str, Any]:
        """How many turns, how long, and by whom, by the names that ``/agent/run`` tells them."""
        return {
            "iterations": len(self.iterations),
            "ttotal_ms": self.total_ms,
            "escalated": self.is_escalated,
            "used_model": self.used_model,
        }

    @property
    def parsed_tools(self) -> list[dict[str, Any]]:
        """Every tool call of the run, each with its turn."""
        return [
            {"iteration": turn, "index": call["call_index"], **call}
            for turn, record in enumerate(self.iterations)
            for call in record.tool_invocations
        ]

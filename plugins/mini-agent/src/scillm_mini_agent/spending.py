"""What a run has used of its seconds, tokens and money."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field

from scillm_mini_agent.values import AgentConfig

_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


@define
class Spending:
    """Counts what turns use.

    Attributes:
        config: The bounds.
        clock: Tells seconds that never go back.
        usage: Tokens so far; None if no turn told them.
        cost_usd: What they cost; None if none told, or one did not.
    """

    config: AgentConfig
    clock: Callable[[], float]
    usage: dict[str, int] | None = None
    cost_usd: float | None = None
    _is_cost_known: bool = True
    _begun_s: float = field(init=False)
    _allowed_s: float | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._begun_s, self._allowed_s = self.clock(), self.config.max_total_seconds

    def left_s(self) -> float | None:
        """Return the seconds that are left, 0 if none; None if the run has no end."""
        if self._allowed_s is None:
            return None
        return max(0.0, self._allowed_s - self.took_s())

    def took_s(self) -> float:
        """Return the seconds since the run began."""
        return self.clock() - self._begun_s

    def extend(self) -> None:
        """Give the escalation its own time."""
        if self.config.max_total_seconds is not None:
            self._allowed_s = self.took_s() + self.config.max_total_seconds

    def add(self, usage: dict[str, Any] | None, cost_usd: float | None) -> None:
        """Count one turn."""
        if usage is not None:
            before = self.usage or dict.fromkeys(_COUNTS, 0)
            self.usage = {name: before[name] + int(usage.get(name) or 0) for name in _COUNTS}
        if cost_usd is None:
            self._is_cost_known = False
        self.cost_usd = (self.cost_usd or 0.0) + (cost_usd or 0.0) if self._is_cost_known else None

    def over(self) -> str | None:
        """Return which bound is reached, in a sentence; None if none is."""
        bounds = self.config
        left_s = self.left_s()
        if left_s is not None and left_s <= 0:
            return f"the run took its {bounds.max_total_seconds:g} s"
        tokens = (self.usage or {}).get("total_tokens", 0)
        if bounds.max_total_tokens is not None and tokens >= bounds.max_total_tokens:
            return f"the run used {tokens} of {bounds.max_total_tokens} tokens"
        if bounds.max_cost_usd is not None and (self.cost_usd or 0.0) >= bounds.max_cost_usd:
            return f"the run cost {self.cost_usd:g} of {bounds.max_cost_usd:g} USD"
        return None

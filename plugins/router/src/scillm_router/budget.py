"""How much a Router may spend, counted as it is spent."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal

from scillm import APIError, FailureKind
from scillm_router import forks

LOG = logging.getLogger("scillm.router")
OnExhaust = Callable[[Mapping[str, Any]], object] | Literal["error", "warn"]


class BudgetExceeded(APIError, RuntimeError):
    """The budget is spent; nothing was sent."""

    kind = FailureKind.PERMISSION
    default_status = 402


class Budget:
    """What may be spent in all; a limit of None is none. Safe for threads.

    Args:
        max_tokens: Tokens, of prompts and answers, as the providers count them.
        max_requests: Requests, each attempt counted.
        on_exhaust: What to do when it is spent: ``"error"``, ``"warn"``, or a function that
            is called once with what was spent.
        hard: Whether a request beyond it is refused.
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        max_requests: int | None = None,
        on_exhaust: OnExhaust = "error",
        *,
        hard: bool = True,
    ) -> None:
        self.max_tokens, self.max_requests = max_tokens, max_requests
        self.tokens = self.requests = 0
        self._on_exhaust, self._is_hard = on_exhaust, hard and on_exhaust != "warn"
        self._is_told = False
        self._lock = threading.Lock()
        forks.register(self)

    def take_request(self, model: str, tokens: int = 0) -> None:
        """Count a request that is about to go out, and about as many tokens as its messages are.

        Raises:
            BudgetExceeded: It is one too many.
        """
        with self._lock:
            what = self._spent()
            if what and self._is_hard:
                is_new, self._is_told = not self._is_told, True
            else:
                is_new = bool(what) and not self._is_told
                self._is_told = self._is_told or is_new
                self.requests += 1
                self.tokens += tokens
        if is_new:
            self._tell(what)
        if what and self._is_hard:
            raise BudgetExceeded(f"BudgetExceeded: {what}", llm_provider="router", model=model)

    def settle(self, taken: int, spent: int) -> None:
        """Count the tokens that a request took in truth, in place of those that were taken."""
        with self._lock:
            self.tokens += spent - taken

    def forked(self) -> None:
        """In a forked child nobody holds the lock."""
        self._lock = threading.Lock()

    def _spent(self) -> str:
        if self.max_requests is not None and self.requests >= self.max_requests:
            return f"{self.requests} of {self.max_requests} requests are spent"
        if self.max_tokens is not None and self.tokens >= self.max_tokens:
            return f"{self.tokens} of {self.max_tokens} tokens are spent"
        return ""

    def _tell(self, what: str) -> None:
        LOG.warning("the budget of a Router is exhausted: %s", what)
        if callable(self._on_exhaust):
            self._on_exhaust({"reason": what, "tokens": self.tokens, "requests": self.requests})

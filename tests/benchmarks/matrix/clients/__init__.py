"""One adapter per client, written as its documentation writes it.

Each module has a class `Client` made of a `Given`. A door that a client does not have is a method
that is left out: `ask` (sync), `aask` (async), `astream` (stream), `arouted` (router), `amany`
(parallel). Answers and chunks are the client's own; `probe` reads them as users do.
"""

from __future__ import annotations

from dataclasses import dataclass

KEY = "sk-fault-7f3a9c2e51d04b86"
MODEL = "mock-model"


@dataclass(frozen=True)
class Given:
    """What a client is told.

    Args:
        url: base URL of the endpoint.
        second_url: base URL of the fallback.
        retries: attempts after the first.
        timeout_s: time limit of a request.
        budget_s: time limit of a call with all its attempts; 0 is not set.
    """

    url: str
    second_url: str
    retries: int
    timeout_s: float
    budget_s: float


def messages(prompt: str) -> list[dict[str, str]]:
    """A conversation of one message."""
    return [{"role": "user", "content": prompt}]

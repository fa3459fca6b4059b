"""scillm, by a batch that is written durably."""

from __future__ import annotations

import tempfile
from pathlib import Path

import scillm

from .openai_bytes import KEY, SAMPLING


class Client:
    """Runs `scillm.run_batch`, each time into a file of its own."""

    def __init__(self, base_url: str) -> None:
        self.given = {
            "model": "openai/mock-model",
            "api_base": base_url,
            "api_key": KEY,
            **SAMPLING,
        }

    async def abatch(self, prompt: str, n: int, at_a_time: int) -> None:
        messages = [{"role": "user", "content": prompt}]
        items = ({"item_id": f"i{number}", "messages": messages} for number in range(n))
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "out.jsonl")
            summary = await scillm.run_batch(items, out, concurrency=at_a_time, **self.given)
        assert summary.ok == n, summary

    async def aclose(self) -> None:
        await scillm.aclose()

"""A run that is killed and resumed, again and again, until it is complete."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from attrs import field, frozen

PROGRAM = """
import asyncio, sys
from scillm_batch import run_batch
base, items, out, concurrency = sys.argv[1:]
print("READY", flush=True)
async def main():
    return await run_batch(items, out, model="openai_like/m", api_base=base, api_key="sk-x",
                           concurrency=int(concurrency), resume=True)
summary = asyncio.run(main())
print("DONE", summary.done, flush=True)
"""


@frozen(kw_only=True)
class Outcome:
    """What was found when the run was complete.

    Attributes:
        kills: How often it was killed.
        lines: Lines of the output that are whole JSON.
        damaged: Those that are not.
        ids: How often each item stands in it.
        indices: Their places in the input, in the order of the output.
    """

    kills: int
    lines: int
    damaged: int
    ids: Counter[str] = field(repr=False)
    indices: list[int] = field(repr=False)


def write_items(path: Path, count: int) -> None:
    """Write an input of so many items."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            asked = [{"role": "user", "content": f"say {number}"}]
            file.write(json.dumps({"item_id": f"i{number}", "messages": asked}) + "\n")


def run_killed(
    folder: Path, base: str, *, items: int, kills: int, concurrency: int, seed: int
) -> Outcome:
    """Run to the end with so many SIGKILLs at random moments."""
    source, out = folder / "in.jsonl", folder / "out.jsonl"
    write_items(source, items)
    command = [sys.executable, "-c", PROGRAM, base, str(source), str(out), str(concurrency)]
    chance, done = random.Random(seed), 0
    while True:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            if done >= kills:
                process.communicate(timeout=300)
                assert process.returncode == 0
                break
            process.stdout.readline()  # it has begun
            time.sleep(chance.uniform(0.05, 1.2))
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            done += 1
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    return _outcome(out, done)


def _outcome(out: Path, kills: int) -> Outcome:
    ids: Counter[str] = Counter()
    indices, damaged = [], 0
    for line in out.read_bytes().splitlines():
        try:
            record = json.loads(line)
            ids[record["item_id"]] += 1
            indices.append(record["index"])
        except (ValueError, KeyError):
            damaged += 1
    return Outcome(kills=kills, lines=len(indices), damaged=damaged, ids=ids, indices=indices)

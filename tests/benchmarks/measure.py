"""One measurement of one client, in the client's own environment: prints one line of JSON.

    <environment>/bin/python measure.py raw_httpx fan '{"url": "http://...", "n": 2000}'

Standard library only, and as little of it as can be before the client is imported: the first
call of a cold process is one of the things that are measured. The fields of the line are in `row`.
"""

from __future__ import annotations

import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

PROMPT = "Say hello in one sentence please."
ANSWER_CHARS = 256


class Clock:
    """Wall and CPU time of a block, per unit of work."""

    def __init__(self, units: int) -> None:
        self.units = units

    def __enter__(self) -> Clock:
        import gc

        gc.collect()
        self.wall_s, self.cpu_s = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        wall_s = time.perf_counter() - self.wall_s
        cpu_s = time.process_time() - self.cpu_s
        self.row = {"wall_us": wall_s / self.units * 1e6, "cpu_us": cpu_s / self.units * 1e6}


def memory_mb(field: str) -> float:
    """`VmHWM` (peak) or `VmRSS` (now) of this process, in MB of 10^6 bytes.

    Not `ru_maxrss`, which a process takes over from the one that started it.
    """
    with open("/proc/self/status") as file:  # noqa: PTH123  # pathlib is not loaded for this
        line = next(line for line in file if line.startswith(field))
    return int(line.split()[1]) * 1024 / 1e6


def first(client_type: Callable[[str], Any], given: dict[str, Any]) -> dict[str, float]:
    """The first completed call; the driver knows when the process was started."""
    client = client_type(given["url"])
    answer = client.call(PROMPT)
    # perf_counter is the system's monotonic clock: the driver subtracts when it started us.
    row = {"at_s": time.perf_counter(), "cpu_us": time.process_time() * 1e6}
    assert len(answer) == ANSWER_CHARS, answer
    return {**row, "peak_mb": memory_mb("VmHWM"), "modules": len(sys.modules)}


def seq(client_type: Callable[[str], Any], given: dict[str, Any]) -> dict[str, float]:
    """One sync call after the other."""
    client = client_type(given["url"])
    for _ in range(20):
        assert len(client.call(PROMPT)) == ANSWER_CHARS
    with Clock(given["n"]) as clock:
        for _ in range(given["n"]):
            client.call(PROMPT)
    return clock.row


def stream(client_type: Callable[[str], Any], given: dict[str, Any]) -> dict[str, float]:
    """Streams of so many chunks, sync; the unit is a chunk."""
    client = client_type(given["url"])
    count = sum(1 for _ in client.stream(PROMPT))
    assert count == given["chunks"], count
    with Clock(given["n"] * given["chunks"]) as clock:
        for _ in range(given["n"]):
            for _text in client.stream(PROMPT):
                pass
    return clock.row


async def fan_out(call: Callable[[str], Awaitable[str]], n: int, at_a_time: int) -> list[str]:
    """So many calls, so many at a time, by workers: the harness itself costs little."""
    import asyncio

    answers = [""] * n
    numbers = iter(range(n))

    async def worker() -> None:
        for number in numbers:
            answers[number] = await call(PROMPT)

    await asyncio.gather(*(worker() for _ in range(at_a_time)))
    return answers


async def aseq(client: Any, given: dict[str, Any]) -> dict[str, float]:
    """One async call after the other."""
    for _ in range(20):
        assert len(await client.acall(PROMPT)) == ANSWER_CHARS
    with Clock(given["n"]) as clock:
        for _ in range(given["n"]):
            await client.acall(PROMPT)
    return clock.row


async def fan(client: Any, given: dict[str, Any]) -> dict[str, float]:
    """Many calls at a time; connections are made before the clock runs."""
    await fan_out(client.acall, given["at_a_time"], given["at_a_time"])
    with Clock(given["n"]) as clock:
        answers = await fan_out(client.acall, given["n"], given["at_a_time"])
    assert all(len(answer) == ANSWER_CHARS for answer in answers)
    return clock.row


async def batch(client: Any, given: dict[str, Any]) -> dict[str, float]:
    """Many items, so many at a time; `added_mb` is the peak of memory above the import."""
    before_mb = memory_mb("VmRSS")

    async def run(n: int) -> None:
        if hasattr(client, "abatch"):
            await client.abatch(PROMPT, n, given["at_a_time"])
        else:
            await fan_out(client.acall, n, given["at_a_time"])

    await run(given["at_a_time"])
    with Clock(given["n"]) as clock:
        await run(given["n"])
    return {**clock.row, "added_mb": memory_mb("VmHWM") - before_mb}


async def astream(client: Any, given: dict[str, Any]) -> dict[str, float]:
    """Streams of so many chunks, async; the unit is a chunk."""
    count = len([text async for text in client.astream(PROMPT)])
    assert count == given["chunks"], count
    with Clock(given["n"] * given["chunks"]) as clock:
        for _ in range(given["n"]):
            async for _text in client.astream(PROMPT):
                pass
    return clock.row


async def growth(client: Any, given: dict[str, Any]) -> dict[str, float]:
    """Memory after some calls, and after ten times as many."""
    import gc

    await client.acall(PROMPT)
    sizes = []
    for count in (given["n"], given["n"] * 9):
        for _ in range(count // 1000):  # the answers of a thousand calls are held, no more
            await fan_out(client.acall, 1000, given["at_a_time"])
        gc.collect()
        sizes.append(memory_mb("VmRSS"))
    return {"early_mb": sizes[0], "late_mb": sizes[1], "growth_mb": sizes[1] - sizes[0]}


SYNC = {"first": first, "seq": seq, "stream": stream}
ASYNC = {"aseq": aseq, "fan": fan, "batch": batch, "astream": astream, "growth": growth}


async def run_async(
    client_type: Callable[[str], Any], metric: str, given: dict[str, Any]
) -> dict[str, float]:
    """Open the client, measure, close it."""
    client = client_type(given["url"])
    if hasattr(client, "open"):
        await client.open()
    row = await ASYNC[metric](client, given)
    if hasattr(client, "aclose"):
        await client.aclose()
    return row


def main() -> None:
    """Measure what the arguments say."""
    import importlib
    import json
    import os

    module, metric, given = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    client_type = importlib.import_module(f"clients.{module}").Client
    if metric in SYNC:
        row = SYNC[metric](client_type, given)
    else:
        import asyncio

        row = asyncio.run(run_async(client_type, metric, given))
    print(json.dumps(row), flush=True)
    os._exit(0)  # no end of the interpreter, and no thread that outlives its work


if __name__ == "__main__":
    main()

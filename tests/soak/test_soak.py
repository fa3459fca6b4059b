"""Long runs through trouble: short in each run of the tests, in full by ``tox -e soak``."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_scillm.endpoint import Endpoint
from scillm import close, run_batch

pytestmark = pytest.mark.slow
IS_FULL = os.environ.get("SOAK") == "full"
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NUMBER = {
    "type": "object",
    "properties": {"number": {"type": "integer"}},
    "required": ["number"],
    "additionalProperties": False,
}


def _module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


servers = _module(HERE / "servers.py")
killing = _module(ROOT / "plugins/batch/tests/killing.py")


@pytest.fixture(autouse=True)
def _closed():
    yield
    close()


def _run(run):
    async def main():
        return await run

    return asyncio.run(main())


def _requests(count):
    for number in range(count):
        ask = [{"role": "user", "content": f"say {number}"}]
        yield {"item_id": f"i{number}", "messages": ask}


def test_a_run_that_is_killed_loses_nothing_and_pays_little_twice(tmp_path):
    """No line is lost, doubled or damaged, whenever the process is killed."""
    items, kills, at_a_time = (5000, 100, 16) if IS_FULL else (600, 6, 16)

    with Endpoint(keep=1_000_000) as endpoint:
        base = endpoint.url("echo-lat200" if IS_FULL else "echo-lat20")  # all kills find it at work
        outcome = killing.run_killed(
            tmp_path, base, items=items, kills=kills, concurrency=at_a_time, seed=7
        )
        paid = len(endpoint.requests_to(base))

    assert outcome.kills == kills or not IS_FULL
    assert outcome.damaged == 0
    assert len(outcome.ids) == outcome.lines == items
    assert outcome.indices == list(range(items))
    assert paid - items <= outcome.kills * at_a_time
    print(f"{outcome.kills} kills, {paid - items} of {items} calls paid twice")


def test_a_kill_at_every_line_of_the_store_loses_nothing(tmp_path):
    """As the tests of the plugin do at some of them."""
    program = ROOT / "plugins/batch/tests/killed_store.py"
    command = [sys.executable, str(program), str(tmp_path), "1" if IS_FULL else "97"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.stdout.endswith("kills, 0 problems\n"), done.stdout + done.stderr


def test_every_item_comes_back_valid_through_chaos(tmp_path):
    """Refusals, outages, broken connections, cut bodies, fences and silence."""
    items = 5000 if IS_FULL else 250
    chaos = servers.Chaos()
    out = tmp_path / "out.jsonl"

    with servers.Gateway(chaos) as gateway:
        begun_s = time.monotonic()
        summary = _run(
            run_batch(
                _requests(items),
                out,
                model="openai_like/m",
                api_base=gateway.base,
                api_key="sk-x",
                schema=NUMBER,
                timeout=2,
                retry_after=0.1,
                concurrency=64,
            )
        )

    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert summary.ok == items, summary
    assert [row["parsed"]["number"] for row in rows] == list(range(items))
    assert set(chaos.faults) == {fault for _, fault in servers.FAULTS}
    print(f"{items} items, {gateway.requests} requests in {time.monotonic() - begun_s:.0f} s")


def test_a_run_keeps_to_the_rate_that_it_is_given(tmp_path, monkeypatch):
    """Nine tenths of what is permitted, and at most one violation."""
    limit, window_s, seconds = (180, 60.0, 240) if IS_FULL else (30, 10.0, 24)
    monkeypatch.setenv("SCILLM_RATE_LIMIT_QPS", str(0.97 * limit / window_s))
    monkeypatch.setenv("SCILLM_COOLDOWN_429_S", "5")
    counting = servers.Counting(limit, window_s, rest_s=window_s / 2)

    with servers.Gateway(counting) as gateway:
        _run(
            run_batch(
                _requests(10_000),
                tmp_path / "out.jsonl",
                model="openai_like/m",
                api_base=gateway.base,
                api_key="sk-x",
                concurrency=8,
                limits={"max_wall_time_s": seconds},
            )
        )

    assert counting.violations <= 1
    assert counting.answered >= 0.9 * seconds * limit / window_s

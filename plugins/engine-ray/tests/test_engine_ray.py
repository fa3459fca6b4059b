"""Batches on two workers of a Ray cluster on this machine."""

import asyncio
import json
import time

import pytest
import ray

from pytest_scillm.endpoint import Endpoint
from scillm import run_batch
from scillm_batch import BatchError
from scillm_batch.engines import engine_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    """Two workers' worth of Ray, on loopback."""
    from scillm_engine_ray.cluster import _connected

    assert _connected(None, 2)
    yield
    ray.shutdown()


@pytest.fixture
def gateway():
    """A server that keeps all requests."""
    with Endpoint(keep=100_000) as running:
        yield running


def _requests(count):
    return [
        {"item_id": f"i{n}", "messages": [{"role": "user", "content": f"say {n}"}]}
        for n in range(count)
    ]


def _run(count, out, base, **more):
    options = {"model": "openai_like/m", "api_base": base, "api_key": "sk-x", "engine": "ray"}

    async def main():
        return await run_batch(_requests(count), out, **{**options, **more})

    return asyncio.run(main())


def test_two_workers_answer_every_item_once(cluster, gateway, tmp_path):
    """In the order of the input."""
    out, base = tmp_path / "out.jsonl", gateway.url("echo-lat5")

    summary = _run(400, out, base, concurrency=16, engine_options={"workers": 2})

    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert summary.ok == 400
    assert [row["content"] for row in rows] == [f"say {n}" for n in range(400)]
    assert len(gateway.requests_to(base)) == 400


def test_the_items_of_a_worker_that_is_killed_go_to_another(cluster, gateway, tmp_path):
    """None is lost, none is doubled; what was under way is asked twice."""
    out, base = tmp_path / "out.jsonl", gateway.url("echo-lat20")
    engine = engine_for("ray", {"workers": 2, "lease": 40})

    async def main():
        run = run_batch(
            _requests(600),
            out,
            model="openai_like/m",
            api_base=base,
            api_key="sk-x",
            concurrency=16,
            engine=engine,
        )
        seen = 0
        async for _ in run:
            seen += 1
            if seen == 100:
                ray.kill(engine._places[0].worker)
        return run.summary

    summary = asyncio.run(main())
    ids = [json.loads(line)["item_id"] for line in out.read_text().splitlines()]
    assert summary.ok == 600
    assert sorted(ids) == sorted(f"i{n}" for n in range(600))
    assert len(gateway.requests_to(base)) <= 600 + 40


def test_an_item_that_takes_long_holds_up_no_other(cluster, gateway, tmp_path):
    """A worker is given more as it answers, not when all that it has is answered."""
    fast, slow = gateway.url("echo"), gateway.url("echo-lat3000")
    items = _requests(60)
    items[0]["api_base"] = slow
    engine = engine_for("ray", {"workers": 1, "lease": 8})

    async def main():
        run = run_batch(
            items,
            tmp_path / "out.jsonl",
            model="openai_like/m",
            api_base=fast,
            api_key="sk-x",
            concurrency=4,
            engine=engine,
        )
        return [row.index async for row in run]

    assert asyncio.run(main()).index(0) > 8  # more than one lease


def test_a_worker_that_cannot_work_says_why(cluster, gateway, tmp_path):
    """In a line, and the run can be resumed."""
    with pytest.raises(
        BatchError, match="a worker of the Ray cluster failed: .*; what was answered"
    ):
        _run(3, tmp_path / "out.jsonl", gateway.url("echo"), router={"no_such_option": 1})


def test_one_limit_holds_for_all_workers(cluster, gateway, tmp_path):
    """Calls a second, evenly spaced."""
    base = gateway.url("echo")
    options = {"workers": 2, "per_second": 20}
    _run(4, tmp_path / "warm.jsonl", base, concurrency=8, engine_options=options)

    begun_s = time.monotonic()
    _run(21, tmp_path / "out.jsonl", base, concurrency=8, engine_options=options)
    assert time.monotonic() - begun_s >= 1.0


def test_a_router_that_is_an_object_cannot_travel(cluster, gateway, tmp_path):
    """It says what can."""
    with pytest.raises(BatchError, match="give its arguments"):
        _run(1, tmp_path / "out.jsonl", gateway.url("echo"), router=object())


def test_wrong_options_are_told():
    """At once."""
    with pytest.raises(BatchError, match="workers=0 must be 1 or more"):
        engine_for("ray", {"workers": 0})
    with pytest.raises(BatchError, match="per_second=0 must be above 0"):
        engine_for("ray", {"per_second": 0})
    with pytest.raises(BatchError, match="unexpected keyword argument 'speed'"):
        engine_for("ray", {"speed": 1})

"""Failures leave nothing in memory."""

import asyncio
import gc
import sys
from collections import deque

import pytest

from scillm import InvalidResponse, Kernel
from scillm.errors import StatusError
from scillm_retry import Retry
from scillm_router import Router

ASK = [{"role": "user", "content": "hi"}]


@pytest.mark.slow
def test_failures_leave_nothing_in_memory(fleet):
    """Twenty thousand of all kinds; tests/benchmarks/failures.py makes a million."""
    fleet.asked, fleet.calls = deque(maxlen=1), deque(maxlen=1)
    kinds = [
        lambda: StatusError(503),
        lambda: StatusError(429, "", {"retry-after": "0"}),
        lambda: TimeoutError("late"),
        lambda: ConnectionError("cut"),
        lambda: InvalidResponse("odd"),
        lambda: StatusError(401),
        lambda: StatusError(400),
    ]
    failed = 0

    async def gate(model):
        nonlocal failed
        failed += 1
        await asyncio.sleep(0)
        error = kinds[failed % len(kinds)]()
        raise error

    fleet.gate = gate
    models = [{"model_name": "g", "litellm_params": {"model": f"fleet/{m}"}} for m in "abc"]
    kernel = Kernel.of(Retry(), fleet)
    router = Router(models, cooldown_time=0, num_retries=1, retry_after=0, kernel=kernel)

    async def fail(count):
        while failed < count:
            requests = ({"model": "g", "messages": ASK} for _ in range(500))
            async for slot in router.parallel_as_completed(requests, concurrency=32):
                assert slot.error is not None

    asyncio.run(fail(3_000))
    gc.collect()
    before = len(gc.get_objects()), sys.getallocatedblocks()
    asyncio.run(fail(23_000))
    gc.collect()
    after = len(gc.get_objects()), sys.getallocatedblocks()
    assert after[0] - before[0] < 500
    assert after[1] - before[1] < 2_000

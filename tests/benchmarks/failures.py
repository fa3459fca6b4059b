"""Whether failures leak: many classified failures through retries and a Router, and the memory.

    python tests/benchmarks/failures.py                    # 50,000, about half a minute
    python tests/benchmarks/failures.py --count 1000000    # about ten minutes

Nothing goes over a wire: a provider fails as it is scripted to, in each way that is classified.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import resource
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from scillm import Call, Event, InvalidResponse, Kernel, Request, Route, Sender, hookimpl
from scillm.errors import StatusError
from scillm_retry import Retry
from scillm_router import Router

TOO_LONG = '{"error": {"code": "context_length_exceeded", "message": "too long"}}'
ASK = [{"role": "user", "content": "hi"}]
DEPLOYMENTS = 3


class Broken:
    """A provider that never answers."""

    __name__ = "broken"

    def __init__(self) -> None:
        self.count = 0
        self._ways = itertools.cycle(
            [
                lambda: StatusError(503, "overloaded"),
                lambda: StatusError(429, "slow down", {"retry-after": "0"}),
                lambda: TimeoutError("late"),
                lambda: ConnectionError("cut"),
                lambda: InvalidResponse("odd"),
                lambda: StatusError(500, '{"error": {"message": "no capacity left"}}'),
                lambda: StatusError(401, "no"),
                lambda: StatusError(400, TOO_LONG),
            ]
        )

    @hookimpl
    def resolve_model(self, call: Call) -> Route:
        """Take everything."""
        return Route(provider="broken", model=call.model)

    @hookimpl
    def prepare_request(self, call: Call, route: Route) -> Request:
        """Prepare as little as there can be."""
        return Request(route=route, url="broken:", body={"messages": list(call.messages)}, read=_no)

    @hookimpl
    def send(self) -> Sender:
        """Fail."""
        return self._send

    async def _send(self, request: Request) -> AsyncGenerator[Event, None]:
        self.count += 1
        await asyncio.sleep(0)
        error: Exception = next(self._ways)()
        raise error
        yield


def _no(frame: bytes) -> tuple[()]:
    return ()


def made() -> tuple[Router, Broken]:
    """Make a Router with retries over a provider that fails."""
    broken = Broken()
    models = [
        {"model_name": "g", "litellm_params": {"model": f"broken/{number}"}}
        for number in range(DEPLOYMENTS)
    ]
    kernel = Kernel.of(Retry(), broken)
    router = Router(models, cooldown_time=0, num_retries=2, retry_after=0, kernel=kernel)
    return router, broken


async def fail(router: Router, broken: Broken, until: int) -> None:
    """Make calls until so many requests have failed."""
    while broken.count < until:
        calls = (until - broken.count) // DEPLOYMENTS // 2 or 1
        requests = ({"model": "g", "messages": ASK} for _ in range(calls))
        async for slot in router.parallel_as_completed(requests, concurrency=64):
            if slot.error is None:
                raise SystemExit("a call of a provider that always fails was answered")


def resident_mib() -> float:
    """Return what the process holds in memory; its peak where the system does not tell."""
    try:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * resource.getpagesize() / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50_000, help="failures after the warm-up")
    count = parser.parse_args().count
    router, broken = made()
    warm = 20_000
    asyncio.run(fail(router, broken, warm))
    gc.collect()
    before_mib, before, begun_s = resident_mib(), len(gc.get_objects()), time.perf_counter()
    sys.stdout.write(f"after {broken.count:>9,}: {before_mib:7.1f} MiB, {before:,} objects\n")
    for tenth in range(1, 11):
        asyncio.run(fail(router, broken, warm + count * tenth // 10))
        gc.collect()
        now_mib, now = resident_mib(), len(gc.get_objects())
        sys.stdout.write(f"after {broken.count:>9,}: {now_mib:7.1f} MiB, {now:,} objects\n")
        sys.stdout.flush()
    taken_s = time.perf_counter() - begun_s
    sys.stdout.write(
        f"{count:,} failures in {taken_s:.0f} s ({taken_s / count * 1e6:.0f} us each): "
        f"{resident_mib() - before_mib:+.1f} MiB, {len(gc.get_objects()) - before:+,} objects\n"
    )


if __name__ == "__main__":
    main()

"""Whoever leaves early leaves nothing behind: no task, no socket, no cooldown, no place taken."""

import asyncio
import signal
import subprocess
import sys

import pytest

from pytest_scillm.endpoint import Endpoint
from scillm import APIError, Kernel
from scillm_router import Router

ASK = [{"role": "user", "content": "hi"}]


@pytest.fixture(autouse=True, scope="module")
def _interruptible():
    """A job in the background is started deaf to Ctrl-C, and its children with it; these hear."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def endpoint():
    """An endpoint of this test's own: its connections are counted."""
    with Endpoint() as running:
        yield running


def model_list(*bases, **params):
    """Entries of one group, in this order."""
    params = {"model": "openai_like/m", "api_key": "sk-test", **params}
    return [
        {"model_name": "g", "litellm_params": {**params, "api_base": base, "order": place}}
        for place, base in enumerate(bases)
    ]


@pytest.fixture
def left(endpoint):
    """Run async work on a Router; tell what it leaves behind."""

    def left(work, *options, cooled=0, **params):
        bases = [endpoint.url(each) for each in options]

        async def main():
            async with Kernel.installed() as kernel:
                router = Router(model_list(*bases, **params), num_retries=0, kernel=kernel)
                before = asyncio.all_tasks()
                await work(router, bases)
                for _ in range(10):  # the turns in which cancelled tasks end
                    await asyncio.sleep(0)
                tasks = asyncio.all_tasks() - before
                deployments = router.plan.groups["g"].deployments
                states = [
                    (d.in_flight, d.probe, d.is_doubtful, d.cool_until_s)
                    for d in deployments[cooled:]
                ]
                waiting = router.plan.groups["g"].waiting
                return tasks, states, waiting, await asyncio.to_thread(is_idle, endpoint)

        tasks, states, waiting, has_no_request = asyncio.run(main())
        assert not tasks
        assert states == [(0, None, False, 0.0)] * (len(options) - cooled)
        assert not waiting
        assert has_no_request
        assert endpoint.wait_until(lambda endpoint: endpoint.open_connections == 0)

    return left


def is_idle(endpoint):
    """Whether no request is under way: what is left open is idle, in the pool."""
    return endpoint.wait_until(lambda endpoint: endpoint.open_connections <= 1)


async def cancelled(work, until):
    """Cancel *work* as soon as *until* is true."""
    task = asyncio.ensure_future(work)
    await asyncio.to_thread(until)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("params", [{}, {"max_parallel_requests": 1, "rpm": 100, "tpm": 10_000}])
def test_a_call_is_cancelled(left, endpoint, params):
    """While its host thinks."""

    async def work(router, bases):
        await cancelled(
            router.acompletion("g", ASK),
            lambda: endpoint.wait_until(lambda e: e.requests_to(bases[0])),
        )

    left(work, "hang", **params)


def test_a_call_is_cancelled_at_its_second_host(left, endpoint):
    """The first rests, for it failed; the second does not."""

    async def work(router, bases):
        await cancelled(
            router.acompletion("g", ASK),
            lambda: endpoint.wait_until(lambda e: e.requests_to(bases[1])),
        )

    left(work, "s503.503", "hang", cooled=1)


@pytest.mark.parametrize("how", ["break", "cancel"])
def test_a_stream_is_left_midway(left, how):
    """By closing it, or with the task that reads it."""

    async def work(router, bases):
        stream = await router.acompletion("g", ASK, stream=True)

        async def read():
            async with stream:
                async for _ in stream:
                    if how == "break":
                        break
                    await asyncio.Event().wait()

        if how == "break":
            await read()
            return
        task = asyncio.ensure_future(read())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    left(work, "n2000-gap1")


@pytest.mark.parametrize("how", ["cancel", "fail fast"])
def test_a_parallel_run_is_ended(left, endpoint, how):
    """By cancelling it, or by the failure of one of its requests."""
    requests = [{"model": "g", "messages": ASK}] * 50

    async def work(router, bases):
        if how == "cancel":
            await cancelled(
                router.parallel_acompletions(requests, concurrency=9),
                lambda: endpoint.wait_until(lambda e: len(e.requests_to(bases[0])) == 9),
            )
            return
        with pytest.raises(APIError):
            await router.parallel_acompletions(
                [*requests[:5], {"model": "nobody", "messages": ASK}, *requests],
                concurrency=9,
                return_exceptions=False,
            )

    left(work, "hang")


@pytest.mark.parametrize("how", ["closed", "forgotten"])
def test_results_are_not_wanted_any_more(left, how):
    """After the first one, by ``aclose`` or by nothing but a ``break``."""

    async def work(router, bases):
        slots = router.parallel_as_completed(
            ({"model": "g", "messages": ASK} for _ in range(1000)), concurrency=5
        )
        async for slot in slots:
            assert slot.error is None
            break
        if how == "closed":
            await slots.aclose()

    left(work, "s" + ".".join(["ok"] + ["hang"] * 40))


CTRL_C = """
import sys, threading
from scillm import Kernel
from scillm_router import Router
from pytest_scillm.endpoint import Endpoint
with Endpoint() as endpoint, Kernel.installed() as kernel:
    base = endpoint.url("hang")
    params = {"model": "openai_like/m", "api_base": base, "api_key": "sk-test"}
    router = Router(
        [{"model_name": "g", "litellm_params": {**params, "order": n}} for n in range(2)],
        kernel=kernel,
    )
    def tell():
        endpoint.wait_until(lambda e: e.requests_to(base), timeout_s=30)
        print("asked", flush=True)
    threading.Thread(target=tell).start()
    try:
        router.completion("g", [{"role": "user", "content": "x"}], stream=STREAM)
    except KeyboardInterrupt:
        is_closed = endpoint.wait_until(lambda e: e.open_connections == 0)
        known = router.plan.groups["g"].deployments
        print("interrupted", is_closed, [(d.in_flight, d.cool_until_s) for d in known])
"""


@pytest.mark.parametrize("stream", ["False", "True"])
def test_ctrl_c_ends_a_sync_call(stream):
    """The caller gets KeyboardInterrupt."""
    code = CTRL_C.replace("STREAM", stream)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout.readline() == "asked\n"
            run.send_signal(signal.SIGINT)
            said, _ = run.communicate(timeout=30)
        finally:
            run.kill()
    assert said.strip() == "interrupted True [(0, 0.0), (0, 0.0)]"

"""Many calls."""

import asyncio
import contextlib
import gc
import tracemalloc
from collections import deque
from typing import Any

import attrs
import pytest

from scillm import BadRequestError, ServiceUnavailableError
from scillm_router import Router, RouterParallelRequest

ASK = [{"role": "user", "content": "hi"}]


@pytest.fixture
def router(kernel):
    """A Router of three groups."""
    names = ("a", "b", "c")
    models = [{"model_name": n, "litellm_params": {"model": f"fleet/{n}"}} for n in names]
    return Router(models, kernel=kernel)


def fan(router, requests, **more):
    """Make the calls; returns the slots and how many tasks are left."""

    async def main():
        slots = await router.parallel_acompletions(requests, **more)
        return slots, len(asyncio.all_tasks()) - 1

    return asyncio.run(main())


def test_slots_are_in_order_and_read_in_both_ways(router):
    """Five attributes, and OpenAI's shape."""
    requests = [{"model": name, "messages": ASK} for name in "cab"]
    slots, left = fan(router, requests, concurrency=2)
    assert [(slot.index, slot.content, slot.error) for slot in slots] == [
        (0, "by c", None),
        (1, "by a", None),
        (2, "by b", None),
    ]
    first = slots[0]
    assert first["choices"][0]["message"]["content"] == first.response.text == "by c"
    assert first.request is requests[0]
    notes = first["scillm_router"]
    assert (notes["error_type"], notes["json_valid"], notes["provider"]) == ("ok", None, "fleet")
    assert notes["timing_ms"] >= 0
    assert "choices" in first
    assert left == 0


@attrs.frozen
class Mine:
    """Anything with a model and messages."""

    model: str
    messages: Any
    temperature: float = 0.3


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            {
                "model": "a",
                "messages": ASK,
                "response_format": {"type": "json_object"},
                "seed": 1,
                "tools": [{"type": "function"}],
                "kwargs": {"top_p": 0.5, "seed": 9},
            },
            {
                "response_format": {"type": "json_object"},
                "seed": 1,
                "tools": [{"type": "function"}],
                "top_p": 0.5,
            },
        ),
        (
            RouterParallelRequest(
                "a", ASK, temperature=0.1, max_tokens=3, kwargs={"seed": 2, "temperature": 1}
            ),
            {"temperature": 0.1, "max_tokens": 3, "seed": 2},
        ),
        (Mine("a", ASK), {"temperature": 0.3}),
    ],
)
def test_nothing_of_a_request_is_dropped(router, fleet, request_, expected):
    """Of a mapping, a RouterParallelRequest, or anything like it; the field wins over kwargs."""
    slots, _ = fan(router, [request_])
    assert slots[0].error is None
    assert dict(fleet.calls[-1].params) == expected


def test_a_failure_fills_its_slot_and_loses_nothing(router, fleet):
    """One that fails, and one that cannot be understood."""
    fleet.fails["b"] = [503]
    requests = [
        {"model": "a", "messages": ASK},
        {"model": "b", "messages": ASK},
        {"messages": ASK},
        42,
        {"model": "c", "messages": ASK, "temprature": 1},
        {"model": "c", "messages": ASK},
    ]
    slots, _ = fan(router, requests)
    assert [type(slot.error).__name__ for slot in slots] == [
        "NoneType",
        "ServiceUnavailableError",
        "BadRequestError",
        "BadRequestError",
        "UnsupportedParamsError",
        "NoneType",
    ]
    failed = slots[1]
    assert failed.response is failed.content is None
    assert failed["choices"] == ()
    assert failed["error"]["status"] == 503
    assert failed["scillm_router"]["error_type"] == "provider_error"
    assert "ServiceUnavailableError" in failed["scillm_router"]["exception"]


def test_fail_fast_ends_the_rest(router, fleet):
    """The first error is raised at once; the others are cancelled and closed."""
    fleet.fails["b"] = [503]
    closed = []

    async def gate(model):
        if model == "a":
            try:
                await asyncio.Event().wait()
            finally:
                closed.append(model)
        if model == "c":
            await asyncio.sleep(0.01)

    fleet.gate = gate

    async def main():
        requests = [{"model": name, "messages": ASK} for name in "aaabccccc"]
        with pytest.raises(ServiceUnavailableError):
            await router.parallel_acompletions(requests, concurrency=4, return_exceptions=False)
        return len(asyncio.all_tasks()) - 1

    assert asyncio.run(main()) == 0
    assert closed == ["a"] * 3
    assert fleet.asked in (["a", "a", "a", "b"], ["a", "a", "a", "b", "c"])


@pytest.mark.parametrize("name", ["concurrency", "max_concurrency"])
def test_so_many_are_under_way(router, fleet, name):
    """Never more."""
    most = inside = 0

    async def gate(model):
        nonlocal most, inside
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1

    fleet.gate = gate
    fan(router, [{"model": "a", "messages": ASK}] * 20, **{name: 3})
    assert most == 3


def test_cancelling_ends_all_of_it(router, fleet):
    """No task is left."""

    async def gate(model):
        await asyncio.Event().wait()

    async def main():
        fleet.gate = gate
        run = asyncio.ensure_future(
            router.parallel_acompletions([{"model": "a", "messages": ASK}] * 9)
        )
        await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        return len(asyncio.all_tasks()) - 1

    assert asyncio.run(main()) == 0


def test_slots_come_as_they_are_ready(router, fleet):
    """And leaving early ends the rest."""
    opened = {}

    async def main():
        opened.update({name: asyncio.Event() for name in "abc"})

        async def gate(model):
            await opened[model].wait()

        fleet.gate = gate
        requests = [{"model": name, "messages": ASK} for name in "abc"]
        seen = []
        opened["c"].set()
        slots = router.parallel_as_completed(requests)
        async for slot in slots:
            seen.append((slot.index, slot.content))
            if slot.index == 2:
                opened["a"].set()
            else:
                break
        await slots.aclose()
        return seen, len(asyncio.all_tasks()) - 1

    assert asyncio.run(main()) == ([(2, "by c"), (0, "by a")], 0)


def test_requests_are_read_as_they_are_needed(router):
    """A hundred thousand would not lie in memory; an error in reading them is raised."""
    read = []

    def requests():
        for number in range(1000):
            read.append(number)
            yield {"model": "a", "messages": ASK}

    async def main():
        slots = router.parallel_as_completed(requests(), concurrency=4)
        async for _ in slots:
            break
        await slots.aclose()

    asyncio.run(main())
    assert len(read) < 20

    def broken():
        yield {"model": "a", "messages": ASK}
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fan(router, broken())


@pytest.mark.parametrize("name", ["parallel_acompletions", "parallel_as_completed"])
def test_requests_may_come_from_an_async_iterator(router, name):
    """Read one at a time, as they are needed, and closed when no more are wanted."""
    read, closed = [], []

    async def requests():
        try:
            for number in range(1000):
                await asyncio.sleep(0)
                read.append(number)
                yield {"model": "abc"[number % 3], "messages": ASK}
        finally:
            closed.append(True)

    async def main():
        if name == "parallel_acompletions":
            slots = await router.parallel_acompletions(requests(), concurrency=7)
        else:
            slots = []
            async with contextlib.aclosing(
                router.parallel_as_completed(requests(), concurrency=7)
            ) as coming:
                async for slot in coming:
                    slots.append(slot)
                    if len(slots) == 20:
                        break
        return slots, len(asyncio.all_tasks()) - 1

    slots, left = asyncio.run(main())
    assert (left, closed) == (0, [True])
    if name == "parallel_acompletions":
        assert [slot.index for slot in slots] == list(range(1000))
        assert {slot.content for slot in slots[::3]} == {"by a"}
    else:
        assert len(read) < 20 + 2 * 7 + 1


def test_an_async_iterator_that_fails_is_told(router):
    """And the rest is cancelled."""

    async def requests():
        yield {"model": "a", "messages": ASK}
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fan(router, requests())


def test_a_worker_that_somebody_else_cancels_ends_the_run(router, fleet):
    """Rather than having it wait for ever."""

    async def main():
        async def gate(model):
            if model == "b":
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            await asyncio.Event().wait()

        fleet.gate = gate
        requests = [{"model": name, "messages": ASK} for name in "aab"]
        with pytest.raises(asyncio.CancelledError):
            await router.parallel_acompletions(requests)
        return len(asyncio.all_tasks()) - 1

    assert asyncio.run(main()) == 0


def test_as_many_workers_are_made_as_there_is_work(router):
    """However many may be under way."""

    async def main():
        slots = router.parallel_as_completed(
            [{"model": "a", "messages": ASK}] * 3, concurrency=1_000_000
        )
        async for _ in slots:
            assert len(asyncio.all_tasks()) < 6
        return True

    assert asyncio.run(main())


@pytest.mark.slow
def test_memory_is_flat(router, fleet):
    """Whatever the number of requests."""
    fleet.calls, fleet.asked = deque(maxlen=1), deque(maxlen=1)

    async def many(count):
        async for _ in router.parallel_as_completed(
            ({"model": "a", "messages": ASK} for _ in range(count)), concurrency=8
        ):
            pass

    asyncio.run(many(200))
    gc.collect()
    tracemalloc.start()
    asyncio.run(many(1000))
    _, peak_of_less = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    asyncio.run(many(10_000))
    _, peak_of_more = tracemalloc.get_traced_memory()
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 200_000
    assert peak_of_more < peak_of_less + 200_000


def test_streams_are_drained_to_whole_answers(router):
    """With all their fields."""
    slots, _ = fan(router, [{"model": "a", "messages": ASK, "stream": True}])
    assert slots[0].content == "by a"
    assert slots[0].response.usage.total_tokens == 5


@pytest.mark.parametrize(
    ("asked", "is_valid", "kind"),
    [({}, None, "ok"), ({"response_format": {"type": "json_object"}}, False, "invalid_json")],
)
def test_prose_is_invalid_json_only_where_json_was_asked_for(router, asked, is_valid, kind):
    """An ordinary answer is an ordinary answer."""
    slots, _ = fan(router, [{"model": "a", "messages": ASK, **asked}])
    notes = slots[0]["scillm_router"]
    assert (notes["json_valid"], notes["error_type"]) == (is_valid, kind)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True])
def test_what_is_no_number_of_calls_is_refused(router, wrong):
    """Rather than waiting for ever."""
    with pytest.raises(BadRequestError, match="concurrency"):
        fan(router, [], concurrency=wrong)


def test_a_deterministic_router_makes_one_call_at_a_time(kernel, fleet):
    """In the order of the requests."""
    router = Router(
        [{"model_name": n, "litellm_params": {"model": f"fleet/{n}"}} for n in "abc"],
        kernel=kernel,
        deterministic=True,
    )
    fan(router, [{"model": name, "messages": ASK} for name in "bcab"], concurrency=8)
    assert fleet.asked == list("bcab")

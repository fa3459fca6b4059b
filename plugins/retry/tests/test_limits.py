"""Waits that a provider asks for, the budget of time, and leaving early."""

import asyncio
import gc
import pickle
import sys
import time
import tracemalloc
from email.utils import formatdate

import pytest

from scillm import (
    APIConnectionError,
    BadRequestError,
    InvalidResponse,
    Kernel,
    PluginError,
    RateLimitError,
    Request,
    Response,
    Route,
    ServiceUnavailableError,
    SettingError,
    Timeout,
    hookimpl,
)
from scillm_retry import Retry

PERMANENT = [400, 401, 403, 404, 422]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529, 408])
def test_a_passing_status_is_retried(ask, wire, ok, status):
    """The answer that comes at last is the answer."""
    wire.fail(status).reply(ok)
    assert ask().text == "ok"
    assert len(wire.sent) == 2


@pytest.mark.parametrize("status", PERMANENT)
@pytest.mark.parametrize("is_tenacious", [False, True])
def test_what_is_wrong_with_the_request_is_not_retried(ask, wire, status, is_tenacious):
    """Numbers and words in the message decide nothing, in tenacious mode either."""
    wire.fail(status, {"error": {"message": "429 at capacity, overloaded, 503", "code": 503}})
    with pytest.raises(Exception, match="at capacity") as info:
        ask(tenacious=is_tenacious)
    assert info.value.status_code == status
    assert len(wire.sent) == 1
    assert "gave up" not in str(info.value)
    assert not hasattr(info.value, "retries")


@pytest.mark.parametrize("number", ["400", "401", "403", "404", "422"])
def test_a_number_in_the_message_makes_nothing_permanent(ask, wire, ok, number):
    """An id, a count or a time that looks like a status is prose."""
    wire.fail(503, {"error": {"message": f"request req-{number} waits for {number} others"}}).reply(
        ok
    )
    assert ask(tenacious=True).text == "ok"


@pytest.mark.parametrize("fault", ["drop", "hang", "malformed", "html", "empty"])
def test_what_is_no_answer_is_retried(ask, wire, ok, fault):
    """Broken connections, deadlines, and bodies that are not what the protocol says."""
    bodies = {"malformed": b'{"choices": [', "html": b"<html>busy</html>", "empty": {"choices": []}}
    (wire.reply(bodies[fault]) if fault in bodies else getattr(wire, fault)()).reply(ok)
    assert ask().text == "ok"
    assert len(wire.sent) == wire.closed == 2


@pytest.mark.parametrize(
    ("header", "waited_s"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after_ms": "2500"}, 2.5),
        ({"retry_after_ms": "2500", "retry_after": "9"}, 2.5),
        ({"retry_after": "0"}, 2),  # our own wait is longer
        ({"retry_after": "nonsense"}, 2),
        ({"retry_after": "150"}, 150),  # more than the longest wait of our own choice
        ({}, 2),
    ],
)
def test_the_provider_says_how_long_to_wait_at_least(ask, wire, ok, clock, *, header, waited_s):
    """Seconds and milliseconds; what is longer, theirs or ours, is the wait."""
    wire.fail(429, **header).reply(ok)
    ask()
    assert clock.now_s == waited_s


def test_the_provider_may_give_a_date(ask, wire, ok, clock):
    """The other form that HTTP has."""
    wire.fail(503, retry_after=formatdate(time.time() + 30, usegmt=True)).reply(ok)
    ask()
    assert 25 < clock.now_s <= 30


def test_each_wait_follows_the_latest_answer(ask, wire, ok, clock):
    """Not the first one's."""
    wire.fail(429, retry_after="5").fail(429, retry_after="30").fail(503).reply(ok)
    ask()
    assert clock.now_s == 5 + 30 + 8


def test_a_wait_longer_than_the_budget_gives_up_at_once(ask, wire, clock):
    """Neither a request too early, nor a sleep for nothing."""
    wire.fail(429, retry_after="150")
    with pytest.raises(
        RateLimitError, match="asks for a wait of 150.0 s, and 60.0 s are left"
    ) as info:
        ask(retry_time_budget_s=60)
    assert len(wire.sent) == 1
    assert clock.now_s == 0
    assert info.value.failure.retry_after_s == 150
    assert "retry_time_budget_s or tenacious=True allows more" in str(info.value)


def test_tenacious_waits_as_long_as_it_is_asked_to(ask, wire, ok, clock):
    """The same answer, and six hours of time."""
    wire.fail(429, retry_after="150").reply(ok)
    ask(tenacious=True, retry_time_budget_s=60)
    assert clock.now_s == 150


def test_tenacious_never_sleeps_past_its_deadline(ask, wire, clock):
    """However long the outage, the call ends within its time."""
    wire.fail(503)
    with pytest.raises(ServiceUnavailableError, match="max_wall_time_s allows more"):
        ask(tenacious=True)
    assert 21600 - 300 <= clock.now_s < 21600
    assert len(wire.sent) == 79


def test_the_last_error_is_raised_and_says_what_was_tried(ask, wire):
    """Its own class, its own failure, its own retry information, and it survives pickling."""
    wire.fail(503).drop().fail(429, {"error": {"message": "slow down"}}, retry_after="3")
    with pytest.raises(RateLimitError) as info:
        ask(max_retries=2)
    error = pickle.loads(pickle.dumps(info.value))
    assert str(error) == str(info.value) == error.message
    assert error.message.endswith("slow down (gave up after 3 attempts in 6.0 s)")
    assert (error.status_code, error.llm_provider, error.model) == (429, "openai", "m")
    assert error.retries == {"attempts": 3, "total_sleep_s": 6.0, "last_retry_after_s": 3.0}


def test_a_permanent_error_after_retries_says_so_too(ask, wire):
    """It is raised at once, with what had been tried."""
    wire.fail(503).fail(400, {"error": {"message": "no"}})
    with pytest.raises(BadRequestError, match="gave up after 2 attempts in 2.0 s") as info:
        ask()
    assert info.value.retries["attempts"] == 2


def test_an_error_that_is_shared_is_not_changed(clock, longest):
    """Two calls that meet the same error object each tell their own story."""
    shared = ServiceUnavailableError("down", llm_provider="p", model="m")
    kernel = _probed(longest, shared, fails=99)[1]
    for _ in range(2):
        with pytest.raises(
            ServiceUnavailableError, match=r"^down \(gave up after 2 attempts in 2.0 s\)$"
        ):
            clock.run(_hi(kernel, max_retries=1))
    assert shared.message == str(shared) == "down"


def test_the_budget_ends_an_attempt_that_hangs(clock, longest):
    """An attempt has what is left of the time, whatever its own deadline is."""
    _, kernel = _probed(longest, hangs=True)
    with pytest.raises(
        Timeout, match="no answer within the 5 s that all attempts may take"
    ) as info:
        clock.run(_hi(kernel, retry_time_budget_s=5))
    assert clock.now_s == 5
    assert (info.value.llm_provider, info.value.model) == ("probe", "m")
    assert str(info.value.failure.kind) == "timeout"


def test_the_budget_ends_a_later_attempt_and_tells_what_came_before(clock, longest):
    """The reason is not lost because the last attempt had none."""
    _, kernel = _probed(longest, RateLimitError("too fast"), fails=1, hangs=True)
    with pytest.raises(
        Timeout, match="before that: probe/m: too fast .gave up after 2 attempts in 9.0 s"
    ):
        clock.run(_hi(kernel, retry_time_budget_s=9))
    assert clock.now_s == 9


@pytest.mark.parametrize(
    ("arguments", "end_s"),
    [
        ({}, 600),
        ({"timeout": 30}, 600),
        ({"timeout": 7200}, 7200),
        ({"retry_time_budget_s": 9, "timeout": 7200}, 9),
        ({"tenacious": True}, 21600),
        ({"tenacious": True, "max_wall_time_s": 9, "timeout": 7200}, 9),
    ],
)
def test_a_budget_that_nobody_set_is_no_shorter_than_the_timeout(clock, longest, arguments, end_s):
    """A call that may take two hours is not cut after ten minutes."""
    with pytest.raises(Timeout):
        clock.run(_hi(_probed(longest, hangs=True)[1], **arguments))
    assert clock.now_s == end_s


def test_a_budget_from_the_environment_ends_the_first_attempt(monkeypatch, clock, longest):
    """It is looked up once an attempt takes its time, and holds to the second."""
    monkeypatch.setenv("SCILLM_RETRY_TIME_BUDGET_S", "5")
    with pytest.raises(Timeout, match="within the 5 s"):
        clock.run(_hi(_probed(longest, hangs=True)[1]))
    assert clock.now_s == 5


def test_a_budget_that_cannot_be_read_ends_a_slow_call(monkeypatch, clock, longest):
    """Not only a failed one: a limit that was meant is not dropped in silence."""
    monkeypatch.setenv("SCILLM_RETRY_TIME_BUDGET_S", "soon")
    probe, kernel = _probed(longest, hangs=True)
    with pytest.raises(SettingError, match="SCILLM_RETRY_TIME_BUDGET_S='soon'"):
        clock.run(_hi(kernel))
    assert clock.now_s < 1
    assert probe.closed == 1


def test_a_budget_shorter_than_the_patience_is_over_at_once(monkeypatch, clock, longest):
    """The first look may come too late to be exact; it still ends the attempt."""
    monkeypatch.setenv("SCILLM_RETRY_TIME_BUDGET_S", "0.001")
    with pytest.raises(Timeout):
        clock.run(_hi(_probed(longest, hangs=True)[1]))
    assert clock.now_s == 0.05


def test_a_call_that_is_answered_reads_no_setting(monkeypatch, ask, wire, ok):
    """Idle costs nothing: what nobody reads may even be wrong."""
    for name in ("RETRY_TIME_BUDGET_S", "TENACIOUS", "MAX_RETRIES", "RETRY_META", "LOG_JSON"):
        monkeypatch.setenv(f"SCILLM_{name}", "nonsense")
    wire.reply(ok)
    assert ask().text == "ok"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tasks do not count who cancels them")
def test_a_caller_who_leaves_at_the_deadline_is_not_held(clock, longest):
    """Two cancel in the same moment; the caller's wish is the one that counts."""
    _, kernel = _probed(longest, hangs=True)

    async def main():
        task = asyncio.ensure_future(_hi(kernel, retry_time_budget_s=5))
        await asyncio.sleep(0)
        clock.loop.call_at(5, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task

    clock.run(main())
    assert clock.now_s == 5


def test_there_may_be_no_limit_at_all(clock, longest):
    """A budget without end sets no timer."""
    _, kernel = _probed(longest, RateLimitError("x"), fails=1)
    assert clock.run(_hi(kernel, retry_time_budget_s=float("inf"))).text == "hi"


def test_cancelling_a_wait_leaves_nothing(kernel, wire, clock):
    """No task, no timer that matters, no second request."""
    wire.fail(503, retry_after="100")

    async def main():
        task = asyncio.ensure_future(_hi(kernel, "openai/m", api_key="k"))
        await asyncio.sleep(50)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(500)

    clock.run(main())
    assert len(wire.sent) == wire.closed == 1


def test_cancelling_an_attempt_closes_it(clock, longest):
    """A caller who leaves is not taken for a deadline."""
    probe, kernel = _probed(longest, hangs=True)

    async def main():
        task = asyncio.ensure_future(_hi(kernel, retry_time_budget_s=60))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    clock.run(main())
    assert (probe.begun, probe.closed) == (1, 1)


def test_failures_leave_nothing_behind(wire, ask, ok):
    """Thousands of failed calls, given up or mended, keep no memory."""

    def failing(calls):
        for _ in range(calls):
            wire.answers.clear()
            wire.fail(503)
            with pytest.raises(ServiceUnavailableError):
                ask(max_retries=2)
            wire.answers.clear()
            wire.fail(429, retry_after="1").reply(ok)
            ask()
            wire.sent.clear()
        gc.collect()
        return len(gc.get_objects())

    failing(50)
    tracemalloc.start()
    try:
        objects, (before, _) = failing(50), tracemalloc.get_traced_memory()
        assert failing(400) - objects < 100
        assert tracemalloc.get_traced_memory()[0] - before < 60_000
    finally:
        tracemalloc.stop()


def test_an_invalid_answer_keeps_its_class(ask, wire):
    """What no retry mends comes out as what it is."""
    wire.reply(b"<html>")
    with pytest.raises(InvalidResponse, match="gave up after 4 attempts"):
        ask()


def test_a_server_that_is_not_there(clock, longest):
    """A connection that is refused is retried, then raised."""
    _, kernel = _probed(longest, ConnectionRefusedError("refused"), fails=99)
    with pytest.raises(APIConnectionError, match="refused .gave up after 4 attempts in 14.0 s"):
        clock.run(_hi(kernel))


def test_a_stray_error_of_a_strategy_below_is_not_taken_for_our_deadline(clock, longest):
    """Only what the kernel has named is retried; the rest is a bug of its plugin."""

    class Stray:
        ORDER = 400

        @hookimpl(wrapper=True)
        def send(self):
            inner = yield
            return inner and self._send

        async def _send(self, request):
            raise TimeoutError("stray")
            yield

    probe = Probe(None, 0, hangs=False)
    with pytest.raises(PluginError, match="TimeoutError: stray"):
        clock.run(_hi(Kernel.of(Stray(), probe, Retry(draw=longest))))
    assert probe.begun == 0


class Probe:
    """A provider that fails some times, then hangs or answers; it counts what happens to it."""

    PROVIDERS = ("probe",)

    def __init__(self, error, fails, hangs):
        self.error, self.fails, self.hangs = error, fails, hangs
        self.begun = self.closed = 0

    @hookimpl
    def resolve_model(self, call):
        return Route(provider="probe", model="m") if call.model_for("probe") else None

    @hookimpl
    def prepare_request(self, call, route):
        return Request(route=route, url="probe:", read=lambda frame: ())

    @hookimpl
    def send(self):
        return self._send

    async def _send(self, request):
        self.begun += 1
        try:
            if self.begun <= self.fails:
                raise self.error
            if self.hangs:
                await asyncio.Event().wait()
            message = {"role": "assistant", "content": "hi"}
            yield Response({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        finally:
            self.closed += 1


def _probed(longest, error=None, *, fails=0, hangs=False):
    probe = Probe(error, fails, hangs)
    return probe, Kernel.of(probe, Retry(draw=longest))


def _hi(kernel, model="probe/m", **arguments):
    return kernel.acompletion(model, [{"role": "user", "content": "hi"}], **arguments)


def test_a_budget_that_is_over_at_once_cancels_nothing_but_the_attempt(kernel, wire, ok):
    """An answer that needed no wait is given, and the caller's next wait is left alone."""
    wire.reply(ok)

    async def main():
        messages = [{"role": "user", "content": "hi"}]
        ask = {"api_key": "sk-1", "retry_time_budget_s": 1e-12}
        answer = await kernel.acompletion("openai/m", messages, **ask)
        await asyncio.sleep(0.001)
        return answer.text

    assert asyncio.run(main()) == "ok"

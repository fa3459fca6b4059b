"""Whole runs against a server."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time

import attrs
import pytest

from pytest_scillm.endpoint import Endpoint
from scillm import Router, extras, run_batch
from scillm_batch import BatchError, Item, Limits, Row, Summary
from scillm_batch.engines import Local
from scillm_batch.progress import line

NUMBER = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a", "b"]}


def requests(count, **more):
    """So many items."""
    return [
        {"item_id": f"i{n}", "messages": [{"role": "user", "content": f"say {n}"}], **more}
        for n in range(count)
    ]


def finished(run):
    """The summary of a run."""

    async def main():
        return await run

    return asyncio.run(main())


def rows_of(path):
    """The lines of an output."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_item_comes_back_in_order(where, tmp_path):
    """One line for each, with who answered and what it took."""
    out = tmp_path / "out.jsonl"

    summary = finished(run_batch(requests(300), out, concurrency=32, **where("echo-lat5~4")))

    rows = rows_of(out)
    assert isinstance(summary, Summary)
    assert (summary.done, summary.ok, summary.failed, summary.asked) == (300, 300, 0, 300)
    assert summary.is_complete
    assert [row["index"] for row in rows] == list(range(300))
    assert [row["content"] for row in rows] == [f"say {n}" for n in range(300)]
    row = rows[7]
    assert list(row) == [
        "item_id",
        "index",
        "request_hash",
        "response",
        "content",
        "parsed",
        "error",
        "attempts",
        "served_by",
        "usage",
        "cost",
        "timings",
    ]
    assert row["response"]["choices"][0]["message"]["content"] == "say 7"
    assert row["served_by"]["provider"] == "openai_like"
    assert row["served_by"]["reported_model"] == row["response"]["model"]
    assert row["usage"]["total_tokens"] == row["response"]["usage"]["total_tokens"]
    assert row["attempts"] == 1
    assert row["timings"]["duration_ms"] > 0
    assert summary.tokens == sum(r["usage"]["total_tokens"] for r in rows)


def test_rows_can_be_iterated_once_they_are_on_the_disk(where, tmp_path):
    """In the order in which they are ready."""
    out = tmp_path / "out.jsonl"

    async def main():
        run = run_batch(requests(50), out, **where("echo"))
        seen = []
        async for row in run:
            assert isinstance(row, Row)
            assert row.item_id in out.read_text()
            seen.append(row.item_id)
        return seen, run.summary

    seen, summary = asyncio.run(main())
    assert sorted(seen) == sorted(f"i{n}" for n in range(50))
    assert summary.ok == 50


def test_rows_wait_for_a_slow_taker_and_none_is_lost(where):
    """More of them than may wait at a time."""

    async def main():
        seen = []
        async for row in run_batch(requests(700), concurrency=64, **where("echo")):
            if not seen:
                await asyncio.sleep(0.5)
            seen.append(row.index)
        return seen

    assert sorted(asyncio.run(main())) == list(range(700))


def test_a_parameter_of_calls_is_no_limit_of_the_run(where, answers):
    """max_tokens is each answer's."""
    place = where("echo")
    assert finished(run_batch(requests(5), max_tokens=1, **place)).ok == 5
    assert answers(place["api_base"])[0]["max_tokens"] == 1


def test_leaving_early_loses_nothing_that_was_answered(where, tmp_path, answers):
    """And the next run asks the rest alone."""
    out, place = tmp_path / "out.jsonl", where("echo-lat5")

    async def leave():
        async for row in run_batch(requests(60), out, concurrency=4, **place):
            if row.index >= 20:
                break

    asyncio.run(leave())
    written = len(rows_of(out))
    assert written >= 20

    summary = finished(run_batch(requests(60), out, resume=True, concurrency=4, **place))
    assert (summary.skipped, summary.asked, summary.done) == (written, 60 - written, 60)
    assert len(answers(place["api_base"])) <= 60 + 4


def test_an_output_is_not_written_over_by_accident(where, tmp_path):
    """It says how to go on, and how to begin anew."""
    out, place = tmp_path / "out.jsonl", where("echo")
    finished(run_batch(requests(3), out, **place))

    with pytest.raises(BatchError, match="say --resume"):
        finished(run_batch(requests(3), out, **place))

    summary = finished(run_batch(requests(2), out, overwrite=True, **place))
    assert (summary.asked, len(rows_of(out))) == (2, 2)


@pytest.mark.parametrize("kind", ["list", "generator", "async generator", "items"])
def test_items_come_from_any_iterable(where, kind):
    """A slow one does not hold up what it has given."""
    given = requests(5)

    async def asynchronous():
        for each in given:
            yield each

    source = {
        "list": given,
        "generator": (each for each in given),
        "async generator": asynchronous(),
        "items": [
            Item(id=str(n), index=n, arguments={"messages": each["messages"]})
            for n, each in enumerate(given)
        ],
    }[kind]

    async def main():
        return [row.content async for row in run_batch(source, **where("echo"))]

    assert sorted(asyncio.run(main())) == [f"say {n}" for n in range(5)]


def test_an_input_that_fails_half_way_keeps_what_was_answered(where, tmp_path):
    """Its own error comes out."""
    out = tmp_path / "out.jsonl"

    def broken():
        yield from requests(300)
        raise KeyError("no more")

    with pytest.raises(KeyError):
        finished(run_batch(broken(), out, **where("echo-lat5")))

    assert len(rows_of(out)) == 300
    assert finished(run_batch(requests(300), out, resume=True, **where("echo"))).done == 300


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_source_that_pauses_hands_over_what_it_has(where, kind):
    """The first items are answered before the next one is there."""
    answered = threading.Event()

    def paused():
        yield from requests(3)
        assert answered.wait(20)
        yield from requests(4)[3:]

    async def asynchronous():
        for each in requests(3):
            yield each
        await asyncio.to_thread(answered.wait, 20)
        yield requests(4)[3]

    async def main():
        seen = []
        async for row in run_batch(paused() if kind == "sync" else asynchronous(), **where("echo")):
            seen.append(row.index)
            if len(seen) == 3:
                answered.set()
        return seen

    assert sorted(asyncio.run(main())) == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_source_that_says_nothing_more_holds_up_neither_a_stop_nor_a_limit(where, kind):
    """It is left behind; a run that ends so is not complete."""
    release = threading.Event()

    def silent():
        yield from requests(2)
        release.wait(60)

    async def asynchronous():
        for each in requests(2):
            yield each
        await asyncio.sleep(60)

    async def main():
        source = silent() if kind == "sync" else asynchronous()
        return await run_batch(source, limits={"max_wall_time_s": 0.3}, **where("echo"))

    begun_s = time.monotonic()
    summary = asyncio.run(main())
    release.set()
    assert (summary.stopped, summary.done) == ("max_wall_time_s is reached", 2)
    assert time.monotonic() - begun_s < 20


def test_a_source_is_closed_when_a_run_ends_early(where):
    """So that its files are."""
    closed = []

    def source():
        try:
            yield from requests(5000)
        finally:
            closed.append("sync")

    async def asynchronous():
        try:
            for each in requests(5000):
                yield each
        finally:
            closed.append("async")

    for each in (source(), asynchronous()):
        finished(run_batch(each, limits={"max_requests": 3}, **where("echo")))
    assert closed == ["sync", "async"]


def test_a_limit_that_the_whole_input_keeps_is_not_reached(where, tmp_path):
    """As many requests as there are items."""
    summary = finished(run_batch(requests(9), limits={"max_requests": 9}, **where("echo")))
    assert (summary.stopped, summary.done, summary.is_complete) == ("", 9, True)


@pytest.mark.parametrize("turns", [*range(0, 60, 5), *range(60, 300, 30)])
def test_a_run_that_is_cancelled_leaves_nothing_behind(where, tmp_path, turns):
    """No task, thread or lock, whatever it was waiting for; and it can be resumed."""
    out, place = tmp_path / "out.jsonl", where("echo")

    async def source():
        for each in requests(5000):
            yield each

    async def main():
        task = asyncio.ensure_future(awaited(run_batch(source(), out, **place)))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        for _ in range(1000):
            names = [each.name for each in threading.enumerate()]
            if not any("scillm-batch" in name for name in names):
                break
            await asyncio.sleep(0.01)
        assert not any("scillm-batch" in name for name in names)
        return await run_batch(requests(40), out, resume=True, **place)

    assert asyncio.run(main()).ok >= 40
    indices = [row["index"] for row in rows_of(out)]
    assert indices == sorted(set(indices))
    assert {*range(40)} <= {*indices}


async def awaited(run):
    """A run as a coroutine."""
    return await run


class Scripted:
    """An engine that does as it is told."""

    def __init__(self, work):
        self._work = work

    def state(self):
        return {"in_flight": 0, "limit": 0, "paused_s": 0.0}

    async def run(self, job, pull, push):
        await self._work(pull, push)


def _row(item, digest):
    return Row(item_id=item.id, index=item.index, request_hash=digest)


async def _twice(pull, push):
    ((item, digest),) = await pull(1)
    await push(_row(item, digest))
    await push(_row(item, digest))


async def _never(pull, push):
    while await pull(3):
        pass


async def _foreign(pull, push):
    await pull(1)
    await push(Row(item_id="zz", index=0, request_hash=""))


async def _early(pull, push):
    for item, digest in await pull(3):
        await push(_row(item, digest))


@pytest.mark.parametrize(
    ("work", "why", "lines"),
    [
        (_twice, "a row of 'i0', for which nobody waits", 1),
        (_never, "with 10 items unanswered", 0),
        (_foreign, "a row of 'zz', for which nobody waits", 0),
        (_early, "before the input did, with 0 items unanswered", 3),
    ],
)
def test_an_engine_that_breaks_its_word_is_told(tmp_path, work, why, lines):
    """No line is doubled, and no item is lost in silence."""
    out = tmp_path / "out.jsonl"
    with pytest.raises(BatchError, match=why):
        finished(run_batch(requests(10), out, engine=Scripted(work)))
    assert len(rows_of(out)) == lines


def test_runs_side_by_side_and_one_twice(where, tmp_path):
    """In one loop, each with its output; one that has begun is not begun again."""

    async def main():
        runs = [run_batch(requests(20), tmp_path / f"{n}", **where("echo")) for n in range(3)]
        assert runs[0].progress() == {}
        summaries = await asyncio.gather(*map(awaited, runs))
        assert [each.ok for each in summaries] == [20, 20, 20]
        assert runs[0].progress()["done"] == 20
        with pytest.raises(BatchError, match="has begun before"):
            await runs[0]
        both = [run_batch(requests(20), tmp_path / "same", **where("echo")) for _ in range(2)]
        return await asyncio.gather(*map(awaited, both), return_exceptions=True)

    one, other = asyncio.run(main())
    assert {type(one), type(other)} == {Summary, BatchError}


def test_answers_of_any_content_are_kept(where, tmp_path):
    """Large, nested, with numbers that JSON has no room for, half characters, other line ends."""
    out = tmp_path / "out.jsonl"
    texts = [
        "x" * 1_000_000,
        "[" * 3000 + "]" * 3000,
        "[NaN]",
        "[1e999]",
        '{"a": ' + "9" * 5000 + "}",
        '{"a": ' + "9" * 50 + "}",
        '{"a": "\\ud800"}',
        "a\u2028b\u2029c\x85d",
        "",
    ]
    items = [{"messages": [{"role": "user", "content": text}]} for text in texts]

    summary = finished(run_batch(items, out, **where("echo")))

    rows = rows_of(out)
    assert summary.ok == len(texts)
    assert [row["content"] for row in rows] == texts
    assert rows[2]["parsed"] is None
    assert rows[5]["parsed"] == {"a": int("9" * 50)}


def test_an_item_that_fails_is_a_row_that_says_why(where, tmp_path):
    """What may succeed later is told from what will not."""
    out = tmp_path / "out.jsonl"
    good, bad, gone = where("echo"), where("422"), where("503")
    items = [
        {"item_id": name, "messages": [{"role": "user", "content": "hi"}], "api_base": base}
        for name, base in (
            ("good", good["api_base"]),
            ("bad", bad["api_base"]),
            ("gone", gone["api_base"]),
            ("odd", good["api_base"]),
        )
    ]
    items[3]["temprature"] = 0

    place = {name: value for name, value in good.items() if name != "api_base"}
    summary = finished(run_batch(items, out, **place))

    rows = {row["item_id"]: row for row in rows_of(out)}
    assert (summary.ok, summary.failed) == (1, 3)
    assert summary.errors == {
        "UnprocessableEntityError": 1,
        "ServiceUnavailableError": 1,
        "UnsupportedParamsError": 1,
    }
    assert rows["bad"]["error"]["status"] == 422
    assert rows["bad"]["error"]["retryable"] is False
    assert (rows["gone"]["error"]["status"], rows["gone"]["error"]["retryable"]) == (503, True)
    assert rows["gone"]["attempts"] == 3
    assert "did you mean 'temperature'" in rows["odd"]["error"]["message"]
    assert "sk-x" not in out.read_text()


def test_failed_items_are_asked_again_on_request(where, tmp_path):
    """And their old lines are kept aside."""
    out, place = tmp_path / "out.jsonl", where("s503.503.503.ok-echo")
    first = finished(run_batch(requests(1), out, **place))
    assert first.failed == 1

    again = finished(run_batch(requests(1), out, retry="failed", **place))

    assert (again.ok, again.failed, len(rows_of(out))) == (1, 0, 1)
    with pytest.raises(BatchError, match="failed and retryable"):
        run_batch(requests(1), out, retry="all", **place)


def test_retries_are_counted(where, tmp_path):
    """Each request is one attempt."""
    out = tmp_path / "out.jsonl"
    finished(run_batch(requests(1), out, **where("s503.ok-echo")))
    assert rows_of(out)[0]["attempts"] == 2


def test_a_router_can_be_given(where, tmp_path):
    """Its arguments, or one that is there; who answered is in the row."""
    first, second = where("503"), where("echo")
    model_list = [
        {
            "model_name": "text",
            "litellm_params": {
                "model": "m",
                "custom_llm_provider": "openai_like",
                "api_base": each["api_base"],
                "api_key": "sk-x",
                "order": order,
            },
        }
        for order, each in enumerate((first, second))
    ]
    for given in ({"model_list": model_list}, Router(model_list=model_list)):
        out = tmp_path / f"{type(given).__name__}.jsonl"
        finished(run_batch(requests(1), out, model="text", router=given))
        row = rows_of(out)[0]
        assert row["served_by"]["base_url"] == second["api_base"]
        assert row["served_by"]["deployment"].startswith("text:")
        assert row["attempts"] == 2


def _deployment(place, model, order=1):
    inner = {"model": model, "custom_llm_provider": "openai_like", "order": order}
    return {"model_name": "text", "litellm_params": {**inner, "api_base": place, "api_key": "sk-x"}}


def test_routes_that_rest_are_told(where):
    """In the progress, while a Router leaves one alone."""
    good, bad = where("echo-lat5")["api_base"], where("503")["api_base"]
    router = {
        "model_list": [_deployment(bad, "m", order=1), _deployment(good, "m", order=2)],
        "cooldown_time": 60,
    }

    async def main():
        run = run_batch(requests(20), model="text", router=router)
        async for _ in run:
            pass
        return run.progress()

    progress = asyncio.run(main())
    assert [name.partition(":")[0] for name in progress["resting"]] == ["text"]
    assert f"resting: {progress['resting'][0]}" in line(progress)


@pytest.fixture
def scripted():
    """A server that answers with texts, one after another."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.bodies.append(body)
            said = server.texts.pop(0) if len(server.texts) > 1 else server.texts[0]
            status, text = said if isinstance(said, tuple) else (200, said)
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            answer = {"id": "c", "object": "chat.completion", "created": 1}
            answer["model"] = body["model"].rpartition("/")[2]
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            answer |= {"choices": [choice], "usage": usage}
            out = json.dumps(answer if status == 200 else {"error": {"message": text}}).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(out)))
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(out)

        def log_message(self, *_):
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.bodies, server.texts = [], ["{}"]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    server.where = {
        "model": "openai_like/m",
        "api_base": f"http://127.0.0.1:{server.server_port}/v1",
        "api_key": "sk-x",
        "retry_after": 0.01,
        "max_retries": 1,
    }
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_json_is_asked_for_checked_and_asked_for_again(scripted, tmp_path):
    """With what was wrong; every request is counted and paid for."""
    out = tmp_path / "out.jsonl"
    scripted.texts = ['{"a": "one", "b": 1}', 'Sure: ```json\n{"a": 1, "b": 2}\n```']

    summary = finished(run_batch(requests(1), out, schema=NUMBER, **scripted.where))

    row = rows_of(out)[0]
    assert summary.ok == 1
    assert row["parsed"] == {"a": 1, "b": 2}
    assert json.loads(row["content"]) == row["parsed"]
    assert (row["attempts"], row["usage"]["total_tokens"]) == (2, 4)
    first, second = scripted.bodies
    assert first["response_format"]["json_schema"]["schema"] == NUMBER
    assert second["messages"][1] == {"role": "assistant", "content": '{"a": "one", "b": 1}'}
    assert "is not of type" in second["messages"][2]["content"]


def test_what_never_fits_is_an_error_with_its_text(scripted, tmp_path):
    """After so many repairs."""
    out = tmp_path / "out.jsonl"
    scripted.texts = ["I would rather not."]

    finished(run_batch(requests(1), out, schema=NUMBER, max_repairs=2, **scripted.where))

    error = rows_of(out)[0]["error"]
    assert len(scripted.bodies) == 3
    assert (error["type"], error["raw"]) == ("InvalidJSON", "I would rather not.")


def test_json_is_asked_for_in_a_way_that_the_model_takes(scripted, tmp_path):
    """It is found out once, and the answer is held to the schema all the same."""
    refused = (400, "response_format is not supported")
    scripted.texts = [refused, refused, '{"a": 1, "b": 2}']

    summary = finished(run_batch(requests(3), schema=NUMBER, concurrency=1, **scripted.where))

    assert summary.ok == 3
    forms = [body["response_format"]["type"] for body in scripted.bodies]
    assert forms == ["json_schema", "json_object", "text", "text", "text"]
    assert '"required": ["a", "b"]' in scripted.bodies[2]["messages"][0]["content"]


def test_a_class_of_attrs_is_a_schema(scripted, tmp_path):
    """Also in a file of JSON Schema."""

    @attrs.define
    class Pair:
        a: int
        b: int

    scripted.texts = ['{"a": 1, "b": 2}']
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(extras.schema_of(Pair)))
    for schema in (Pair, path):
        assert finished(run_batch(requests(1), schema=schema, **scripted.where)).ok == 1
    assert scripted.bodies[0] == scripted.bodies[1]
    path.write_text("[]")
    with pytest.raises(BatchError, match="no JSON object"):
        run_batch(requests(1), schema=path)


def test_an_exact_model_is_the_one_that_answers(scripted, tmp_path):
    """Another name in the answer is an error; a name may be given for what it is called there."""
    out = tmp_path / "out.jsonl"
    place = {**scripted.where, "model": "openai_like/vendor/m"}

    finished(run_batch(requests(1), out, exact_model=True, **place))
    error = rows_of(out)[0]["error"]
    assert error["type"] == "OtherModel"
    assert "'m', and the run is for 'vendor/m' alone" in error["message"]

    assert finished(run_batch(requests(1), exact_model="m", **place)).ok == 1


def test_an_exact_model_of_a_router_is_one_for_the_whole_run(scripted, tmp_path):
    """What another model of the group answers, when the first is out, is an error."""
    out, place = tmp_path / "out.jsonl", scripted.where
    scripted.texts = ["one", (503, "out"), "two", "three"]
    router = {"model_list": [_deployment(place["api_base"], n, o) for o, n in enumerate("mn")]}

    finished(
        run_batch(requests(2), out, model="text", router=router, exact_model=True, concurrency=1)
    )

    first, second = rows_of(out)
    assert (first["error"], first["served_by"]["model"]) == (None, "m")
    assert second["error"]["type"] == "OtherModel"
    assert "from the model 'n', and the run is for 'm' alone" in second["error"]["message"]


def test_an_exact_model_waits_as_long_as_it_takes(where, tmp_path):
    """And is never replaced by a fallback."""
    out, place = tmp_path / "out.jsonl", where("s429.429.429.429.429.ok-echo")
    place |= {"max_retries": 0, "backoff_cap_s": 0.01}
    finished(run_batch(requests(1), out, exact_model="mock-model", **place))
    assert (rows_of(out)[0]["error"], rows_of(out)[0]["attempts"]) == (None, 6)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"max_requests": 10}, "max_requests"), ({"max_tokens": 600}, "max_tokens")],
)
def test_a_limit_stops_a_run_that_can_be_resumed(where, tmp_path, answers, limits, reason):
    """What is under way is finished and written."""
    out, place = tmp_path / "out.jsonl", where("echo-lat5")

    first = finished(run_batch(requests(40), out, concurrency=4, limits=limits, **place))

    assert first.stopped == f"{reason} is reached"
    assert not first.is_complete
    assert 5 <= first.asked <= 14
    assert len(answers(place["api_base"])) == first.asked
    assert finished(run_batch(requests(40), out, resume=True, **place)).done == 40


PRICES = {"mock-model": {"request_usd": 0.25}}


def test_money_may_be_limited(where, tmp_path):
    """Calls are asked for their cost; it is in the rows and in the sums."""
    out, place = tmp_path / "out.jsonl", where("echo-lat5")
    run = run_batch(
        requests(40), out, concurrency=4, limits={"max_cost": 2.0}, prices=PRICES, **place
    )
    summary = finished(run)

    assert summary.stopped == "max_cost is reached"
    assert summary.cost == pytest.approx(0.25 * summary.done)
    assert 2.0 <= summary.cost <= 3.0
    assert {row["cost"] for row in rows_of(out)} == {0.25}


def test_a_limit_of_cost_that_nobody_can_keep_stops_the_run(where, tmp_path):
    """At the first answer of unknown cost, and says how to give its price."""
    run = run_batch(requests(500), concurrency=4, limits={"max_cost": 2.0}, **where("echo"))
    summary = finished(run)
    assert summary.stopped.startswith("nobody knows what openai_like/m at http://127.0.0.1")
    assert summary.stopped.endswith("give its price by SCILLM_PRICES or prices={...}")
    assert summary.done < 20


def test_a_limit_of_cost_needs_somebody_who_tells_it():
    """With what to install."""
    program = "from scillm import run_batch; run_batch([], limits={'max_cost': 1})"
    command, blocked = [sys.executable, "-c", program], {"SCILLM_PLUGINS_BLOCK": "telemetry"}
    run = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **blocked}, check=False
    )
    assert "pip install 'scillm-telemetry[prices]'" in run.stderr


def test_requests_are_never_more_than_permitted(where, answers):
    """Also with many under way."""
    place = where("echo-lat5")
    finished(run_batch(requests(200), concurrency=64, limits={"max_requests": 50}, **place))
    assert len(answers(place["api_base"])) == 50


def test_time_may_be_limited(where, tmp_path):
    """In seconds."""
    limits = Limits(max_wall_time_s=0.3)
    run = run_batch(requests(10_000), concurrency=2, limits=limits, **where("echo-lat20"))
    begun_s = time.monotonic()
    assert finished(run).stopped == "max_wall_time_s is reached"
    assert time.monotonic() - begun_s < 20


def test_a_run_can_be_asked_to_stop(where, tmp_path):
    """It finishes what is under way."""
    run = run_batch(requests(1000), concurrency=4, **where("echo-lat5"))

    async def main():
        count = 0
        async for _ in run:
            count += 1
            if count == 10:
                run.stop("enough")
        return count

    assert 10 <= asyncio.run(main()) <= 30
    assert run.summary.stopped == "enough"


def test_a_rate_of_the_environment_holds_for_a_run(where, monkeypatch):
    """Whatever the number of calls at a time."""
    monkeypatch.setenv("SCILLM_RATE_LIMIT_QPS", "40")
    begun_s = time.monotonic()
    assert finished(run_batch(requests(61), concurrency=64, **where("echo"))).ok == 61
    assert time.monotonic() - begun_s >= 1.4  # sixty gaps of a fortieth of a second


def test_a_rest_of_the_environment_holds_for_a_run(where, monkeypatch, gateway):
    """After a refusal that asks for none; nothing else is sent meanwhile, one at a time."""
    monkeypatch.setenv("SCILLM_COOLDOWN_429_S", "0.7")
    place = where("s429.ok-echo")
    begun_s = time.monotonic()
    assert finished(run_batch(requests(30), concurrency=1, **place)).ok == 30
    assert time.monotonic() - begun_s >= 0.7
    assert len(gateway.requests_to(place["api_base"])) == 31


def test_refusals_slow_a_run_down(where):
    """The number of calls under way falls; every item comes back."""
    engine = Local()
    place = where("every4.429-ram10-echo-lat5") | {"max_retries": 10}
    summary = finished(run_batch(requests(100), concurrency=64, engine=engine, **place))

    assert summary.ok == 100
    assert engine.state()["refusals"] > 5
    assert engine.state()["limit"] < 32


def test_embeddings_run_too(where, tmp_path):
    """By lines of OpenAI's Batch API."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    line = {"custom_id": "e", "url": "/v1/embeddings", "body": {"input": ["a", "b"]}}
    source.write_text(json.dumps(line))

    finished(run_batch(source, out, **where()))

    row = rows_of(out)[0]
    assert len(row["response"]["data"]) == 2
    assert row["content"] is None


def test_memory_is_flat(tmp_path):
    """Nothing is kept for an item that is finished."""
    import gc
    import tracemalloc

    def measured(count):
        tracemalloc.start()
        out = tmp_path / f"{count}.jsonl"
        finished(run_batch(iter(requests(count)), out, model="openai_like/m", **place))
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return left

    with Endpoint(keep=1) as server:
        place = {"api_base": server.url("echo"), "api_key": "sk-x"}
        measured(50)
        assert measured(1500) - measured(150) < 100_000


def test_the_garbage_collector_is_as_it_was_after_a_run(where):
    """Also after one that fails; one that was switched off stays off."""
    import gc

    seen, before = [], gc.get_threshold()

    def source():
        seen.append(gc.get_threshold())
        yield from requests(1)
        raise KeyError("no more")

    with pytest.raises(KeyError):
        finished(run_batch(source(), **where("echo")))
    assert seen == [(50_000, *before[1:])]
    assert gc.get_threshold() == before

    gc.set_threshold(0)
    try:
        with pytest.raises(KeyError):
            finished(run_batch(source(), **where("echo")))
    finally:
        gc.set_threshold(*before)
    assert seen[1][0] == 0


def test_an_engine_that_nobody_brings_is_named():
    """With what to install."""
    with pytest.raises(BatchError, match="pip install scillm-engine-moon"):
        run_batch([], engine="moon")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"concurrency": 0}, "1 or more"),
        ({"output_format": "xml"}, "scillm and openai"),
        ({"limits": {"max_tokens": 0}}, "max_tokens=0 must be more than 0"),
        ({"limits": {"max_token": 3}}, "limits has 'max_token'; there are max_requests"),
    ],
)
def test_arguments_out_of_range_are_told_at_once(wrong, why):
    """Before anything begins."""
    with pytest.raises(BatchError, match=why):
        run_batch([], **wrong)


def test_openai_in_openai_out(tmp_path):
    """The fields are those that OpenAI publishes, and no others."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    with Endpoint() as server:
        lines = [
            {
                "custom_id": f"request-{n}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": "m", "messages": [{"role": "user", "content": "hi"}], **more},
            }
            for n, more in enumerate([{}, {"seed": 1}, {"temprature": 1}])
        ]
        source.write_text("\n".join(json.dumps(line) for line in lines) + "\n{}\n")
        base = server.url("echo")
        refused = server.url("422")
        run = {"custom_llm_provider": "openai_like", "api_key": "sk-x", "output_format": "openai"}
        finished(run_batch(source, out, api_base=base, **run))
        other = tmp_path / "other.jsonl"
        finished(run_batch(source, other, api_base=refused, **run))

    records = {record["custom_id"]: record for record in rows_of(out)}
    assert list(records) == ["request-0", "request-1", "request-2", "#4"]
    for record in (*records.values(), *rows_of(other)):
        _check_openai(record)
    assert records["request-0"]["response"]["body"]["choices"][0]["message"]["content"] == "hi"
    refusal = records["request-2"]["response"]
    assert refusal["status_code"] == 400
    assert refusal["body"]["error"]["type"] == "UnsupportedParamsError"
    assert records["#4"]["error"]["code"] == "BadLine"
    refusals = [record["response"]["status_code"] for record in rows_of(other)[:2]]
    assert refusals == [422, 422]


def _check_openai(record):
    """Hold one line against OpenAI's list of fields for the output of a batch.

    Source: https://platform.openai.com/docs/api-reference/batch/request-output
    """
    assert set(record) == {"id", "custom_id", "response", "error"}
    assert isinstance(record["id"], str)
    assert isinstance(record["custom_id"], str)
    response, error = record["response"], record["error"]
    assert (response is None) != (error is None)
    if response is not None:
        assert set(response) == {"status_code", "request_id", "body"}
        assert isinstance(response["status_code"], int)
        assert isinstance(response["request_id"], str)
        assert isinstance(response["body"], dict)
    else:
        assert set(error) == {"code", "message"}
        assert all(isinstance(value, str) for value in error.values())

"""For loops that are not a batch."""

import asyncio
import json
import threading
import time

import pytest

from scillm_batch import BatchError
from scillm_batch.buckets import AsyncTokenBucket, TokenBucket, token_bucket_from_env
from scillm_batch.checkpoint import JsonlCheckpoint


def test_what_is_finished_is_known_after_a_crash(tmp_path):
    """Half a line is cut off."""
    path = tmp_path / "done.jsonl"
    with JsonlCheckpoint(path, "id") as done:
        done.append({"id": 1, "answer": "a"})
        done.append({"id": 2, "answer": "b"})
    path.write_bytes(path.read_bytes() + b'{"id": 3')

    with JsonlCheckpoint(path, "id") as done:
        assert [n in done for n in (1, 2, 3)] == [True, True, False]
        assert len(done) == 2
        done.append({"id": 3})
        assert [record["id"] for record in done] == [1, 2, 3]


def test_a_record_without_a_name_is_refused(tmp_path):
    """And a file with such records, and one that is not JSON."""
    path = tmp_path / "done.jsonl"
    with JsonlCheckpoint(path) as done, pytest.raises(BatchError, match="has no 'item_id'"):
        done.append({"id": 1})
    path.write_text(json.dumps([1]) + "\n")
    with pytest.raises(BatchError, match="has no 'item_id'"):
        JsonlCheckpoint(path)
    path.write_text("nothing\n")
    with pytest.raises(BatchError, match="no JSON at byte 0"):
        JsonlCheckpoint(path)


def test_a_bucket_spaces_calls_when_it_is_empty():
    """By a clock that is set by hand: nobody is let through early."""
    now = [0.0]
    bucket = TokenBucket(2, 3, max_sleep_s=0.0, clock=lambda: now[0])

    assert [bucket.acquire() for _ in range(4)] == [True, True, True, False]
    now[0] = 0.4
    assert bucket.acquire() is False
    now[0] = 0.5
    assert bucket.acquire() is True
    now[0] = 100.0
    assert [bucket.acquire() for _ in range(4)] == [True, True, True, False]
    with pytest.raises(TimeoutError), bucket:
        pass


def test_a_bucket_does_not_serialise_the_work_of_its_callers():
    """It is not held while they work."""
    bucket, together = TokenBucket(1000, 2), threading.Barrier(2, timeout=10)

    def work():
        with bucket:
            together.wait()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not together.broken


def test_tasks_have_a_bucket_too():
    """They sleep without holding up the loop."""

    async def main():
        bucket = AsyncTokenBucket(50, 1)
        begun_s = time.monotonic()

        async def work():
            async with bucket:
                return time.monotonic() - begun_s

        return sorted(await asyncio.gather(*(work() for _ in range(4))))

    times = asyncio.run(main())
    assert times[3] >= 0.06


def test_a_bucket_of_the_environment(monkeypatch):
    """Three a second, six at once, unless variables say otherwise."""
    assert token_bucket_from_env()._reserve._capacity == 6
    monkeypatch.setenv("SCILLM_BUCKET_CAPACITY", "1")
    monkeypatch.setenv("SCILLM_BUCKET_MAX_SLEEP_S", "0")
    bucket = token_bucket_from_env()
    assert [bucket.acquire(), bucket.acquire()] == [True, False]
    with pytest.raises(ValueError, match="must be above 0"):
        TokenBucket(0)

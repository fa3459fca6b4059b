"""A program, recorded and replayed."""

import asyncio
import json

import pytest

from scillm import Kernel, RateLimitError
from scillm.errors import StatusError
from scillm_cache import Replay
from scillm_cache.replay import ReplayMiss


def program(kernel):
    """What the program does: a whole answer, the same again, a stream, an error."""
    ask = [{"role": "user", "content": "hi"}]
    seen = [kernel.completion("slow/m", ask).to_dict() for _ in range(2)]
    stream = kernel.completion("slow/m", ask, stream=True)
    seen += [chunk.to_dict() for chunk in stream]
    seen.append(stream.response.to_dict())
    try:
        kernel.completion("slow/m", [{"role": "user", "content": "fail"}])
    except RateLimitError as error:
        seen.append((str(error), error.status_code, error.failure))
    return seen


@pytest.fixture
def recorded(slow, tmp_path, monkeypatch):
    """What the program saw when it was recorded, and the folder."""
    monkeypatch.setenv("SCILLM_RECORD", str(tmp_path / "tape"))
    sent = slow._send

    async def failing(request):
        if request.body["messages"][0]["content"] == "fail":
            slow.errors.append(StatusError(429, "slow down", {"retry-after": "7"}))
        async for event in sent(request):
            yield event

    slow._send = failing
    with Kernel.of(Replay(), slow) as kernel:
        seen = program(kernel)
    monkeypatch.delenv("SCILLM_RECORD")
    return seen, tmp_path / "tape"


def test_a_program_sees_again_what_it_saw(slow, recorded, monkeypatch):
    """Answers in their order, pieces as they were cut, errors with their class and wait."""
    seen, tape = recorded
    begun = slow.begun
    monkeypatch.setenv("SCILLM_REPLAY", str(tape))
    with Kernel.of(Replay(), slow) as kernel:
        assert program(kernel) == seen
    assert slow.begun == begun
    assert seen[0]["choices"] != seen[1]["choices"]


def test_recordings_are_readable_and_hold_no_leftovers(recorded):
    """One file per exchange, with what was asked."""
    files = sorted(recorded[1].iterdir())
    assert {path.suffix for path in files} == {".json"}
    assert len(files) == 4
    assert all(json.loads(path.read_text())["request"]["model"] == "m" for path in files)


def test_what_was_not_recorded_is_an_error(slow, recorded, monkeypatch):
    """It names the nearest, and what differs; nothing is sent."""
    begun = slow.begun
    monkeypatch.setenv("SCILLM_REPLAY", str(recorded[1]))
    with Kernel.of(Replay(), slow) as kernel:
        ask = [{"role": "user", "content": "hi"}]
        with pytest.raises(
            ReplayMiss, match=r"nearest is .*json, which differs in body.temperature"
        ):
            kernel.completion("slow/m", ask, temperature=1)
        for _ in range(2):
            kernel.completion("slow/m", ask)
        with pytest.raises(ReplayMiss, match="was recorded 2 times, and is made once more"):
            kernel.completion("slow/m", ask)
    assert slow.begun == begun


def test_a_stream_that_was_left_is_not_recorded(slow, tmp_path, monkeypatch):
    """Half an answer would be replayed as a whole one."""
    monkeypatch.setenv("SCILLM_RECORD", str(tmp_path / "tape"))

    async def main():
        async with Kernel.of(Replay(), slow) as kernel:
            ask = [{"role": "user", "content": "hi"}]
            async with await kernel.acompletion("slow/m", ask, stream=True):
                pass

    asyncio.run(main())
    assert not (tmp_path / "tape").exists()

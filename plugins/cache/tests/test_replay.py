"""A program, recorded and replayed."""

import asyncio
import json

import pytest

import scillm_openai_like
from scillm import AuthenticationError, BadRequestError, Kernel, RateLimitError
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


@pytest.fixture
def tape(tmp_path):
    """A folder for recordings."""
    return tmp_path / "tape"


def played(monkeypatch, how, tape, work, *plugins):
    """Run *work* with a kernel that records, or replays."""
    monkeypatch.delenv("SCILLM_RECORD", raising=False)
    monkeypatch.delenv("SCILLM_REPLAY", raising=False)
    monkeypatch.setenv(f"SCILLM_{how}", str(tape))

    async def main():
        async with Kernel.of(Replay(), *plugins) as kernel:
            return await work(kernel)

    return asyncio.run(main())


ASK = [{"role": "user", "content": "hi"}]


def test_a_stream_that_was_left_is_left_again(slow, tape, monkeypatch):
    """Its pieces come, but half an answer is not replayed as a whole one."""

    async def leave(kernel):
        async with await kernel.acompletion("slow/m", ASK, stream=True) as stream:
            first = await anext(stream)
        second = await kernel.acompletion("slow/m", ASK, stream=True)
        return first.text, "".join([chunk.text async for chunk in second])

    async def stay(kernel):
        return [chunk async for chunk in await kernel.acompletion("slow/m", ASK, stream=True)]

    seen = played(monkeypatch, "RECORD", tape, leave, slow)
    assert played(monkeypatch, "REPLAY", tape, leave, slow) == seen
    assert seen[1] == "answer 2"
    with pytest.raises(ReplayMiss, match="its caller left it here when it was recorded"):
        played(monkeypatch, "REPLAY", tape, stay, slow)


def test_a_call_that_was_cancelled_takes_its_turn(slow, tape, monkeypatch):
    """What came after it is not replayed in its place."""

    async def work(kernel):
        slow.gate = asyncio.Event()
        task = asyncio.ensure_future(kernel.acompletion("slow/m", ASK))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        slow.gate.set()
        return (await kernel.acompletion("slow/m", ASK)).text

    assert played(monkeypatch, "RECORD", tape, work, slow) == "answer 2"

    async def replayed(kernel):
        with pytest.raises(ReplayMiss):
            await kernel.acompletion("slow/m", ASK)
        return (await kernel.acompletion("slow/m", ASK)).text

    assert played(monkeypatch, "REPLAY", tape, replayed, slow) == "answer 2"


def test_identical_calls_get_their_own_answers_whoever_was_first_to_end(slow, tape, monkeypatch):
    """In the order in which they were made, not in that of their answers."""
    sent = slow._send

    async def backwards(request):
        delay_s = 0.03 if slow.begun == 0 else 0.0
        events = [event async for event in sent(request)]
        await asyncio.sleep(delay_s)
        for event in events:
            yield event

    slow._send = backwards

    async def work(kernel):
        calls = [kernel.acompletion("slow/m", ASK) for _ in range(4)]
        return [answer.text for answer in await asyncio.gather(*calls)]

    seen = played(monkeypatch, "RECORD", tape, work, slow)
    assert seen == ["answer 1", "answer 2", "answer 3", "answer 4"]
    assert played(monkeypatch, "REPLAY", tape, work, slow) == seen


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"v": 1}', '{"v": 1, "route": ["a", "m", ""], "events": [{}]}']
)
def test_a_recording_that_is_damaged_is_a_miss_with_its_name(slow, tape, monkeypatch, content):
    """Also one that was never finished, since the program died."""

    async def work(kernel):
        return (await kernel.acompletion("slow/m", ASK)).text

    played(monkeypatch, "RECORD", tape, work, slow)
    (path,) = tape.iterdir()
    path.write_text(content)
    with pytest.raises(ReplayMiss, match=f"{path.name} is damaged, or was never finished"):
        played(monkeypatch, "REPLAY", tape, work, slow)


def test_an_error_is_no_other_class_than_one_of_ours(slow, recorded, monkeypatch):
    """A recording names a class; it may be anybody's file."""
    for path in recorded[1].iterdir():
        kept = json.loads(path.read_text())
        if kept["error"]:
            kept["error"]["class"] = "Mapping"
            path.write_text(json.dumps(kept))
    monkeypatch.setenv("SCILLM_REPLAY", str(recorded[1]))
    with Kernel.of(Replay(), slow) as kernel:
        assert program(kernel)[-1][1] == 429


def test_a_folder_that_takes_no_files_is_told_before_anything_is_sent(slow, tmp_path, monkeypatch):
    """Rather than after the answer was paid for."""
    (tmp_path / "file").write_text("")

    async def work(kernel):
        with pytest.raises(BadRequestError, match="correct or unset SCILLM_RECORD"):
            await kernel.acompletion("slow/m", ASK)

    played(monkeypatch, "RECORD", tmp_path / "file", work, slow)
    assert slow.begun == 0


def test_half_a_pair_of_surrogates_is_recorded_and_replayed(slow, tape, monkeypatch):
    """It cannot be encoded as it is."""
    slow.says = "half \ud83d"

    async def work(kernel):
        return (await kernel.acompletion("slow/m", ASK)).text

    assert played(monkeypatch, "RECORD", tape, work, slow) == "half \ud83d"
    assert played(monkeypatch, "REPLAY", tape, work, slow) == "half \ud83d"


def test_no_secret_is_in_a_recording(scillm_kernel, wire, tape, monkeypatch):
    """Neither in an answer's error, nor in the address, nor in a header."""
    monkeypatch.setenv("SCILLM_RECORD", str(tape))
    wire.fail(401, {"error": {"message": "Incorrect API key provided: sk-secret-1234"}})
    kernel = scillm_kernel(Replay(), scillm_openai_like)
    with pytest.raises(AuthenticationError):
        kernel.completion(
            "m",
            ASK,
            custom_llm_provider="openai_like",
            api_base="http://g/v1?api-key=sk-secret-9999",
            api_key="sk-secret-1234",
            extra_headers={"X-Api-Token": "sk-secret-5678"},
        )
    kernel.close()
    written = "".join(path.read_text() for path in tape.iterdir())
    assert "sk-secret" not in written

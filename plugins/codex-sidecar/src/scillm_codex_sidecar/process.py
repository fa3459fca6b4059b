"""A command in a process group of its own, which ends when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress

from attrs import field, frozen

from scillm import APIError, InternalServerError, ServiceUnavailableError, Timeout
from scillm.failures import Failure, FailureKind

_WORTH_ANOTHER = (70, 75)  # sysexits: an internal error, try again
_LONGEST_LINE_BYTES = 8 * 2**20
_SHOWN_BYTES = 2000
_GRACE_S = 2.0


@frozen(kw_only=True)
class Job:
    """What is run.

    Attributes:
        words: The command and its arguments.
        told: What goes to its standard input.
        total_s: Seconds that it may run.
        idle_s: Seconds that it may print nothing.
        environment: Its environment.
    """

    words: tuple[str, ...]
    told: bytes = field(repr=False)
    total_s: float
    idle_s: float
    environment: Mapping[str, str] = field(repr=False)


class GaveUp(Exception):
    """The command did not do what it was run for.

    Args:
        told: The error for the client.
        is_worth_another: Whether it may do so if it is run again.
    """

    def __init__(self, told: APIError, *, is_worth_another: bool) -> None:
        super().__init__(str(told))
        self.told, self.is_worth_another = told, is_worth_another


async def lines(job: Job) -> AsyncGenerator[bytes, None]:
    """Yield each line that the command prints; its whole group is killed when this is closed.

    Raises:
        GaveUp: It took too long, said nothing for too long, or ended with another code than 0.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *job.words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=dict(job.environment),
            limit=_LONGEST_LINE_BYTES,
        )
    except (OSError, ValueError) as error:
        message = f"the command {job.words[0]!r} cannot be run: {error}"
        raise GaveUp(InternalServerError(message), is_worth_another=False) from None
    assert process.stdout is not None
    assert process.stderr is not None
    complaints = asyncio.ensure_future(_last_of(process.stderr))
    telling = asyncio.ensure_future(_tell(process, job.told))
    try:
        async for line in _within(process.stdout, job):
            yield line
        code = await process.wait()
        if code:
            raise _failed(job.words[0], code, await complaints)
    finally:
        await _end(process)
        for task in (telling, complaints):
            task.cancel()
        await asyncio.gather(telling, complaints, return_exceptions=True)


async def _within(stdout: asyncio.StreamReader, job: Job) -> AsyncGenerator[bytes, None]:
    loop = asyncio.get_running_loop()
    until = loop.time() + job.total_s
    while True:
        left_s = until - loop.time()
        try:
            line = await asyncio.wait_for(stdout.readline(), max(0.0, min(left_s, job.idle_s)))
        except asyncio.TimeoutError:
            is_idle = job.idle_s < left_s
            raise _late(job.idle_s if is_idle else job.total_s, is_idle=is_idle) from None
        except ValueError:
            message = f"the command printed a line of more than {_LONGEST_LINE_BYTES} bytes"
            raise GaveUp(InternalServerError(message), is_worth_another=False) from None
        if not line:
            return
        yield line


def _late(seconds: float, *, is_idle: bool) -> GaveUp:
    name = "IDLE_TIMEOUT_S" if is_idle else "ABS_TIMEOUT_S"
    did = "printed nothing for" if is_idle else "had no end after"
    message = f"the codex command {did} {seconds:g} s ({name}) and was killed"
    failure = Failure(kind=FailureKind.TIMEOUT, detail=message, status=504)
    return GaveUp(Timeout(message, failure=failure), is_worth_another=True)


def _failed(name: str, code: int, said: str) -> GaveUp:
    how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
    message = f"the command {name!r} {how}: {said or 'it said nothing on standard error'}"
    failure = Failure(kind=FailureKind.OVERLOADED, detail=message, status=502)
    return GaveUp(
        ServiceUnavailableError(message, failure=failure), is_worth_another=code in _WORTH_ANOTHER
    )


async def _tell(process: asyncio.subprocess.Process, told: bytes) -> None:
    assert process.stdin is not None
    with suppress(ConnectionError):  # it does not have to read all
        process.stdin.write(told)
        await process.stdin.drain()
    process.stdin.close()


async def _last_of(stderr: asyncio.StreamReader) -> str:
    """Read all and keep the end, so that it never waits for a reader."""
    kept = b""
    while part := await stderr.read(65536):
        kept = (kept + part)[-_SHOWN_BYTES:]
    return kept.decode("utf-8", "replace").strip()[-500:]


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the group: what the command started too. The command itself may already be gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        if number == signal.SIGTERM and process.returncode is None:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), _GRACE_S)
    await process.wait()

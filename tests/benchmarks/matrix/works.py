"""What is done in a cell, and what is seen of it, in the client's own process.

A work is given a function that makes the client, and the cell. What it saw is a mapping: `slots`,
one per call, each with its `end` (`plan.Right` tells them), and `elapsed_s`.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from .clients import KEY

Slot: TypeAlias = "dict[str, Any]"
Seen: TypeAlias = "dict[str, Any]"
Make: TypeAlias = "Callable[[], Any]"
Tell: TypeAlias = "Callable[[BaseException], Slot]"

METHODS = {
    "sync": "ask",
    "async": "aask",
    "stream": "astream",
    "router": "arouted",
    "parallel": "amany",
}
SENTENCE = "the quick brown fox jumps over the lazy dog and comes back; "
CALLS_PER_THREAD = 20
SETTLE_S = 3.0
"""How long a connection may take to close after its call was cancelled."""
DOWN_S = 0.5


def prompt(number: int = 0) -> str:
    """A text of some 300 characters that the endpoint says back."""
    return f"{number}: {SENTENCE * 5}"


def call(make: Make, cell: dict[str, Any]) -> Seen:
    """The calls of a door, once."""
    client = make()
    begin_s = time.monotonic()
    slots = _calls(client, cell)
    return {"slots": slots, "elapsed_s": time.monotonic() - begin_s}


def pickled(make: Make, cell: dict[str, Any]) -> Seen:
    """The same; an error is looked at after it went through pickle."""
    return {"slots": _calls(make(), cell, _raised_after_pickle)}


def two_runs(make: Make, cell: dict[str, Any]) -> Seen:
    """The same client in two event loops, one after the other."""
    client = make()
    return {"slots": [*_calls(client, cell), *_calls(client, cell)]}


def four_threads(make: Make, cell: dict[str, Any]) -> Seen:
    """The same client in four threads, each with an event loop, all at once."""
    client = make()
    slots: list[Slot] = []
    barrier = threading.Barrier(4)

    def thread() -> None:
        barrier.wait()
        slots.extend(_calls(client, cell, times=CALLS_PER_THREAD))

    threads = [threading.Thread(target=thread, daemon=True) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return {"slots": slots}


def cancelled(make: Make, cell: dict[str, Any]) -> Seen:
    """A call is cancelled when half of its answer has come; then connections are counted."""
    client = make()
    url = cell["given"]["url"]
    origin, path = url[: url.index("/o/")], url[url.index("/o/") :]

    async def until(is_true: Callable[[dict[str, Any]], bool]) -> bool:
        end_s = time.monotonic() + SETTLE_S
        while not is_true(await asyncio.to_thread(_stats, origin)):
            if time.monotonic() > end_s:
                return False
            await asyncio.sleep(0.05)
        return True

    async def run() -> Slot:
        work = _stream(client, 0, _raised) if cell["door"] == "stream" else client.aask(prompt())
        task = asyncio.ensure_future(work)
        is_asked = await until(lambda stats: any(seen.startswith(path) for seen in stats["urls"]))
        await asyncio.sleep(0.2)  # half of the answer comes
        if not is_asked or task.done():
            return {"end": "other", "words": "is over, or not begun, when it is to be cancelled"}
        task.cancel()
        await asyncio.wait([task], timeout=SETTLE_S)
        if not task.done():
            return {"end": "open", "words": f"runs on {SETTLE_S:g} s after it was cancelled"}
        # The connection that asks for the count is one of them.
        is_closed = await until(lambda stats: stats["open_connections"] <= 1)
        words = f"its connection is open {SETTLE_S:g} s after it was cancelled"
        return {"end": "closed"} if is_closed else {"end": "open", "words": words}

    return {"slots": [asyncio.run(run())]}


def restarted(make: Make, cell: dict[str, Any]) -> Seen:
    """One call; the server is killed; another call, into which the server comes back."""
    client = make()
    servers = [_served(cell)]
    back = threading.Timer(DOWN_S, lambda: servers.append(_served(cell)))

    def kill() -> None:
        servers[0].kill()
        servers[0].wait()
        back.start()

    slots = _calls(client, cell, times=2, between=kill)
    if back.ident is not None:
        back.join()
    for server in servers:
        server.kill()
        server.wait()
    return {"slots": slots}


def _served(cell: dict[str, Any]) -> subprocess.Popen[str]:
    """Start a server and wait until it answers."""
    variables = {**os.environ, "PYTHONPATH": cell["server_path"]}
    process = subprocess.Popen(
        cell["server"], stdout=subprocess.PIPE, text=True, env=variables, encoding="utf-8"
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("READY")
    return process


def _stats(origin: str) -> dict[str, Any]:
    """The counters of the endpoint."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{origin}/stats", timeout=5) as answer:
        stats: dict[str, Any] = json.load(answer)
    return stats


def _calls(
    client: Any,
    cell: dict[str, Any],
    tell: Tell | None = None,
    times: int = 1,
    between: Callable[[], None] = lambda: None,
) -> list[Slot]:
    """The calls of a door, so many times one after the other; async ones in one loop."""
    tell = tell or _raised
    if cell["door"] == "sync":
        found = []
        for number in range(times):
            found.append(_read_or_told(lambda: client.ask(prompt()), tell))
            if number < times - 1:
                between()
        return found

    async def run() -> list[Slot]:
        found: list[Slot] = []
        for number in range(times):
            found += await _async_calls(client, cell, tell)
            if number < times - 1:
                between()
        return found

    try:
        return asyncio.run(run())
    except BaseException as error:  # noqa: BLE001  # a panic in Rust is no Exception
        return [tell(error)]


async def _async_calls(client: Any, cell: dict[str, Any], tell: Tell) -> list[Slot]:
    if cell["door"] == "stream":
        return [await _stream(client, 0, tell)]
    if cell["door"] == "parallel":
        return await _many(client, cell["parallel"], tell)
    return [await _asked(getattr(client, METHODS[cell["door"]])(prompt()), tell)]


async def _asked(work: Awaitable[Any], tell: Tell) -> Slot:
    """One async call."""
    try:
        answer = await work
    except BaseException as error:  # noqa: BLE001  # a panic in Rust is no Exception
        return tell(error)
    return _read(answer, 0)


async def _many(client: Any, count: int, tell: Tell) -> list[Slot]:
    """Calls at a time; answers in the order of their prompts."""
    try:
        found = await client.amany([prompt(number) for number in range(count)])
    except BaseException as error:  # noqa: BLE001  # a panic in Rust is no Exception
        return [tell(error)]
    if len(found) != count:
        return [{"end": "other", "words": f"{len(found)} answers for {count} calls"}]
    return [
        tell(answer) if isinstance(answer, BaseException) else _read(answer, number)
        for number, answer in enumerate(found)
    ]


async def _stream(client: Any, number: int, tell: Tell) -> Slot:
    """One stream, read to its end."""
    text, finish = "", None
    try:
        async for chunk in client.astream(prompt(number)):
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
                finish = chunk.choices[0].finish_reason or finish
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001  # a panic in Rust is no Exception
        came = "nothing" if not text else "begun" if prompt(number).startswith(text) else "mixed"
        return {**tell(error), "came": came}
    wanted = prompt(number)
    if text != wanted:
        words = f"ends as if it were whole, after {len(text)} of {len(wanted)} characters"
        return {"end": "cut", "words": words}
    if not finish:
        return {"end": "quiet", "words": "ends without a word, and without a finish reason"}
    return {"end": "answered"}


def _read_or_told(ask: Callable[[], Any], tell: Tell) -> Slot:
    """One sync call."""
    try:
        answer = ask()
    except BaseException as error:  # noqa: BLE001  # a panic in Rust is no Exception
        return tell(error)
    return _read(answer, 0)


def _read(answer: Any, number: int) -> Slot:
    """Read an answer as users do."""
    try:
        text = answer.choices[0].message.content
    except Exception as error:  # noqa: BLE001  # whatever users would get
        words = f"returns a {type(answer).__name__} that cannot be read: {type(error).__name__}"
        return {"end": "unreadable", "words": f"{words}: {error}"}
    if text != prompt(number):
        return {"end": "other", "words": f"returns another text: {text!r:.60}"}
    return {"end": "answered"}


def _raised(error: BaseException) -> Slot:
    """What a caller can learn from an error."""
    text = f"{error}"
    status = next(
        (
            value
            for name in ("status_code", "status")
            if isinstance(value := getattr(error, name, None), int)
        ),
        0,
    )
    return {
        "end": "raised",
        "names": [kind.__name__ for kind in type(error).__mro__[:-1]],
        "module": type(error).__module__.partition(".")[0],
        "status": status,
        "text": text.replace(KEY, "<KEY>")[:300],
        "shows_key": KEY in text or KEY in repr(error),
        "tells": _waits(error, text),
    }


def _waits(error: BaseException, text: str) -> list[str]:
    """Everything that may say how long to wait: the text, attributes, headers of the response."""
    failure = getattr(error, "failure", None)
    original = getattr(error, "original_exception", None)
    found = [text, getattr(failure, "retry_after_s", None)]
    found += [value for name, value in vars(error).items() if "retry_after" in name]
    holders = [error, getattr(error, "response", None), getattr(original, "response", None)]
    for holder in holders:
        kept = [
            value for name, value in getattr(holder, "__dict__", {}).items() if "headers" in name
        ]
        for headers in [getattr(holder, "headers", None), *kept]:
            found.append(headers.get("retry-after") if hasattr(headers, "get") else None)
    return [str(value) for value in found if value is not None]


def _raised_after_pickle(error: BaseException) -> Slot:
    """What can be learned from an error on the other side of a process."""
    try:
        again = pickle.loads(pickle.dumps(error))
    except Exception as reason:  # noqa: BLE001  # whatever users would get
        words = f"{type(error).__name__} does not survive: {type(reason).__name__}: {reason}"
        return {"end": "lost", "words": words[:200]}
    if _raised(again) != _raised(error):
        return {"end": "lost", "words": f"{type(error).__name__} comes back as another"}
    return _raised(again)

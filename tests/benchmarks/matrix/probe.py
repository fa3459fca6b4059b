"""One client in its own environment: a process that forks for each cell.

    <environment>/bin/python probe.py openai_sdk http://127.0.0.1:41235/o/echo/v1

Reads a cell as a line of JSON and prints what was seen as a line of JSON, until its input ends.
The client is imported once, with all that its first calls import (they are made in a fork), before
any thread is started. Each cell then has a fork of its own, which is killed, with all that it
started, when its time is over. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

sys.path[0] = __file__.rpartition("/matrix/")[0]

from matrix import works  # noqa: E402  # it lies where the line above points
from matrix.clients import Given  # noqa: E402

FIRST_CALLS_S = 60.0


def main() -> None:
    """Import the client, then answer lines."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what clients print is not an answer
    adapter = import_module(f"matrix.clients.{sys.argv[1]}")
    for name in in_a_fork(partial(first_calls, adapter, sys.argv[2]), FIRST_CALLS_S)["modules"]:
        with contextlib.suppress(Exception):  # whoever cannot be imported alone is left out
            import_module(name)
    assert threading.active_count() == 1, threading.enumerate()
    for line in sys.stdin:
        cell = json.loads(line)
        seen = in_a_fork(partial(run, adapter, cell), cell["watch_s"])
        os.write(answers, json.dumps(seen).encode() + b"\n")


def run(adapter: Any, cell: dict[str, Any]) -> works.Seen:
    """Do a cell, if the client offers what it takes."""
    is_offered = hasattr(adapter.Client, works.METHODS[cell["door"]])
    if cell["needs_timeout"] and not getattr(adapter, "HAS_TIMEOUT", True):
        is_offered = False
    if not is_offered:
        return {"slots": [{"end": "not offered"}]}
    given = Given(**cell["given"])
    work = getattr(works, cell["work"])
    seen: works.Seen = work(lambda: adapter.Client(given), cell)
    return seen


def first_calls(adapter: Any, url: str) -> works.Seen:
    """The modules that the first calls of a client import, in their order."""
    before = set(sys.modules)
    given = Given(url, url, retries=0, timeout_s=FIRST_CALLS_S, budget_s=0.0)
    for door, method in works.METHODS.items():
        if hasattr(adapter.Client, method):
            works.call(lambda: adapter.Client(given), {"door": door, "parallel": 2})
    return {"modules": [name for name in sys.modules if name not in before]}


def in_a_fork(job: Callable[[], works.Seen], watch_s: float) -> works.Seen:
    """Do a job in a fork, and stop it when the time to watch is over."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        _child(job, writer)
    os.close(writer)
    is_ended, _, _ = select.select([reader], [], [], watch_s)
    with os.fdopen(reader, encoding="utf-8") as file:
        if not is_ended:
            _end(pid)
            return {"slots": [{"end": "waiting"}]}
        text = file.read()
    status = _end(pid)
    if not text:
        return {"slots": [{"end": "died", "words": f"the process died: status {status}"}]}
    seen: works.Seen = json.loads(text)
    return seen


def _child(job: Callable[[], works.Seen], writer: int) -> None:
    """The fork: leader of a group, so that what it starts ends with it; never returns."""
    try:
        os.setpgid(0, 0)
        text = json.dumps(job())
        os.write(writer, text.encode())
    except BaseException:  # noqa: BLE001  # into the log; the parent sees that nothing came
        traceback.print_exc()
    finally:
        os._exit(0)


def _end(pid: int) -> int:
    """Kill a fork and all that it started; its status."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


if __name__ == "__main__":
    main()

"""One client in its own environment: a process that forks for each cell.

    <environment>/bin/python probe.py openai_sdk

Reads a cell as a line of JSON and prints what was seen as a line of JSON, until its input ends. The
client is imported once, before any thread is started; each cell then has a fork of its own, which
is killed, with all that it started, when its time is over. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

sys.path[0] = __file__.rpartition("/matrix/")[0]

from matrix import works  # below the folder that the line above names
from matrix.clients import Given


def main() -> None:
    """Import the client, then answer lines."""
    adapter = import_module(f"matrix.clients.{sys.argv[1]}")
    answers = os.dup(1)
    os.dup2(2, 1)  # what clients print is not an answer
    for line in sys.stdin:
        seen = in_a_fork(lambda cell=json.loads(line): run(adapter, cell), json.loads(line))
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


def in_a_fork(job: Callable[[], works.Seen], cell: dict[str, Any]) -> works.Seen:
    """Do a job in a fork, and stop it when the time to watch is over."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        _child(job, writer)
    os.close(writer)
    is_ended, _, _ = select.select([reader], [], [], cell["watch_s"])
    with open(reader, encoding="utf-8") as file:
        if not is_ended:
            return {"slots": [{"end": "waiting"}], "killed": _end(pid)}
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
    finally:
        os._exit(0)


def _end(pid: int) -> int:
    """Kill a fork and all that it started; its status."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


if __name__ == "__main__":
    main()

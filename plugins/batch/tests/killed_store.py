"""A program that is killed at each line that it runs of the store, and says what was lost.

Its arguments: a folder, and how many lines lie between kills.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from scillm_batch import journal, output, store
from scillm_batch.items import Item
from scillm_batch.rows import Failed, Row
from scillm_batch.store import FAILED, Store

WATCHED = {module.__file__ for module in (store, journal, output)}
COUNT = 12


def _items() -> list[Item]:
    return [Item(id=f"i{n}", index=n, arguments={"messages": [n]}) for n in range(COUNT)]


def _row(item: Item, digest: str, *, is_ok: bool) -> Row:
    error = None if is_ok else Failed(type="Timeout", message="late")
    return Row(item_id=item.id, index=item.index, request_hash=digest, error=error)


def _asked(item: Item) -> Any:
    return item.arguments


def prepared(path: Path) -> None:
    """An earlier run: some answered, some failed, in no order, and half a line at the end."""
    with Store(path) as before:
        admitted = before.admit(_items()[:8], _asked)
        before.commit([_row(i, d, is_ok=i.index % 3 > 0) for i, d in reversed(admitted.items)])
    with path.open("ab") as file:
        file.write(b'{"item_id": "i9", "in')


def job(path: Path, told: int) -> None:
    """Resume, take out what failed, answer the rest, put it in order; tell what is written."""
    with Store(path, clock=iter(range(1000)).__next__) as now:
        now.take_out(FAILED)
        for some in (_items()[:6], _items()[6:]):
            admitted = now.admit(some, _asked)
            for item, digest in reversed(admitted.items):
                now.commit([_row(item, digest, is_ok=True)])
                os.write(told, f"{item.id}\n".encode())
        now.in_order()


def killed(path: Path, told: int, at: int) -> bool:
    """Do the job in a process that is killed at so many lines; return whether it was."""
    child = os.fork()
    if not child:
        left = at

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal left
            if frame.f_code.co_filename not in WATCHED:
                return None
            left -= event == "line"
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        with contextlib.suppress(BaseException):
            job(path, told)
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the job failed"
    return os.WIFSIGNALED(status)


def wrong(path: Path, written: set[str]) -> str:
    """Resume to the end; return what is wrong with the output, ``""`` if nothing is."""
    known_ok = {f"i{n}" for n in range(8) if n % 3} | written
    lines = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    whole = [json.loads(line) for line in lines]
    counted = Counter(line["item_id"] for line in whole)
    if doubled := [name for name, count in counted.items() if count > 1]:
        return f"doubled: {doubled}"
    if lost := known_ok - {line["item_id"] for line in whole if not line["error"]}:
        return f"lost: {sorted(lost)}"
    told, beside = os.pipe()
    job(path, beside)
    os.close(beside)
    again = set(os.read(told, 1000).decode().split())
    os.close(told)
    if twice := again & known_ok:
        return f"asked again: {sorted(twice)}"
    ids = [json.loads(line)["item_id"] for line in path.read_bytes().splitlines()]
    aside = path.with_name(f"{path.name}.superseded").read_bytes().splitlines()
    if {json.loads(line)["item_id"] for line in aside} != {"i0", "i3", "i6"}:
        return f"kept aside: {aside}"
    return "" if ids == [f"i{n}" for n in range(COUNT)] else f"out of order: {ids}"


def main() -> int:
    """Kill at every so-many-th line; print how often, and what was wrong."""
    folder, step = Path(sys.argv[1]), int(sys.argv[2])
    at, problems = 1, 0
    while True:
        path = folder / f"{at}.jsonl"
        prepared(path)
        told, beside = os.pipe()
        was_killed = killed(path, beside, at)
        os.close(beside)
        written = set(os.read(told, 1000).decode().split())
        os.close(told)
        if problem := wrong(path, written):
            problems += 1
            print(f"killed at line {at}: {problem}")
        for each in folder.iterdir():
            each.unlink()
        if not was_killed:
            break
        at += step
    print(f"{at // step} kills, {problems} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

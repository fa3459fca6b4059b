"""Each cell against an endpoint of its own, and in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any, TypeAlias

import environments  # beside the folder of this file

from .judge import judge
from .plan import FAULTS, PARALLEL, PEERS

KIT = environments.ROOT / "plugins" / "pytest-scillm" / "src"
sys.path.append(str(KIT))
from pytest_scillm.endpoint import Endpoint  # noqa: E402  # the line above says where it lies

HERE = Path(__file__).resolve().parent
FOREIGN = ("SCILLM_", "LITELLM_", "OPENAI_", "ANY_LLM_", "PYTHON")
CELLS_PER_PROCESS = 24
Row: TypeAlias = "dict[str, Any]"


@dataclass(frozen=True)
class Cell:
    """A fault through a door of a client."""

    peer: str
    fault: str
    door: str


def run(venvs: Path, cells: Iterable[Cell], at_a_time: int) -> Iterator[Row]:
    """Do all cells.

    Args:
        venvs: the folder of environments.
        cells: what to do; those of one client share a process that forks for each.
        at_a_time: how many cells are done at a time.

    Yields:
        One row per cell, as it is done: `peer`, `fault`, `door`, `verdict`, `reason`, `seen`.
    """
    rows: Queue[Row | None] = Queue()
    lots = list(_lots(cells))
    with ThreadPoolExecutor(at_a_time) as pool:
        for lot in lots:
            pool.submit(_do, venvs, lot, rows)
        left = len(lots)
        while left:
            row = rows.get()
            if row is None:
                left -= 1
            else:
                yield row


def _lots(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    """The cells of one client, so many at most; clients take turns."""
    by_peer: dict[str, list[Cell]] = {}
    for cell in cells:
        by_peer.setdefault(cell.peer, []).append(cell)
    for first in range(0, max(map(len, by_peer.values()), default=0), CELLS_PER_PROCESS):
        for found in by_peer.values():
            if found[first:]:
                yield found[first : first + CELLS_PER_PROCESS]


def _do(venvs: Path, lot: list[Cell], rows: Queue[Row | None]) -> None:
    """Do cells of one client, one after the other; a row that fails says so."""
    left = list(lot)
    try:
        with _prober(venvs, lot[0].peer) as process:
            while left:
                seen = _seen(process, left[0])
                verdict = judge(left[0].fault, left[0].door, seen)
                rows.put(_row(left.pop(0), verdict.word, verdict.reason, seen))
    except Exception as error:  # noqa: BLE001  # whatever it is, other lots go on
        for cell in left:
            rows.put(_row(cell, "failed", f"{type(error).__name__}: {error}", {}))
    finally:
        rows.put(None)


def _row(cell: Cell, verdict: str, reason: str, seen: Row) -> Row:
    named = {"peer": cell.peer, "fault": cell.fault, "door": cell.door}
    return {**named, "verdict": verdict, "reason": reason, "seen": seen}


def _seen(process: subprocess.Popen[str], cell: Cell) -> Row:
    """Send one cell to the prober, and add what the endpoint saw."""
    fault = FAULTS[cell.fault]
    with Endpoint(uvloop=False) as endpoint:
        url = endpoint.url("-".join(filter(None, ["echo", fault.options])))
        port = _free_port()
        given = {
            "url": f"http://127.0.0.1:{port}/o/echo/v1" if fault.work == "restarted" else url,
            "second_url": endpoint.url("echo"),
            "retries": fault.retries,
            "timeout_s": fault.timeout_s,
            "budget_s": fault.budget_s,
        }
        line = {
            "door": cell.door,
            "work": fault.work,
            "given": given,
            "parallel": PARALLEL,
            "watch_s": fault.watch_s,
            "needs_timeout": fault.needs_timeout,
            "server": [sys.executable, "-m", "pytest_scillm.endpoint", "--port", str(port)],
            "server_path": str(KIT),
        }
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(line) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise RuntimeError("the prober ended; its words are in the log beside the report")
        seen: Row = json.loads(answer)
        seen["requests"] = len(endpoint.requests_to(url))
        return {**seen, "watch_s": fault.watch_s}


@contextmanager
def _prober(venvs: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """`probe.py` in the client's environment; no `.env`, no `pyproject.toml` can be found."""
    peer = PEERS[name]
    python = environments.python_of(venvs, peer.environment)
    with (
        Endpoint(uvloop=False) as well,
        tempfile.TemporaryDirectory() as folder,
        (venvs / f"{name}.log").open("a", encoding="utf-8") as log,
        subprocess.Popen(
            [python, str(HERE / "probe.py"), peer.module, well.url("echo")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=folder,
            env=dict(_variables(peer.variables)),
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def _variables(more: Mapping[str, str]) -> Mapping[str, str]:
    """The environment of a prober: no proxy, no setting of whoever runs this."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if "proxy" not in name.lower() and not name.startswith(FOREIGN)
    }
    return {**kept, **more}


_PORTS: set[int] = set()
_PORTS_LOCK = threading.Lock()


def _free_port() -> int:
    """A port that nobody has, and that was not given before."""
    with _PORTS_LOCK:
        while True:
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                port = int(taken.getsockname()[1])
            if port not in _PORTS:
                _PORTS.add(port)
                return port

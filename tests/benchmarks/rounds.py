"""Each pair of metric and client in a fresh process, shuffled within each round."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from environments import ROOT, python_of
from plan import CLIENTS, METRICS

HERE = Path(__file__).resolve().parent
Row: TypeAlias = "dict[str, str | float]"
LONGEST_S = 900
FOREIGN = ("SCILLM_", "LITELLM_", "OPENAI_", "PYTHON")


def run(
    venvs: Path, origin: str, pairs: list[tuple[str, str]], rounds: int, *, is_quick: bool
) -> Iterator[Row]:
    """Measure in rounds.

    Args:
        venvs: the folder of environments.
        origin: the endpoint.
        pairs: metric and client.
        rounds: how many times each pair is measured.
        is_quick: with fewer calls.

    Yields:
        One row per measurement: metric, client, round, and either `error` or what was measured.
    """
    for number in range(rounds):
        for metric in dict.fromkeys(metric for metric, _ in pairs):
            clients = [client for name, client in pairs if name == metric]
            random.shuffle(clients)
            if 0 < METRICS[metric].max_rounds <= number:
                continue
            for client in clients:
                row = _measure(venvs, origin, metric, client, is_quick=is_quick)
                yield {"metric": metric, "client": client, "round": number, **row}


def _measure(
    venvs: Path, origin: str, metric: str, client: str, *, is_quick: bool
) -> Mapping[str, str | float]:
    """One measurement; an error is a row too."""
    python = python_of(venvs, CLIENTS[client].environment)
    try:
        if METRICS[metric].measure == "import":
            return _import(python, client, METRICS[metric].n)
        options = METRICS[metric].options
        base = f"{origin}/o/{options}/v1" if options else f"{origin}/v1"
        given: dict[str, str | int] = {"url": base, **METRICS[metric].arguments(is_quick=is_quick)}
        return _measure_in_child(python, METRICS[metric].measure, client, given)
    except subprocess.TimeoutExpired:
        return {"error": f"took longer than {LONGEST_S} s"}
    except subprocess.CalledProcessError as error:
        return {"error": str(error.stderr)[-400:]}


def _measure_in_child(
    python: str, measure: str, client: str, given: Mapping[str, str | int]
) -> Mapping[str, float]:
    """Run `measure.py` and read its line."""
    command = [python, str(HERE / "measure.py"), CLIENTS[client].module, measure]
    variables = _variables(client)
    begin_s = time.perf_counter()
    row: dict[str, float] = json.loads(_output([*command, json.dumps(given)], variables))
    if "at_s" in row:
        row["wall_us"] = (row.pop("at_s") - begin_s) * 1e6
    if "wall_us" in row:
        row["rate"] = 1e6 / row["wall_us"]
    return row


def _import(python: str, client: str, n: int) -> Mapping[str, float]:
    """Start Python several times, bare or with an import, and count what it loads."""
    variables = _variables(client)
    code = "pass" if client == "bare" else "import scillm"
    _output([python, "-c", code], variables)  # files into the page cache
    begin_s, before_s = time.perf_counter(), _children_cpu_s()
    for _ in range(n):
        _output([python, "-c", code], variables)
    wall_s, cpu_s = time.perf_counter() - begin_s, _children_cpu_s() - before_s
    count = f"import sys; before = set(sys.modules); {code}; print(len(set(sys.modules) - before))"
    added = int(_output([python, "-c", count], variables))
    return {"wall_us": wall_s / n * 1e6, "cpu_us": cpu_s / n * 1e6, "added_modules": added}


def _children_cpu_s() -> float:
    """CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _output(command: list[str], variables: Mapping[str, str]) -> str:
    """What a command prints; run where no `.env` and no `pyproject.toml` can be found."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=dict(variables),
            cwd=folder,
            timeout=LONGEST_S,
            check=True,
        )
    return done.stdout


def _variables(client: str) -> Mapping[str, str]:
    """The environment of a measuring process: no proxy, no setting of whoever runs this."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if "proxy" not in name.lower() and not name.startswith(FOREIGN)
    }
    return {**kept, "OPENAI_API_KEY": "sk-mock", **CLIENTS[client].variables}


@contextmanager
def endpoint(venvs: Path) -> Iterator[str]:
    """The endpoint in a process of its own; gives its origin."""
    source = str(ROOT / "plugins" / "pytest-scillm" / "src")
    command = [python_of(venvs, "endpoint"), "-m", "pytest_scillm.endpoint", "--port", "0"]
    variables = {**os.environ, "PYTHONPATH": source}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables) as process:
        try:
            assert process.stdout is not None
            word, _, port = process.stdout.readline().partition(" ")
            if word != "READY":
                raise SystemExit("the endpoint did not start; its words are above")
            yield f"http://127.0.0.1:{port.strip()}"
        finally:
            process.terminate()

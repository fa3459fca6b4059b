"""Measure SciLLM beside raw httpx, raw aiohttp, openai and litellm."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import environments  # beside this file, like the modules below
import report
import rounds
from plan import CLIENTS, METRICS

METHOD = (
    "Each pair of metric and client in a process of its own, shuffled within each round; ratios are"
    " taken within a round, and medians over rounds are shown."
)
TOX = environments.ROOT / ".tox"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print metrics and clients, and end")
    parser.add_argument("--quick", action="store_true", help="2 rounds with fewer calls")
    parser.add_argument("--rounds", type=int, default=0, help="5 if not given, or 2 with --quick")
    parser.add_argument("--only", type=_names(CLIENTS), default=[], help="clients: a,b")
    parser.add_argument("--metrics", type=_names(METRICS), default=[], help="metrics: a,b")
    parser.add_argument("--venvs", type=Path, default=TOX / "bench-venvs", help="environments")
    parser.add_argument("--output", type=Path, default=TOX / "bench", help="without suffix")
    return parser.parse_args()


def _names(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    """A reader of comma-separated names that are known."""

    def read(text: str) -> list[str]:
        unknown = [name for name in text.split(",") if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"no {unknown[0]!r}; there are {', '.join(known)}")
        return text.split(",")

    return read


def main() -> None:
    """Make environments, measure, report."""
    given = arguments()
    pairs = [
        (name, client)
        for name, metric in METRICS.items()
        for client in metric.clients
        if (not given.metrics or name in given.metrics) and (not given.only or client in given.only)
    ]
    if given.list:
        _list(pairs)
        return
    venvs = given.venvs.resolve()
    environments.make(venvs, {"endpoint", *(CLIENTS[client].environment for _, client in pairs)})
    count = given.rounds or (2 if given.quick else 5)
    rows: list[rounds.Row] = []
    try:
        with rounds.endpoint(venvs) as origin:
            for row in rounds.run(venvs, origin, pairs, count, is_quick=given.quick):
                rows.append(row)
                _say(row)
    finally:  # a run that is interrupted reports what it has
        if rows:
            _write(given.output, report.Results(rows), _about(venvs, pairs, count))


def _list(pairs: list[tuple[str, str]]) -> None:
    """Print what would be measured."""
    for metric in dict.fromkeys(metric for metric, _ in pairs):
        clients = ", ".join(client for name, client in pairs if name == metric)
        print(f"{metric:<10} {METRICS[metric].about}\n{'':<10} {clients}")


def _say(row: rounds.Row) -> None:
    """Print one measurement as it is made."""
    told = {
        name: f"{value:.4g}" if isinstance(value, float) else value for name, value in row.items()
    }
    clock = time.strftime("%H:%M:%S")
    words = " ".join(f"{name}={value}" for name, value in told.items())
    print(f"{clock} {words}", flush=True)


def _about(venvs: Path, pairs: list[tuple[str, str]], count: int) -> list[str]:
    """The machine, the load, and the versions."""
    names = sorted({CLIENTS[client].environment for _, client in pairs} - {"scillm"})
    versions = [_version(environments.python_of(venvs, name), name) for name in names]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load} at the end"
    return [f"{machine}; {count} rounds; {', '.join(versions)}.", METHOD]


def _version(python: str, name: str) -> str:
    """Name and version of a peer."""
    code = f"from importlib.metadata import version; print(version({name!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return f"{name} {done.stdout.strip()}"


def _write(output: Path, results: report.Results, about: list[str]) -> None:
    """Write JSON and Markdown, and print the targets."""
    output.parent.mkdir(parents=True, exist_ok=True)
    text = report.markdown(results, about)
    output.with_suffix(".json").write_text(json.dumps(results.rows, indent=1) + "\n")
    output.with_suffix(".md").write_text(text, encoding="utf-8")
    print("\n".join(["", *about, "", *report.targets(results), *results.errors()]))
    print(f"\nreport: {output.with_suffix('.md')}")


if __name__ == "__main__":
    main()

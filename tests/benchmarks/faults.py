"""Run the fault matrix: every fault through every door of SciLLM and of its peers."""

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

import environments  # beside this file, like the folder below
from matrix import cells, report
from matrix.plan import CELLS, DOORS, FAULTS, PEERS

TOX = environments.ROOT / ".tox"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print what would be run, and end")
    parser.add_argument("--only", type=_names(PEERS), default=[*PEERS], help="clients: a,b")
    parser.add_argument("--faults", type=_names(FAULTS), default=[*FAULTS], help="faults: a,b")
    parser.add_argument("--doors", type=_names(DOORS), default=[*DOORS], help="doors: a,b")
    parser.add_argument("--at-a-time", type=int, default=6, help="cells; 6 if not given")
    parser.add_argument("--venvs", type=Path, default=TOX / "bench-venvs", help="environments")
    parser.add_argument("--output", type=Path, default=TOX / "faults", help="without suffix")
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
    """Make environments, run the cells, report."""
    given = arguments()
    wanted = [
        cells.Cell(peer, fault, door)
        for peer in given.only
        for fault, door in CELLS
        if fault in given.faults and door in given.doors
    ]
    if given.list:
        _list(wanted)
        return
    venvs = given.venvs.resolve()
    environments.make(venvs, {PEERS[peer].environment for peer in given.only})
    begin_s = time.monotonic()
    rows: list[cells.Row] = []
    try:
        for row in cells.run(venvs, wanted, given.at_a_time):
            rows.append(row)
            _say(row, f"{len(rows)}/{len(wanted)}")
    finally:  # a run that is interrupted reports what it has
        if rows:
            _write(given.output, rows, _about(venvs, given.only, time.monotonic() - begin_s))


def _list(wanted: list[cells.Cell]) -> None:
    """Print what would be run."""
    for name in dict.fromkeys(cell.fault for cell in wanted):
        doors = dict.fromkeys(cell.door for cell in wanted if cell.fault == name)
        print(f"{name:<20} {FAULTS[name].about}\n{'':<20} {', '.join(doors)}")
    print(f"clients: {', '.join(dict.fromkeys(cell.peer for cell in wanted))}")


def _say(row: cells.Row, progress: str) -> None:
    """Print one cell as it is done."""
    reason = f": {row['reason']}" if row["reason"] else ""
    words = f"{row['peer']} {row['fault']} {row['door']}: {row['verdict']}{reason}"
    print(f"{progress:>7} {words}", flush=True)


def _about(venvs: Path, peers: list[str], took_s: float) -> list[str]:
    """The day, the machine, and the versions."""
    seen = dict.fromkeys((PEERS[peer].environment, PEERS[peer].distribution) for peer in peers)
    versions = ", ".join(_version(venvs, *pair) for pair in seen)
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {took_s:.0f} s"
    return [f"{time.strftime('%d %B %Y')}; {machine}; {versions}."]


def _version(venvs: Path, environment: str, distribution: str) -> str:
    """Name and version of a peer, and of the openai SDK that it stands on."""
    code = (
        "from importlib import metadata\n"
        f"for name in dict.fromkeys([{distribution!r}, 'openai']):\n"
        "    try: print(name, metadata.version(name))\n"
        "    except metadata.PackageNotFoundError: pass\n"
    )
    python = environments.python_of(venvs, environment)
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return " on ".join(done.stdout.splitlines())


def _write(output: Path, rows: list[cells.Row], about: list[str]) -> None:
    """Write JSON and Markdown, and print the totals."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    output.with_suffix(".md").write_text(report.markdown(rows, about), encoding="utf-8")
    print("\n".join(["", *about, "", *report.totals(rows)]))
    print(f"\nreport: {output.with_suffix('.md')}")


if __name__ == "__main__":
    main()

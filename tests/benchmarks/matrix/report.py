"""From rows to a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .judge import HALF, NOT_OFFERED, RIGHT, VERDICTS, WRONG
from .plan import DOORS, FAULTS, PEERS

SHORT = {RIGHT: "right", HALF: "half", WRONG: "**wrong**", NOT_OFFERED: "-", "failed": "failed"}
Rows = Sequence[dict[str, Any]]


def markdown(rows: Rows, about: Sequence[str]) -> str:
    """The report.

    Args:
        rows: all cells.
        about: lines on the machine and the versions.
    """
    parts = ["# Fault matrix", "", *about, "", "## Totals", "", *totals(rows)]
    parts += ["", "## By fault: right of offered", "", *by_fault(rows)]
    for peer in _peers(rows):
        parts += ["", f"## {peer}", "", *_table(rows, peer)]
        lines = list(not_right(rows, peer))
        parts += ["", *lines] if lines else []
    return "\n".join(parts) + "\n"


def totals(rows: Rows) -> list[str]:
    """One line per client; a half right cell counts one half on either side."""
    lines = [
        "| client | right | half | wrong | not offered | wrong of those offered |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for peer in _peers(rows):
        words = [row["verdict"] for row in rows if row["peer"] == peer]
        counts = [words.count(word) for word in VERDICTS]
        offered = sum(counts[:3])
        share = (counts[2] + counts[1] / 2) / offered if offered else 0.0
        lines.append(f"| {peer} | {' | '.join(map(str, counts))} | {share:.0%} |")
    return lines


def by_fault(rows: Rows) -> list[str]:
    """Faults by clients: how many cells are right, of those offered; a half counts a half."""
    peers = _peers(rows)
    lines = [f"| fault | {' | '.join(peers)} |", f"|---{'|:-:' * len(peers)}|"]
    for name, fault in FAULTS.items():
        shares = [_share([row for row in rows if row["fault"] == name], peer) for peer in peers]
        if any(shares):
            lines.append(f"| {fault.about} | {' | '.join(share or '-' for share in shares)} |")
    return lines


def _share(rows: Rows, peer: str) -> str:
    """Right of offered, "" if none is."""
    words = [row["verdict"] for row in rows if row["peer"] == peer]
    offered = [word for word in words if word != NOT_OFFERED]
    right = offered.count(RIGHT) + offered.count(HALF) / 2
    return f"{right:g}/{len(offered)}" if offered else ""


def not_right(rows: Rows, peer: str) -> Iterator[str]:
    """A line per cell of a client that is not right: what was seen."""
    for row in _in_order(rows, peer):
        if row["verdict"] not in (RIGHT, NOT_OFFERED):
            yield f"- {row['verdict']}: {row['fault']}, {row['door']}: {row['reason']}"


def _table(rows: Rows, peer: str) -> list[str]:
    """Faults by doors."""
    found = {(row["fault"], row["door"]): row["verdict"] for row in rows if row["peer"] == peer}
    lines = [f"| fault | {' | '.join(DOORS)} |", "|---" * (len(DOORS) + 1) + "|"]
    for name, fault in FAULTS.items():
        cells = [SHORT[found[name, door]] if (name, door) in found else "" for door in DOORS]
        if any(cells):
            lines.append(f"| {fault.about} | {' | '.join(cells)} |")
    return lines


def _peers(rows: Rows) -> list[str]:
    seen = {row["peer"] for row in rows}
    return [peer for peer in PEERS if peer in seen]


def _in_order(rows: Rows, peer: str) -> list[dict[str, Any]]:
    """The rows of a client in the order of the plan."""
    places = {name: place for place, name in enumerate(FAULTS)}
    doors = list(DOORS)
    mine = [row for row in rows if row["peer"] == peer]
    return sorted(mine, key=lambda row: (places[row["fault"]], doors.index(row["door"])))

"""Medians over rounds of ratios within a round, beside what is wanted."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from plan import METRICS, TARGETS, Target
from rounds import Row

QUANTITIES = {
    "wall_us": "wall µs",
    "cpu_us": "CPU µs",
    "rate": "rate /s",
    "peak_mb": "peak MB",
    "early_mb": "early MB",
    "late_mb": "late MB",
    "growth_mb": "growth MB",
    "added_mb": "MB above import",
    "added_modules": "modules added",
    "modules": "modules",
}
BASES = ("bare", "raw_httpx", "raw_aiohttp", "aiohttp_wide")


class Results:
    """Rows, looked up by metric, client, round and quantity.

    Args:
        rows: as `rounds.run` gives them.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)
        self._found = {(row["metric"], row["client"], row["round"]): row for row in self.rows}
        self.rounds = sorted({int(row["round"]) for row in self.rows})

    def clients(self, metric: str) -> list[str]:
        """Who was measured, in the order of the plan."""
        seen = {row["client"] for row in self.rows if row["metric"] == metric}
        return [client for client in METRICS[metric].clients if client in seen]

    def values(self, metric: str, client: str, quantity: str) -> dict[int, float]:
        """What was measured, by round."""
        rows = {number: self._found.get((metric, client, number), {}) for number in self.rounds}
        return {number: float(row[quantity]) for number, row in rows.items() if quantity in row}

    def median(self, metric: str, client: str, quantity: str) -> float | None:
        """The median over rounds."""
        return _median(self.values(metric, client, quantity).values())

    def ratio(
        self, metric: str, client: str, quantity: str, peer: str, peer_metric: str = ""
    ) -> float | None:
        """The median over rounds of the ratio to a peer's within the round."""
        ours = self.values(metric, client, quantity)
        theirs = self.values(peer_metric or metric, peer, quantity)
        return _median(ours[number] / theirs[number] for number in ours if theirs.get(number))

    def reached(self, target: Target) -> float | None:
        """The number that a target is about."""
        if not target.peer:
            return self.median(target.metric, target.client, target.quantity)
        return self.ratio(
            target.metric, target.client, target.quantity, target.peer, target.peer_metric
        )

    def errors(self) -> list[str]:
        """Measurements that failed, in words."""
        failed = [row for row in self.rows if "error" in row]
        return [f"{row['metric']} {row['client']}: {row['error']}" for row in failed]


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return statistics.median(found) if found else None


def markdown(results: Results, about: Sequence[str]) -> str:
    """The report.

    Args:
        results: all rows.
        about: lines on the machine and the versions.
    """
    parts = ["# Benchmarks", "", *about, "", "## Targets", "", *targets(results)]
    for metric in dict.fromkeys(str(row["metric"]) for row in results.rows):
        parts += ["", f"## {metric}: {METRICS[metric].about}", "", *_table(results, metric)]
    if results.errors():
        parts += ["", "## Failed", "", *(f"- {line}" for line in results.errors())]
    return "\n".join(parts) + "\n"


def targets(results: Results) -> list[str]:
    """One line per target that was measured: what was reached beside what is wanted."""
    lines = ["| | what | wanted | reached |", "|---|---|---|---|"]
    for target in TARGETS:
        reached = results.reached(target)
        if reached is None:
            continue
        is_met = reached >= target.limit if target.is_at_least else reached <= target.limit
        beside = f" / {target.peer}" if target.peer else ""
        what = f"{target.metric}: {target.client}{beside}, {QUANTITIES[target.quantity]}"
        wanted = f"{'≥' if target.is_at_least else '≤'} {target.limit:.3g}"
        lines.append(f"| {'pass' if is_met else 'SHORT'} | {what} | {wanted} | {reached:.3g} |")
    return lines


def _table(results: Results, metric: str) -> list[str]:
    """Medians of all quantities, lowest and highest of the first, and ratios to the raw clients."""
    clients = results.clients(metric)
    shown = [
        quantity
        for quantity in QUANTITIES
        if any(results.values(metric, client, quantity) for client in clients)
    ]
    bases = [base for base in BASES if base in clients and "cpu_us" in shown]
    heads = [QUANTITIES[quantity] for quantity in shown]
    heads += [f"{kind} / {base}" for base in bases for kind in ("wall", "CPU")]
    lines = [
        f"| client | lowest to highest | {' | '.join(heads)} |",
        "|---" * (len(heads) + 2) + "|",
    ]
    for client in clients:
        values = sorted(results.values(metric, client, shown[0]).values()) if shown else []
        spread = f"{values[0]:.4g} to {values[-1]:.4g}" if values else ""
        cells = [results.median(metric, client, quantity) for quantity in shown]
        cells += [
            results.ratio(metric, client, quantity, base)
            for base in bases
            for quantity in ("wall_us", "cpu_us")
        ]
        lines.append(f"| {client} | {spread} | {' | '.join(map(_cell, cells))} |")
    return lines


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"

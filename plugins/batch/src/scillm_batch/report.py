"""One page about a run: it holds all that it shows, and asks no other host for anything."""

from __future__ import annotations

import html
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from attrs import define, field

from scillm_batch.items import BatchError
from scillm_batch.rows import who

_BARS = 40
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #3b6ea8; --bad: #b3452c; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .3rem .6rem;
border-bottom: 1px solid var(--line); vertical-align: top; } td.n, th.n { text-align: right;
font-variant-numeric: tabular-nums; } svg { width: 100%; height: auto; }
svg rect { fill: var(--bar); }
svg text { fill: currentColor; font-size: 11px; } .bad { color: var(--bad); }
"""


@define
class _Gathered:
    """What is read out of the rows of an output; a few numbers for each row are kept."""

    rows: int = 0
    failed: int = 0
    tokens: int = 0
    cost: float | None = None
    requests: int = 0
    durations_ms: array[float] = field(factory=lambda: array("d"))
    ended_s: array[float] = field(factory=lambda: array("d"))
    errors: Counter[str] = field(factory=Counter)
    messages: dict[str, str] = field(factory=dict)
    served: dict[str, list[float]] = field(factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        self.rows += 1
        self.requests += int(record.get("attempts") or 0)
        tokens = int((record.get("usage") or {}).get("total_tokens") or 0)
        self.tokens += tokens
        if (cost := record.get("cost")) is not None:
            self.cost = (self.cost or 0.0) + cost
        self._add_times(record.get("timings") or {})
        if error := record.get("error"):
            self.failed += 1
            self.errors[error["type"]] += 1
            self.messages.setdefault(error["type"], str(error["message"])[:300])
        elif name := who(record.get("served_by")):
            sums = self.served.setdefault(name, [0, 0, 0.0])
            sums[0] += 1
            sums[1] += tokens
            sums[2] += cost or 0.0

    def _add_times(self, timings: Mapping[str, Any]) -> None:
        if "duration_ms" in timings:
            self.durations_ms.append(timings["duration_ms"])
            self.ended_s.append(timings["started_at"] + timings["duration_ms"] / 1000)


def write(out: Path, page: Path) -> None:
    """Write the page about an output.

    Raises:
        BatchError: The output cannot be read, or has lines of another kind.
    """
    gathered = _Gathered()
    for record in _records(out):
        gathered.add(record)
    text = _page(out.name, gathered)
    new = page.with_name(page.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(page)


def _records(out: Path) -> Iterator[Mapping[str, Any]]:
    try:
        file = out.open("rb")
    except OSError as error:
        raise BatchError(f"the output {out} cannot be read: {error.strerror}") from None
    with file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return  # being written at this moment
            try:
                record = json.loads(line)
                record["error"], record["timings"]  # does it have them
            except (ValueError, KeyError, TypeError):
                raise BatchError(
                    f"{out}, line {number}, is no row of a run; a report is made of the output of "
                    "--format scillm"
                ) from None
            yield record


def _page(name: str, gathered: _Gathered) -> str:
    title = html.escape(f"Batch {name}")
    made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    parts = [
        f"<h1>{title}</h1><p>{made}</p>",
        _table(("", ""), _facts(gathered)),
        "<h2>Latency</h2>",
        _latency(gathered.durations_ms),
        "<h2>Throughput</h2>",
        _throughput(gathered.ended_s),
        "<h2>Failures</h2>",
        _failures(gathered),
        "<h2>Who answered</h2>",
        _table(
            ("route", "answers", "tokens", "USD"),
            [(n, int(s[0]), int(s[1]), _money(s[2])) for n, s in gathered.served.items()],
        ),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _facts(gathered: _Gathered) -> list[tuple[Any, ...]]:
    span_s = max(gathered.ended_s) - min(gathered.ended_s) if gathered.ended_s else 0.0
    rate = gathered.rows / span_s if span_s else 0.0
    cost = "unknown" if gathered.cost is None else _money(gathered.cost)
    return [
        ("items", gathered.rows),
        ("answered", gathered.rows - gathered.failed),
        ("failed", gathered.failed),
        ("requests", gathered.requests),
        ("items a second", f"{rate:.1f}"),
        ("tokens", gathered.tokens),
        ("cost in USD", cost),
    ]


def _latency(durations_ms: array[float]) -> str:
    if not durations_ms:
        return "<p>No row tells how long it took.</p>"
    ordered = sorted(durations_ms)
    shares = [(f"p{p}", f"{_percentile(ordered, p):.0f} ms") for p in (50, 90, 95, 99)]
    shares.append(("longest", f"{ordered[-1]:.0f} ms"))
    most = _percentile(ordered, 99.5) or ordered[-1] or 1.0
    counts = [0] * _BARS
    for value in ordered:
        counts[min(_BARS - 1, int(value / most * _BARS))] += 1
    label = "Histogram of milliseconds from request to answer, waits and retries included"
    return _bars(counts, label, "0 ms", f"{most:.0f} ms and more") + _table(("", ""), shares)


def _throughput(ended_s: array[float]) -> str:
    if len(ended_s) < 2:
        return "<p>Too few rows tell when they ended.</p>"
    first, last = min(ended_s), max(ended_s)
    span_s = (last - first) or 1.0
    counts = [0] * _BARS
    for at_s in ended_s:
        counts[min(_BARS - 1, int((at_s - first) / span_s * _BARS))] += 1
    label = f"Answers in each {span_s / _BARS:.2g} s of the run"
    return _bars(counts, label, _clock(first), _clock(last))


def _failures(gathered: _Gathered) -> str:
    if not gathered.failed:
        return "<p>None.</p>"
    rows = [(n, c, gathered.messages[n]) for n, c in gathered.errors.most_common()]
    return _table(("error", "items", "the first of them"), rows)


def _bars(counts: Sequence[int], label: str, left: str, right: str) -> str:
    """Draw counts side by side; the label is what a screen reader says."""
    most, width, height = max(counts) or 1, 20, 160
    bars = "".join(
        f'<rect x="{place * width + 1}" y="{height - height * count / most:.1f}" '
        f'width="{width - 2}" height="{height * count / most:.1f}"><title>{count}</title></rect>'
        for place, count in enumerate(counts)
    )
    total = width * len(counts)
    box = f"0 0 {total} {height + 20}"
    return (
        f'<figure><svg viewBox="{box}" role="img" aria-label="{html.escape(label)}">'
        f'{bars}<text x="0" y="{height + 15}">{html.escape(left)}</text>'
        f'<text x="{total}" y="{height + 15}" text-anchor="end">{html.escape(right)}</text>'
        f"</svg><figcaption>{html.escape(label)}; the highest bar is {most}</figcaption></figure>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return "<p>None.</p>"
    names = "".join(f"<th>{html.escape(name)}</th>" for name in head) if any(head) else ""
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><tr>{names}</tr>{body}</table>"


def _cell(value: Any) -> str:
    kind = ' class="n"' if isinstance(value, (int, float)) else ""
    return f"<td{kind}>{html.escape(str(value))}</td>"


def _percentile(ordered: Sequence[float], percent: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _money(usd: float) -> str:
    return f"{usd:.4f}"


def _clock(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, timezone.utc).strftime("%H:%M:%S")

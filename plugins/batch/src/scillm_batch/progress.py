"""How a run is shown while it goes on: a bar, plain lines, or events in JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from scillm_batch.run import BatchRun, Summary

Show = Callable[[Mapping[str, Any]], None]
EVERY_S = 0.5
PLAIN_EVERY = 10  # of a terminal's updates, one is a line where there is no terminal


async def shown(run: BatchRun, *, is_json: bool) -> Summary:
    """Run to the end, and show how far it has come."""
    with _showing(is_json=is_json) as show:
        running = asyncio.ensure_future(_awaited(run))
        try:
            while not running.done():
                await asyncio.wait({running}, timeout=EVERY_S)
                if progress := run.progress():
                    show(progress)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        if progress := run.progress():
            show(progress)
    return running.result()


async def _awaited(run: BatchRun) -> Summary:
    return await run


@contextlib.contextmanager
def _showing(*, is_json: bool) -> Iterator[Show]:
    if is_json:
        yield lambda progress: _print(json.dumps({"event": "progress", **progress}))
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _Plain()


class _Plain:
    """Lines for a log: the first, then one every few seconds, and the last."""

    def __init__(self) -> None:
        self._seen, self._last = 0, ""

    def __call__(self, progress: Mapping[str, Any]) -> None:
        self._seen += 1
        is_last = progress["done"] == progress["total"]
        if (self._seen % PLAIN_EVERY == 1 or is_last) and (text := line(progress)) != self._last:
            self._last = text
            _print(text)


@contextlib.contextmanager
def _bar() -> Iterator[Show]:
    from rich.console import Console  # slow to import, and only a terminal needs it
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task("", total=None)

        def show(progress: Mapping[str, Any]) -> None:
            bar.update(
                task,
                total=progress["total"],
                completed=progress["done"],
                description=line(progress),
            )

        yield show


def _print(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody listens any more
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def line(progress: Mapping[str, Any]) -> str:
    """Return how far a run has come, in a line."""
    total = progress["total"]
    parts = [f"{progress['done']}/{total}" if total is not None else str(progress["done"])]
    parts.append(f"{progress['rate']:.1f}/s")
    if eta_s := progress["eta_s"]:
        parts.append(f"{duration(eta_s)} left")
    parts.append(f"{progress['in_flight']} of {progress['limit']} under way")
    if progress["paused_s"] > 0:
        parts.append(f"paused for {progress['paused_s']:.0f} s")
    if resting := progress.get("resting"):
        parts.append(f"resting: {', '.join(resting)}")
    if progress["failed"]:
        parts.append(f"{progress['failed']} failed ({reasons(progress['errors'])})")
    parts.append(f"{progress['tokens']} tokens")
    if progress["cost"] is not None:
        parts.append(f"${progress['cost']:.4f}")
    return ", ".join(parts)


def reasons(errors: Mapping[str, int]) -> str:
    """Return classes of errors with their numbers, in a line."""
    return ", ".join(f"{count} {name}" for name, count in errors.items())


def duration(seconds: float) -> str:
    """Return a time in words that fit into a line: ``45 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

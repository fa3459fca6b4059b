"""What is known of an output without running anything."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from scillm_batch.desk import NOTE_S, PROGRESS_NOTE
from scillm_batch.items import BatchError
from scillm_batch.journal import Journal, Place, finished
from scillm_batch.progress import duration, reasons
from scillm_batch.rows import Known
from scillm_batch.store import journal_of

SETTINGS_NOTE = "settings"
_AT_A_TIME = 1000


def status(path: Path) -> dict[str, Any]:
    """Return what is known of an output, also while a run is writing it.

    Returns:
        ``done``, ``ok``, ``failed``, ``retryable``, ``begun``, ``errors``, ``served_by``,
        ``tokens``, ``cost``, and what a run last noted: ``total``, ``rate``, and if that was just
        now ``eta_s``.

    Raises:
        BatchError: There is no such output.
    """
    if not path.is_file():
        raise BatchError(f"there is no output {path}")
    journal = _journal(path)
    if journal is None:
        return _read(path)
    with closing(journal):
        progress = json.loads(journal.meta(PROGRESS_NOTE) or "{}")
        counts = journal.counts()
    total, is_new = progress.get("total"), time.time() - progress.get("at", 0) < 5 * NOTE_S
    left = None if total is None else max(0, total - counts["done"])
    rate = progress.get("rate")
    return {
        **counts,
        "total": total,
        "rate": rate,
        "eta_s": left / rate if left and rate and is_new else None,
    }


def note(path: Path, name: str) -> str | None:
    """Return what a run noted in the journal of its output, or None."""
    journal = _journal(path)
    if journal is None:
        return None
    with closing(journal):
        return journal.meta(name)


def _journal(path: Path) -> Journal | None:
    """Open the journal of an output; None if it is gone, or cannot be used."""
    where = journal_of(path.resolve())
    if not where.is_file():
        return None
    try:
        return Journal(where)
    except BatchError:  # the lines themselves tell all but the rate
        return None


def _read(path: Path) -> dict[str, Any]:
    """Sum up the lines themselves, where the journal is gone."""
    with closing(Journal(None)) as journal, path.open("rb") as file:
        at = 0
        while lines := list(islice(file, _AT_A_TIME)):
            some: list[bytes] = []
            for text in lines:
                known = Known.of_line(text) if text.endswith(b"\n") else None
                if known is not None:
                    some.append(finished(known, Place(at, len(text), 0)))
                elif text.endswith(b"\n"):
                    raise BatchError(f"{path} has a line that is no row of a run, at byte {at}")
                at += len(text)
            journal.finish(some, 0)
        counts = journal.counts()
    return {**counts, "total": None, "rate": None, "eta_s": None}


def told(found: Mapping[str, Any]) -> str:
    """Return a status in lines."""
    total = found.get("total")
    of = f" of {total}" if total else ""
    lines = [f"done     {found['done']}{of}: {found['ok']} answered, {found['failed']} failed"]
    if found["errors"]:
        lines.append(f"failed   {reasons(found['errors'])}; {found['retryable']} may succeed later")
    if found["begun"]:
        lines.append(f"open     {found['begun']} were read and have no line yet")
    if found.get("rate"):
        eta = f", {duration(found['eta_s'])} left" if found.get("eta_s") else ""
        lines.append(f"rate     {found['rate']:.1f}/s{eta}")
    cost = "unknown" if found["cost"] is None else f"${found['cost']:.4f}"
    lines.append(f"spent    {found['tokens']} tokens, cost {cost}")
    lines += [f"served   {count} by {name}" for name, count in found["served_by"].items()]
    return "\n".join(lines)

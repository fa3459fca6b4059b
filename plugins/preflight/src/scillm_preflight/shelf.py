"""The file that keeps catalogues from one process to the next: ``scillm/catalog.json``.

Written whole, beside it and then in its place, while a lock is held, so that what several
processes have read is all in it. It holds addresses and ids, and no key.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from scillm_preflight.settings import CACHE_HOME

LOG = logging.getLogger("scillm.preflight")
VERSION = 1
MOST_BASES = 256
LOCK_WAIT_S = 10.0
AHEAD_S = 60.0  # clocks of two machines differ; what is further ahead is no time of ours
_POLL_S = 0.005


@frozen
class Catalog:
    """What one host offers.

    Attributes:
        ids: The ids of its models.
        read_at_s: When they were read, in seconds since 1970.
    """

    ids: frozenset[str]
    read_at_s: float


Catalogs = Mapping[str, Catalog]


class Damaged(ValueError):
    """The file is not one of ours, or not whole."""


def path() -> Path | None:
    """Return where the file is, whether it is there or not; None for a user without a home."""
    home = Path(CACHE_HOME.value())
    if not home.is_absolute():  # the rule of the XDG specification; unset is "."
        try:
            home = Path.home() / ".cache"
        except RuntimeError:
            return None
    return home / "scillm" / "catalog.json"


def mark(file: Path) -> tuple[int, int, int] | None:
    """Return what changes when the file is written; None if there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def read(file: Path) -> dict[str, Catalog]:
    """Return what the file holds, by address; nothing if there is no file.

    Raises:
        Damaged: It holds something else.
    """
    try:
        kept = json.loads(file.read_bytes())
        if kept["version"] != VERSION:
            raise Damaged(f"it is of version {kept['version']!r:.40}")
        return {place: _catalog(entry) for place, entry in kept["bases"].items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Damaged(f"it cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(str(error)[:200] or type(error).__name__) from None


def _catalog(entry: Any) -> Catalog:
    ids, read_at_s = entry["ids"], entry["read_at_s"]
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise Damaged("ids that are no list of texts")
    if isinstance(read_at_s, bool) or not isinstance(read_at_s, (int, float)):
        raise Damaged("a time that is no number")
    if not math.isfinite(read_at_s):
        raise Damaged("a time that is no time")
    return Catalog(frozenset(ids), float(read_at_s))


def add(file: Path, place: str, catalog: Catalog) -> dict[str, Catalog]:
    """Put a catalogue into the file beside what others have put there; returns all of it.

    A newer one of the same address is left, and what is damaged is written anew.

    Raises:
        OSError: It cannot be written; TimeoutError if somebody holds the lock for too long.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(file.with_name(f"{file.name}.lock")):
        kept: dict[str, Catalog] = {}
        with suppress(Damaged):  # who reads it first says so
            kept = read(file)
        old = kept.get(place)
        if old is None or not catalog.read_at_s < old.read_at_s <= catalog.read_at_s + AHEAD_S:
            kept[place] = catalog
        newest = sorted(kept, key=lambda one: kept[one].read_at_s, reverse=True)[:MOST_BASES]
        kept = {one: kept[one] for one in sorted(newest)}
        _replace(file, kept)
    return kept


def _replace(file: Path, catalogs: Catalogs) -> None:
    import tempfile  # slow to import, and only who writes needs it

    bases = {
        place: {"read_at_s": one.read_at_s, "ids": sorted(one.ids)}
        for place, one in catalogs.items()
    }
    text = json.dumps({"version": VERSION, "bases": bases}, indent=1)
    descriptor, beside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            out.write(text)
        Path(beside).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(beside).unlink()
        raise


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a lock that the operating system releases when its holder dies.

    Raises:
        TimeoutError: Somebody else holds it for longer than ``LOCK_WAIT_S``.
    """
    if sys.platform == "win32":  # there is no flock: the last of two who write at once wins
        yield
        return
    import fcntl

    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline_s = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise TimeoutError(
                        f"another process holds {lock.name} for {LOCK_WAIT_S:g} s"
                    ) from None
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)

"""Advisory locks on files (flock), which the operating system releases when their holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_S = 0.05


def opened(path: Path) -> int:
    """Return a descriptor of a lock file, made if needed; the caller closes it.

    A lock belongs to what ``open`` made, not to the process: a forked child that closes its
    copy leaves the lock alone, and one that wants its own must open the file again.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def is_current(descriptor: int, path: Path) -> bool:
    """Whether *path* still is the file that was opened, and nobody has tidied it away."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def shared(path: Path) -> int:
    """Take a shared lock, waiting while somebody has it alone; the caller closes the descriptor."""
    while True:
        descriptor = opened(path)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if is_current(descriptor, path):
            return descriptor
        os.close(descriptor)


def release(descriptor: int) -> None:
    """Give a lock back, in every process that has a copy of the descriptor, and keep it open."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_free_for(descriptor: int, *, alone: bool) -> bool:
    """Try to take a lock, *alone* or shared, without waiting; True if it is now held."""
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def alone_within(descriptor: int, timeout_s: float) -> bool:
    """Take a lock alone; False if *timeout_s* pass first.

    Polls, because a thread that waits in flock cannot be told to stop.
    """
    deadline = time.monotonic() + timeout_s
    while not is_free_for(descriptor, alone=True):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock on *path* alone; False too if there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not is_free_for(descriptor, alone=False)
    finally:
        os.close(descriptor)


def free_within(path: Path, timeout_s: float) -> bool:
    """Wait until nobody holds *path* alone; False if *timeout_s* pass first."""
    deadline = time.monotonic() + timeout_s
    while is_held(path):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


@contextmanager
def held(path: Path, timeout_s: float) -> Iterator[int]:
    """Hold the lock on *path* alone; yields its descriptor.

    At the end it is unlocked, not only closed: a process forked meanwhile has a copy, which
    would keep the lock for as long as it lives.

    Raises:
        TimeoutError: *timeout_s* passed first.
    """
    descriptor = opened(path)
    try:
        if not alone_within(descriptor, timeout_s):
            raise TimeoutError(f"the lock {str(path)!r} was not free within {timeout_s:g} s")
        try:
            if is_current(descriptor, path):
                yield descriptor
                return
        finally:
            release(descriptor)
    finally:
        os.close(descriptor)
    with held(path, timeout_s) as another:  # the file was tidied away while we waited
        yield another

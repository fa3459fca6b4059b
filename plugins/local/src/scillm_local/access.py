"""How a process comes to a host: it takes a lease, finds a living one, or starts one."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from scillm.settings import variable
from scillm_local import fetch, folders, locks
from scillm_local import model as models
from scillm_local.errors import HostError, ModelFileError, named
from scillm_local.host import Orders
from scillm_local.meeting import Meeting, Record, meeting, tidy
from scillm_local.model import Model
from scillm_local.plan import Plan, plan_for
from scillm_local.settings import START_S

_PASSED_ON = [
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
]
_LOG_BYTES = 1 << 20
_DYING_S = 1.0  # a dying process closes its connections before it lets go of its lock


class Leases:
    """The leases that keep hosts alive for this process; the operating system ends them with it."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, str], int] = {}

    def take(self, place: Meeting) -> None:
        """Take a lease unless this process has it; a forked child takes its own."""
        mine = (os.getpid(), str(place.lease))
        if mine in self._held:
            return
        for other in [owner for owner in self._held if owner[0] != mine[0]]:
            _closed(
                self._held.pop(other, None)
            )  # the parent's: closing our copy leaves it its lease
        descriptor = locks.shared(place.lease)
        if self._held.setdefault(mine, descriptor) != descriptor:
            os.close(descriptor)  # another thread was faster

    def give_back(self) -> None:
        """Give all leases back."""
        while self._held:
            os.close(self._held.popitem()[1])


def _closed(descriptor: int | None) -> None:
    if descriptor is not None:  # else another thread was faster
        os.close(descriptor)


def host_for(model: Model, leases: Leases, lost: Record | None = None) -> Record:
    """Return a living host for *model*, started if there is none. Blocks: for a thread.

    Args:
        model: What it shall hold.
        leases: Those of the caller; one on the host is added.
        lost: The host that has just broken a connection, and may be about to die.

    Raises:
        ModelMissingError: The model is not here and could not be fetched.
        ModelFileError: Its file is not a model, altered, or too large.
        HostError: The host did not start.
    """
    if sys.platform == "win32":
        raise HostError("the embedded model needs Linux or macOS", **named(model.id))
    try:
        plan = plan_for(model)
        place = meeting(plan.key)
        leases.take(place)
        if lost is not None and place.read() == lost:
            locks.free_within(place.alive, _DYING_S)
        return place.living() or _started(model, plan, place)
    except OSError as error:  # a full disk, a folder that may not be written
        raise HostError(
            f"the embedded model's host cannot be reached: {error}", **named(model.id)
        ) from error


def _started(model: Model, plan: Plan, place: Meeting) -> Record:
    fetch.ensure(model)
    timeout_s = START_S.value()
    try:
        with locks.held(place.start, timeout_s) as start_lock:
            if found := place.living():
                return found
            models.check(model, plan.memory_bytes)
            tidy(place.folder)
            return _start(plan, place, start_lock, timeout_s)
    except TimeoutError as error:
        raise HostError(
            f"the embedded model's host was not up within {timeout_s:g} s ({error}): "
            "wait and call again, or set SCILLM_LOCAL_START_S",
            **named(model.id),
        ) from None


def _start(plan: Plan, place: Meeting, start_lock: int, timeout_s: float) -> Record:
    log = folders.logs() / f"local-{plan.key}.log"
    process = _spawned(log, place.folder, start_lock)
    assert process.stdin is not None
    assert process.stdout is not None
    orders = Orders(plan=plan, folder=str(place.folder), log=str(log), start_lock=start_lock)
    # Whoever starts a process must wait for it, or it stays a zombie after its end.
    threading.Thread(target=process.wait, name="scillm-local-reaper", daemon=True).start()
    with suppress(BrokenPipeError), process.stdin as pipe:  # it died: the empty answer says so
        pipe.write(orders.encode())
    with process.stdout as pipe:
        answer = _line(pipe, timeout_s)
    if answer is None:
        process.kill()
        raise TimeoutError("it was loading still")
    error = json.loads(answer)["error"] if answer else "it died"
    found = None if error else place.living()
    if found is None:
        raise _refused(plan, error or "it died at once", log)
    return found


def _spawned(log: Path, folder: Path, start_lock: int) -> subprocess.Popen[bytes]:
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    log.touch(mode=0o600)
    with log.open("ab") as written:
        return subprocess.Popen(  # no shell, and every word is ours
            [sys.executable, "-m", "scillm_local.host"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=written,
            cwd=folder,
            env=_environment(),
            pass_fds=(start_lock,),
            start_new_session=True,  # Ctrl-C in a user's terminal is not for the host of all
        )


def _environment() -> dict[str, str]:
    """Return what the host needs; it outlives its starter, whose keys are not for it."""
    told = {name: value for name in _PASSED_ON if (value := variable(name)) is not None}
    # GGML would start a debugger to show where it aborted; many heaps would fill the bound.
    return {**told, "GGML_NO_BACKTRACE": "1", "MALLOC_ARENA_MAX": "2", "SCILLM_DOTENV": "0"}


def _line(pipe: IO[bytes], timeout_s: float) -> bytes | None:
    """Return one line, ``b""`` if the other side closed, None if *timeout_s* pass first."""
    deadline, got = time.monotonic() + timeout_s, b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while not got.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return None
            block = os.read(pipe.fileno(), 4096)
            if not block:
                return b""
            got += block
    return got


def _refused(plan: Plan, error: str, log: Path) -> ModelFileError:
    return ModelFileError(
        f"the embedded model's host could not load {plan.path!r} ({error}): the file is damaged, "
        f"or it needs more than SCILLM_LOCAL_MEMORY_BYTES ({plan.memory_bytes}) with "
        f"{plan.slots} x {plan.context_tokens} tokens of context. {_last_words(log)}",
        **named(plan.model_id),
    )


def _last_words(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 2000))
        lines = file.read().decode("utf-8", "replace").splitlines()
    telling = [line.strip() for line in lines if "error" in line.lower() or "fail" in line.lower()]
    said = f" It said {telling[-1]!r}." if telling else ""
    return f"The log is {str(log)!r}.{said}"

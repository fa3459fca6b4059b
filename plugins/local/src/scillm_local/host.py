"""The process that holds the model: ``python -m scillm_local.host``, started by ``access``.

It reads its plan from standard input, loads the model, tells where it listens, answers that
to its starter in one line, and stops when nobody needs it any more. llama.cpp serves the
calls in threads of its own; Python only looks after the process.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field, frozen

from scillm_local import locks
from scillm_local.meeting import Meeting, Record
from scillm_local.plan import Plan

_LOCK_WAIT_S = 2.0  # a reader that looks whether the lock is held holds it for a moment
_POLL_S = 1.0
_WARNINGS = 2  # llama.cpp's level of a log without the requests
_COUNTERS = ("prompt_tokens_total", "n_decode_total")
_BUSY = ("requests_processing", "requests_deferred")


@frozen(kw_only=True)
class Orders:
    """What the starter hands over.

    Attributes:
        plan: The host to be.
        folder: Where it meets its users.
        log: File that its standard error goes to.
        start_lock: Descriptor of the start lock, which is kept until the host can be found.
    """

    plan: Plan
    folder: str
    log: str
    start_lock: int

    def encode(self) -> bytes:
        """Return the orders as JSON."""
        told = {"folder": self.folder, "log": self.log, "start_lock": self.start_lock}
        return json.dumps({**told, "plan": self.plan.encode()}).encode()

    @classmethod
    def decode(cls, text: bytes) -> Orders:
        """Return the orders that ``encode`` wrote."""
        told = json.loads(text)
        return cls(**{**told, "plan": Plan.decode(told["plan"])})


def main() -> None:
    """Be a host until nobody needs one."""
    signal.signal(signal.SIGTERM, _leave)
    orders = Orders.decode(sys.stdin.buffer.read())
    meeting = Meeting(Path(orders.folder), orders.plan.key)
    alive = locks.opened(meeting.alive)
    if not locks.alone_within(alive, _LOCK_WAIT_S):
        _answer(error="another host holds its place")
        return
    _bound(orders.plan.memory_bytes)
    token = secrets.token_urlsafe(32)
    try:
        server = _serving(orders.plan, token)
        watch = Watch(meeting, orders.plan, server)
    except Exception as error:  # noqa: BLE001  # whatever it is, the starter tells it
        _answer(error=str(error) or type(error).__name__)
        return
    try:
        meeting.write(_record(orders, token, server.listening_address))
        locks.release(orders.start_lock)
        os.close(orders.start_lock)
        _answer(error=None)
        watch.until_unneeded()
    finally:
        meeting.record.unlink(missing_ok=True)
        os._exit(0)  # no waiting for threads of llama.cpp: nobody listens to them any more


def _record(orders: Orders, token: str, address: str) -> Record:
    plan = orders.plan
    return Record(
        pid=os.getpid(),
        port=urlsplit(address).port or 0,
        token=token,
        model_id=plan.model_id,
        path=plan.path,
        identity=plan.identity,
        log=orders.log,
    )


def _answer(*, error: str | None) -> None:
    """Tell the starter, who may have died meanwhile, and let go of its pipe."""
    with suppress(BrokenPipeError):
        os.write(1, json.dumps({"error": error}).encode() + b"\n")
    os.dup2(2, 1)


def _bound(memory_bytes: int) -> None:
    """Bound the memory, and leave no dump of it: it holds the messages of users."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _serving(plan: Plan, token: str) -> Any:
    """Load the model and listen on a free port of loopback; returns llama.cpp's server."""
    import xllamacpp  # type: ignore[import-untyped]  # 100 MB of library, in this process alone

    params = xllamacpp.CommonParams()
    params.model.path = plan.path
    params.model_alias = {plan.model_id}
    params.n_ctx = plan.context_tokens * plan.slots
    params.n_parallel = plan.slots
    for cores in (params.cpuparams, params.cpuparams_batch):
        cores.n_threads = plan.threads
        cores.poll = 0  # else threads that wait spin, and starve whoever shares the cores
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [token]
    params.cors_origins = ""  # no web page is a user of ours
    params.ui = params.endpoint_slots = False
    params.endpoint_metrics = True  # tells whether the host is idle
    params.cache_ram_mib = 0  # else up to 8 GiB of prompts seen before
    params.offline = True
    params.verbosity = _WARNINGS
    if plan.template:
        params.chat_template = (Path(__file__).parent / plan.template).read_text("utf-8")
    return xllamacpp.Server(params)


@define
class Watch:
    """Looks whether the host is needed.

    Attributes:
        meeting: Its files.
        plan: What it was asked to be.
        server: llama.cpp's server, which counts its work.
    """

    meeting: Meeting
    plan: Plan
    server: Any
    _lease: int = field(init=False)
    _seen: tuple[float, ...] = field(init=False)
    _busy_at_s: float = field(factory=time.monotonic)
    _used_at_s: float = field(factory=time.monotonic)

    def __attrs_post_init__(self) -> None:
        self._seen, _ = _work(self.server.handle_metrics())
        self._lease = locks.opened(self.meeting.lease)

    def until_unneeded(self) -> None:
        """Return when the host has been idle or without users for as long as the plan says."""
        pause_s = min(_POLL_S, self.plan.idle_s / 4, self.plan.grace_s / 4)
        while True:
            time.sleep(pause_s)
            if self._is_unneeded() and self._is_unneeded_for_sure():
                return

    def _is_unneeded(self) -> bool:
        now_s = time.monotonic()
        counters, is_busy = _work(self.server.handle_metrics())
        if is_busy or counters != self._seen:
            self._seen, self._busy_at_s = counters, now_s
        if self._is_used():
            self._used_at_s = now_s
        is_idle = now_s - self._busy_at_s >= self.plan.idle_s
        return is_idle or now_s - self._used_at_s >= self.plan.grace_s

    def _is_used(self) -> bool:
        """Whether a process holds a lease on this host, and can find it."""
        if locks.is_free_for(self._lease, alone=True):
            locks.release(self._lease)
            return False
        told = self.meeting.read()
        return told is not None and told.pid == os.getpid()

    def _is_unneeded_for_sure(self) -> bool:
        """Look again where no process can begin to use the host; if so, keep it that way."""
        start = locks.opened(self.meeting.start)
        if locks.is_free_for(start, alone=True) and self._is_unneeded():
            return True
        os.close(start)
        return False


def _work(metrics: str) -> tuple[tuple[float, ...], bool]:
    """Return how much was done so far, and whether something is being done now."""
    told = dict(line.split(" ", 1) for line in metrics.splitlines() if line[:1] not in ("", "#"))
    counters = tuple(float(told[f"llamacpp:{name}"]) for name in _COUNTERS)
    return counters, any(float(told[f"llamacpp:{name}"]) for name in _BUSY)


def _leave(*_: object) -> None:
    raise SystemExit


if __name__ == "__main__":
    main()

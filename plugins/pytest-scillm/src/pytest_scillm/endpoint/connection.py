"""One TCP connection: reads requests, plays what the steps yield, keeps the order of answers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
from collections import deque
from collections.abc import Iterator
from typing import cast

import attrs

from . import shapes, wire
from .actions import Action, End, Exchange, Pause
from .grammar import plan_of
from .plan import Plan
from .steps import actions_of

_NO_LINGER = struct.pack("ii", 1, 0)
MAX_PLANS = 100_000


@attrs.define
class Ledger:
    """What an endpoint has seen; written by its loop, read by others.

    Args:
        log: the latest requests, oldest first.
        plans: the state of each URL that was asked for.
        requests: how many came in.
        connections: how many were made.
        open: those that are open.
    """

    log: deque[wire.Received]
    plans: dict[str, Plan] = attrs.field(factory=dict)
    requests: int = 0
    connections: int = 0
    open: set[Connection] = attrs.field(factory=set)

    def plan(self, path: str) -> Plan:
        """The plan of an URL, made when it is first asked for."""
        plan = self.plans.get(path)
        if plan is None:
            if len(self.plans) >= MAX_PLANS:
                self.plans.clear()
            plan = self.plans[path] = plan_of(path)
        return plan

    def reset(self) -> None:
        """Forget all requests and start all scripts anew."""
        self.plans.clear()
        self.log.clear()
        self.requests = self.connections = 0

    def stats(self) -> shapes.JsonObject:
        """The counters, as `/stats` answers them."""
        return {
            "requests": self.requests,
            "connections": self.connections,
            "open_connections": len(self.open),
            "urls": {path: plan.requests for path, plan in self.plans.items()},
        }


class Connection(asyncio.Protocol):
    """The protocol of one connection.

    Args:
        ledger: shared by all connections of an endpoint.
    """

    __slots__ = ("_buffer", "_ledger", "_need", "_player", "_room", "_scheme", "_transport")

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._buffer = bytearray()
        self._need = 0
        self._player: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None
        self._scheme = "http"
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the new connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._ledger.connections += 1
        self._ledger.open.add(self)
        if transport.get_extra_info("sslcontext") is not None:
            self._scheme = "https"
        _set_option(transport, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what is being played to a client that is gone."""
        if self._transport is not None:
            self._transport.close()  # Python 3.10 warns if only the TLS peer did
        self._transport = None
        self._ledger.open.discard(self)
        if self._player is not None:
            self._player.cancel()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._room = asyncio.Event()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._room is not None:
            self._room.set()
            self._room = None

    def data_received(self, data: bytes) -> None:
        """Answer each request that is now whole."""
        self._buffer += data
        self._pump()

    def _pump(self) -> None:
        """Answer requests in the buffer until one of them takes time."""
        while self._transport is not None and self._player is None:
            if not self._buffer or len(self._buffer) < self._need:
                return
            try:
                request = wire.read_request(self._buffer)
            except wire.BadRequest as error:
                self._refuse(error.status, str(error))
                return
            if isinstance(request, int):
                self._wait_for(request)
                return
            self._need = 0
            self._answer(request)

    def _wait_for(self, need: int) -> None:
        """Read on until the buffer has so many bytes; tell a client that waits to send them."""
        is_first_look = self._need == 0
        self._need = need
        if is_first_look and b"\r\nexpect: 100-continue" in bytes(self._buffer[:4096]).lower():
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, status: int, reason: str) -> None:
        """Answer what is not a request, and close."""
        body = shapes.encode({"error": {"message": reason, "type": "invalid_request_error"}})
        self._write(wire.answer(status, body, extra={"connection": "close"}))
        self._end(End.CLOSE)

    def _answer(self, request: wire.Received) -> None:
        """Answer one request."""
        path = request.path
        if path in ("/stats", "/reset"):
            self._write(wire.answer(200, self._control(path)))
            return
        self._ledger.requests += 1
        self._ledger.log.append(request)
        try:
            plan = self._ledger.plan(path)
        except ValueError as error:
            self._refuse(400, str(error))
            return
        step = plan.next_step()
        if step == "ok" and plan.is_plain and not request.is_stream:
            self._write(plan.whole)
        elif not plan.kind:
            body = shapes.encode({"error": {"message": f"the endpoint has no path {path!r}"}})
            self._write(wire.answer(404, body))
        else:
            self._play(actions_of(step, Exchange(plan, request, self._scheme)))
        if b"\r\nconnection: close" in request.head.lower() and self._player is None:
            self._end(End.CLOSE)

    def _control(self, path: str) -> bytes:
        """The body that answers `/stats` or `/reset`."""
        if path == "/reset":
            self._ledger.reset()
            return b"{}"
        return shapes.encode(self._ledger.stats())

    def _play(self, actions: Iterator[Action]) -> None:
        """Do what can be done at once; the rest becomes a task."""
        for action in actions:
            if isinstance(action, bytes):
                self._write(action)
                if self._room is None:
                    continue
            if isinstance(action, End) and action is not End.HANG:
                self._end(action)
            else:
                todo = actions if isinstance(action, bytes) else itertools.chain([action], actions)
                self._player = asyncio.get_running_loop().create_task(self._play_slowly(todo))
            return

    async def _play_slowly(self, actions: Iterator[Action]) -> None:
        """The rest of an answer, with its pauses and as fast as the client reads.

        Pauses are kept by a clock that runs on, so that a stream of 1 ms gaps has that mean gap.
        """
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        for action in actions:
            if self._room is not None:
                await self._room.wait()
            if isinstance(action, bytes):
                self._write(action)
            elif isinstance(action, Pause):
                due_s += action.seconds
                await asyncio.sleep(max(0.0, due_s - loop.time()))
            elif action is End.HANG:
                await loop.create_future()  # until the connection is lost, which cancels this task
            else:
                self._end(action)
        self._player = None
        self._pump()

    def _write(self, payload: bytes) -> None:
        if self._transport is not None:
            self._transport.write(payload)

    def _end(self, end: End) -> None:
        """Close the connection in one of the ways."""
        transport = self._transport
        if transport is None:
            return
        if end is End.CLOSE:
            transport.close()
            return
        if end is End.RESET:
            _set_option(transport, socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()

    def abort(self) -> None:
        """Close the connection at once."""
        self._end(End.ABORT)


def _set_option(
    transport: asyncio.BaseTransport, level: int, option: int, value: int | bytes
) -> None:
    """Set an option of the socket, if it still is one."""
    opened = transport.get_extra_info("socket")
    # A client that is already gone is no fault; the loop reports the loss of the connection.
    with contextlib.suppress(OSError):
        opened.setsockopt(level, option, value)

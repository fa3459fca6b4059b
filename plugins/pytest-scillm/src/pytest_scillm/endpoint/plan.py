"""What one URL answers: its options, the place in its script, and prepared bytes."""

from __future__ import annotations

import re
from functools import cached_property

from . import shapes, vectors, wire
from .options import Options

KINDS = {"/chat/completions": "chat", "/embeddings": "embeddings", "/models": "models"}
_VERSION = re.compile(r"/v\d+\w*(?=/)")


class Plan:
    """The state of one URL, made on its first request.

    Args:
        options: what the URL asks for.
        path: the request target without options and query.
    """

    def __init__(self, options: Options, path: str) -> None:
        self.options = options
        self.path = path
        self.kind = KINDS.get(_VERSION.sub("", path, count=1), "")
        self.requests = 0
        is_fixed = "echo" not in self.options.flags and self.kind in ("chat", "models")
        self.is_plain = is_fixed and not self.options.latency_s

    def next_step(self) -> str:
        """The step of the next request; moves the script on."""
        self.requests += 1
        options = self.options
        if self.requests <= len(options.script):
            return options.script[self.requests - 1]
        if options.every and (self.requests - len(options.script)) % options.every == 0:
            return options.every_step
        return options.always

    def latency_s(self) -> float:
        """Seconds until the answer to the current request begins."""
        options = self.options
        if not options.jitter_s:
            return options.latency_s
        # A fixed sequence that looks random (Knuth's multiplicative hash), so that runs repeat.
        share = ((self.requests * 2654435761) & 0xFFFF) / 32768.0 - 1.0
        return max(0.0, options.latency_s + options.jitter_s * share)

    def body(self, request: wire.Received) -> shapes.JsonObject:
        """The whole answer to a request, when all is well."""
        if self.kind == "models":
            return shapes.model_list()
        if self.kind == "embeddings":
            return vectors.embeddings(request.json)
        return shapes.completion(self.options, self._text(request))

    def events(self, request: wire.Received) -> list[bytes]:
        """The server-sent events of the answer to a request, `[DONE]` included."""
        if "echo" not in self.options.flags:
            events = self._events
        else:
            events = _encoded(shapes.chunks(self.options, self._text(request)))
        if "nousage" not in self.options.flags and request.declines_usage:
            return [*events[:-2], events[-1]]
        return events

    def _text(self, request: wire.Received) -> str:
        if "echo" in self.options.flags:
            return shapes.last_message(request.json)
        return shapes.content(self.options)

    @cached_property
    def _events(self) -> list[bytes]:
        options = self.options
        text = shapes.content(options) if options.dirty or options.size_chars else None
        return _encoded(shapes.chunks(options, text))

    @cached_property
    def burst(self) -> bytes:
        """The streamed answer with its head, one HTTP chunk per event."""
        parts = [wire.head(200, wire.SSE_TYPE, None, {}), *map(wire.chunk, self._events)]
        return b"".join([*parts, wire.END_OF_CHUNKS])

    @cached_property
    def whole(self) -> bytes:
        """The whole answer with its head."""
        return wire.answer(200, shapes.encode(self.body(wire.Received(b"", b""))))


def _encoded(chunks: list[shapes.JsonObject]) -> list[bytes]:
    return [*map(shapes.event, chunks), shapes.DONE]

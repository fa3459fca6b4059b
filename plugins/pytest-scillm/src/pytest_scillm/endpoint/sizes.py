"""Steps whose body is far larger than any answer."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

from . import wire
from .actions import Action, Exchange, Step

BLOCK_BYTES = 1 << 16
HUGE_BYTES = 1 << 30


def _letters(start: bytes) -> Iterator[bytes]:
    """The start, then letters up to 1 GiB."""
    yield start
    block = b"a" * BLOCK_BYTES
    for _ in range(HUGE_BYTES // BLOCK_BYTES):
        yield block


def _huge(exchange: Exchange) -> Iterator[Action]:
    """A body of 1 GiB in chunks: one string in JSON, or one line of one event."""
    is_stream = exchange.is_stream
    yield wire.head(200, wire.SSE_TYPE if is_stream else wire.JSON_TYPE, None, {})
    yield from map(wire.chunk, _letters((b"data: " if is_stream else b"") + b'{"id":"'))
    yield wire.chunk(b'"}\n\n')
    yield wire.END_OF_CHUNKS


def _hugelen(exchange: Exchange) -> Iterator[Action]:
    """A body of 1 GiB that says so in `content-length`."""
    yield wire.head(200, wire.JSON_TYPE, 7 + HUGE_BYTES + 2, {})
    yield from _letters(b'{"id":"')
    yield b'"}'


def _bomb(exchange: Exchange) -> Iterator[Action]:
    """A compressed body of about 1 MiB that is 1 GiB of letters when it is inflated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(b'{"id":"') + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush a block stands alone, so one block can be sent again and again.
    block = packer.compress(b"a" * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    content_type = wire.SSE_TYPE if exchange.is_stream else wire.JSON_TYPE
    yield wire.head(200, content_type, None, {"content-encoding": "gzip"})
    yield wire.chunk(start)
    for _ in range(HUGE_BYTES >> 20):
        yield wire.chunk(block)
    yield wire.chunk(packer.compress(b'"}') + packer.flush())
    yield wire.END_OF_CHUNKS


STEPS: Mapping[str, Step] = {"huge": _huge, "hugelen": _hugelen, "bomb": _bomb}

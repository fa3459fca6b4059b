"""Server-sent events, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scillm import InvalidResponse
from scillm_transport import Frames

LINE_ENDS = [b"\n", b"\r\n", b"\r"]


def _read(blocks, max_bytes=1000):
    frames = Frames(max_bytes)
    return [frame for block in blocks for frame in frames.feed(block)] + list(frames.close())


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\n\n", [b""]),
        (b": comment\n\ndata: a\n\n", [b"a"]),
        (b"event: x\nid: 1\nretry: 5\ndata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: a", [b"a"]),
        (b"data: a\n", [b"a"]),
        (b"\n\n\n", []),
        (b"", []),
        (b"database: a\n\n", []),
        ("data: a\u2028b\u0085c\n\n".encode(), ["a\u2028b\u0085c".encode()]),
        (b"data: a\r\rdata: b\r\n\r\n", [b"a", b"b"]),
    ],
)
def test_events_are_cut_as_the_protocol_says(text, data):
    """Fields, comments, line ends, a byte order mark, a last event without a blank line."""
    assert _read([text]) == data
    assert _read([bytes([byte]) for byte in text]) == data


line = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=8)


@given(
    st.lists(st.lists(line, min_size=1, max_size=3), max_size=5),
    st.sampled_from(LINE_ENDS),
    st.data(),
)
def test_any_cut_gives_the_same_events(events, end, data):
    """Blocks may break a line, a pair of line ends, a character."""
    text = b"".join(
        b"".join(b"data: " + part.encode() + end for part in parts) + end for parts in events
    )
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    blocks = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    assert _read(blocks) == ["\n".join(parts).encode() for parts in events]


@pytest.mark.parametrize(
    "blocks",
    [
        [b"data: " + b"x" * 200],
        [b"data: x"] + [b"x" * 10] * 20,
        [b"data: x\n"] * 40,
        [b": x\n" + b"y" * 200],
    ],
)
def test_an_event_is_bounded(blocks):
    """By its line, its lines, or what comes without a line end."""
    with pytest.raises(InvalidResponse, match="longer than 100 bytes"):
        _read(blocks, max_bytes=100)


def test_many_events_are_not_one_long_one():
    """The bound is for each."""
    assert len(_read([b"data: xxxxx\n\n"] * 1000, max_bytes=100)) == 1000
    assert len(_read([b"data: xxxxx\n\n" * 1000], max_bytes=100)) == 1000

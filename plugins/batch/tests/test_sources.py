"""Where items come from."""

import io
import json
import sys

import pytest

from scillm_batch import sources
from scillm_batch.items import BadLine, BatchError, Item
from scillm_batch.lines import Reading
from scillm_batch.templates import Template

ASK = [{"role": "user", "content": "hi"}]
PROMPT = Reading(prompt=Template.of("{text}"))


def _file(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _texts(entries):
    return [
        e.arguments["messages"][0]["content"] if isinstance(e, Item) else e.why for e in entries
    ]


def test_bad_lines_are_told_by_number_and_the_rest_is_read(tmp_path, monkeypatch):
    """Not JSON, no messages, too long, of another encoding, blank."""
    monkeypatch.setattr(sources, "MAX_LINE_BYTES", 200)
    good = json.dumps({"messages": ASK}).encode()
    lines = [
        b"\xef\xbb\xbf" + good,
        b"{",
        b"",
        b'{"a": 1}',
        b'"' + b"x" * 900 + b'"',
        b'{"\xff": 1}',
    ]
    path = _file(tmp_path, "in.jsonl", b"\n".join([*lines, good]))

    found = list(sources.entries(path, Reading()))

    assert [(type(e).__name__, e.line, e.index) for e in found] == [
        ("Item", 1, 0),
        ("BadLine", 2, 1),
        ("BadLine", 4, 2),
        ("BadLine", 5, 3),
        ("BadLine", 6, 4),
        ("Item", 7, 5),
    ]
    assert "longer than 200 bytes" in found[3].why


def test_a_table_with_quotes_line_breaks_and_bad_rows(tmp_path):
    """A row of another width and one that is not UTF-8 are told; the rest is read."""
    path = _file(tmp_path, "in.csv", b'id,text\n1,"a,\nb"\n2\n3,\xff\n4,d\n')

    found = list(sources.entries(path, PROMPT))

    assert _texts(found) == [
        "a,\nb",
        "it has 1 columns, and the header has 2",
        "it is not UTF-8: invalid start byte",
        "d",
    ]
    assert [e.line for e in found] == [3, 4, 5, 6]
    assert [e.index for e in found] == [0, 1, 2, 3]


def test_a_table_of_tabs(tmp_path):
    """By the name of the file."""
    assert _texts(sources.entries(_file(tmp_path, "in.tsv", "id\ttext\n1\ta,b\n"), PROMPT)) == [
        "a,b"
    ]


def test_a_quote_that_is_never_closed_is_told(tmp_path):
    """Instead of taking the rest of the file for one cell in silence."""
    found = list(sources.entries(_file(tmp_path, "in.csv", 'id,text\n1,a\n2,"b\n3,c\n'), PROMPT))

    assert _texts(found)[0] == "a"
    assert "not CSV" in found[-1].why


def test_parquet(tmp_path):
    """Rows are read in blocks."""
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "in.parquet"
    parquet.write_table(pa.table({"id": range(3000), "text": ["t"] * 3000}), path)

    found = list(sources.entries(path, PROMPT))

    assert [e.id for e in found] == [str(n) for n in range(3000)]
    assert sources.count(path) == 3000


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    """And one that is not there."""
    with pytest.raises(BatchError, match="cannot be read"):
        list(sources.entries(_file(tmp_path, "in.parquet", b"nothing"), PROMPT))
    with pytest.raises(BatchError, match="No such file"):
        list(sources.entries(tmp_path / "absent.jsonl", Reading()))


def test_standard_input(monkeypatch):
    """By a dash."""
    text = json.dumps({"item_id": "a", "messages": ASK}).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))

    assert [e.id for e in sources.entries("-", Reading())] == ["a"]
    assert sources.count("-") is None


def test_an_iterator_is_read_as_needed():
    """One step at a time, and what is no mapping is told."""
    taken = []

    def endless():
        for n in range(10**9):
            taken.append(n)
            yield {"messages": ASK} if n else 3

    entries = sources.entries(endless(), Reading())

    assert isinstance(next(entries), BadLine)
    assert next(entries).id == "1"
    assert taken == [0, 1]


def test_how_many_there_are(tmp_path):
    """Where that can be told cheaply."""
    assert sources.count(_file(tmp_path, "a.jsonl", "1\n2\n")) == 2
    assert sources.count(_file(tmp_path, "a.csv", "h\n1\n2\n")) == 2
    assert sources.count([1, 2, 3]) == 3
    assert sources.count(iter([1])) is None

"""The page about a run."""

import re

import pytest

from scillm_batch.items import BatchError
from scillm_batch.report import write
from scillm_batch.rows import Failed, Row


def _row(number, *, error=None, cost=None):
    return Row(
        item_id=f"i{number}",
        index=number,
        request_hash="d",
        error=error,
        attempts=1,
        usage={"total_tokens": 10},
        cost=cost,
        served_by={"provider": "p", "model": "<m>", "base_url": ""},
        timings={"started_at": 1000.0 + number, "duration_ms": 10.0 * number},
    )


def test_a_page_shows_what_became_of_a_run(tmp_path):
    """By itself: it asks no other host for anything, and what models say is text."""
    out, page = tmp_path / "out.jsonl", tmp_path / "out.html"
    failed = Failed(type="Timeout", message="<script>alert(1)</script>")
    rows = [_row(n, cost=0.5) for n in range(100)] + [_row(100, error=failed)]
    out.write_bytes(b"".join(row.encode("scillm") for row in rows) + b'{"half')

    write(out, page)

    text = page.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert not re.search(r"(src|href)=", text)
    for shown in ("items", "101", "1010", "50.0000", "p/&lt;m&gt;", "Timeout", "p95", "950 ms"):
        assert shown in text
    assert text.count("<svg") == 2


def test_an_empty_output_has_a_page_too(tmp_path):
    """Without bars."""
    (tmp_path / "out.jsonl").write_bytes(b"")
    write(tmp_path / "out.jsonl", tmp_path / "out.html")
    assert "No row tells how long it took" in (tmp_path / "out.html").read_text()


def test_lines_of_another_kind_are_named(tmp_path):
    """By number."""
    (tmp_path / "out.jsonl").write_text('{"custom_id": "a", "error": null}\n')
    with pytest.raises(BatchError, match="line 1, is no row of a run"):
        write(tmp_path / "out.jsonl", tmp_path / "out.html")

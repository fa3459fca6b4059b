"""What is finished, and is never lost."""

import contextlib
import json
import logging
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from scillm_batch.items import BadLine, BatchError, Item
from scillm_batch.rows import Failed, Row
from scillm_batch.store import FAILED, Store, journal_of


def _item(number, text="hi", line=0):
    ask = [{"role": "user", "content": text}]
    return Item(id=f"i{number}", index=number, line=line, arguments={"messages": ask})


def _row(number, digest="d", *, error=None):
    return Row(item_id=f"i{number}", index=number, request_hash=digest, error=error)


def _asked(item):
    return item.arguments


def _digest(store, item):
    admitted = store.admit([item], _asked)
    return admitted.items[0][1] if admitted.items else None


def _finish(store, *numbers):
    admitted = store.admit([_item(n) for n in numbers], _asked)
    store.commit([_row(item.index, digest) for item, digest in admitted.items])


@contextlib.contextmanager
def _most_bytes(count):
    """No file may be longer: a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def path(tmp_path):
    """Where the output is."""
    return tmp_path / "out.jsonl"


def _ids(path):
    return [json.loads(line)["item_id"] for line in path.read_text().splitlines()]


def test_what_is_written_is_not_asked_again(path):
    """By the next run; what was only begun is."""
    with Store(path) as store:
        _finish(store, 0, 1)
        store.admit([_item(2)], _asked)

    with Store(path) as store:
        admitted = store.admit([_item(n) for n in range(4)], _asked)

    assert [item.index for item, _ in admitted.items] == [2, 3]
    assert admitted.done == 2


@pytest.mark.parametrize("is_gone", [False, True])
def test_half_a_line_is_cut_off_and_its_item_asked_again(path, caplog, is_gone):
    """As a crash leaves it; with the journal or without."""
    with Store(path) as store:
        _finish(store, 0, 1)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"item_id": "i2", "ind')
    if is_gone:
        journal_of(path).unlink()

    with caplog.at_level(logging.WARNING), Store(path) as store:
        assert _digest(store, _item(2)) is not None
        assert store.admit([_item(0), _item(1)], _asked).done == 2

    assert path.read_bytes() == whole
    assert "half a line of 22 bytes" in caplog.text


def test_lines_that_the_journal_missed_are_read(path):
    """The process ended between the output and the journal."""
    with Store(path) as store:
        _finish(store, 0)
        digest = _digest(store, _item(1))
    with path.open("ab") as file:
        file.write(_row(1, digest).encode("scillm"))

    with Store(path) as store:
        assert store.admit([_item(0), _item(1)], _asked).done == 2
        assert store.counts()["ok"] == 2


@pytest.mark.parametrize("damage", ["a byte", "a line gone", "journal", "not a database"])
def test_a_journal_that_does_not_fit_is_made_anew(path, caplog, damage):
    """The output is the truth."""
    with Store(path) as store:
        _finish(store, 0, 1, 2)
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "a byte":
        path.write_bytes(b"".join(lines).replace(b"i1", b"i7"))
    elif damage == "a line gone":
        path.write_bytes(lines[0] + lines[2])
    elif damage == "journal":
        journal_of(path).unlink()
    else:
        journal_of(path).write_bytes(b"nothing of the kind" * 99)

    with caplog.at_level(logging.WARNING), Store(path) as store:
        admitted = store.admit([_item(n) for n in range(3)], _asked)

    open_items = [item.index for item, _ in admitted.items]
    assert open_items == ([1] if damage in ("a byte", "a line gone") else [])
    assert damage == "journal" or "made anew" in caplog.text


def test_a_file_of_something_else_is_not_touched(path):
    """Its line is shown."""
    path.write_text('{"some": "thing"}\n')

    with pytest.raises(BatchError, match="no row of a run, at byte 0"):
        Store(path)

    assert path.read_text() == '{"some": "thing"}\n'


def test_two_runs_do_not_write_one_output(path):
    """The second is refused, until the first is done."""
    with Store(path), pytest.raises(BatchError, match="another run is writing"):
        Store(path)
    Store(path).close()


def test_a_full_disk_leaves_the_file_as_it_was(path):
    """Nothing that was written before is lost, and the next run goes on."""
    with Store(path) as store:
        _finish(store, 0)
        before = path.read_bytes()
        admitted = store.admit([_item(1)], _asked)
        with (
            _most_bytes(len(before) + 100),
            pytest.raises(BatchError, match="what was written before is safe"),
        ):
            store.commit([_row(1, admitted.items[0][1])])
        assert path.read_bytes() == before

    with Store(path) as store:
        assert store.admit([_item(0), _item(1)], _asked).done == 1


def test_a_name_that_is_given_twice_is_told(path):
    """Within a block of the input, and over blocks; another run may see it again."""
    with Store(path) as store:
        first = store.admit([_item(0, line=3), _item(0, "other", line=9)], _asked)
        second = store.admit([_item(0, line=12)], _asked)

    assert [item.line for item, _ in first.items] == [3]
    assert [bad.why for bad in (*first.bad, *second.bad)] == [
        "its item_id 'i0' is that of line 3 too",
        "its item_id 'i0' is that of line 3 too",
    ]
    with Store(path) as store:
        assert len(store.admit([_item(0)], _asked).items) == 1


def test_a_bad_line_has_its_row_once(path):
    """Also over runs."""
    bad = BadLine(index=4, line=5, why="it is not JSON")
    row = Row(item_id=bad.id, index=4, request_hash="", error=Failed(type="BadLine", message="no"))
    with Store(path) as store:
        assert store.admit([bad], _asked).bad == [bad]
        store.commit([row])

    with Store(path) as store:
        admitted = store.admit([bad], _asked)
        assert (admitted.bad, admitted.done) == ([], 1)


@pytest.mark.parametrize("on_changed", ["error", "rerun", "keep"])
def test_a_finished_item_that_asks_something_else(path, on_changed):
    """Is an error, asked again, or kept."""
    with Store(path) as store:
        _finish(store, 0, 1)

    with Store(path, on_changed=on_changed) as store:
        entries = [_item(0, "something else", line=1), _item(1)]
        if on_changed == "error":
            with pytest.raises(BatchError, match=r"item 'i0' \(line 1\) was answered before"):
                store.admit(entries, _asked)
            return
        admitted = store.admit(entries, _asked)
        store.commit([_row(item.index, digest) for item, digest in admitted.items])

    assert [item.index for item, _ in admitted.items] == ([0] if on_changed == "rerun" else [])
    assert sorted(_ids(path)) == ["i0", "i1"]


def test_lines_are_put_into_the_order_of_the_input(path):
    """And the next run finds all of them."""
    with Store(path) as store:
        admitted = store.admit([_item(n) for n in range(5)], _asked)
        store.commit([_row(i.index, d) for i, d in reversed(admitted.items)])
        assert _ids(path) == ["i4", "i3", "i2", "i1", "i0"]
        store.in_order()
        assert _ids(path) == ["i0", "i1", "i2", "i3", "i4"]
        _finish(store, 5)

    with Store(path) as store:
        assert store.admit([_item(n) for n in range(6)], _asked).done == 6


@pytest.mark.slow
def test_a_kill_at_any_line_of_the_program_loses_nothing(tmp_path):
    """While it recovers, takes out, commits, and puts in order; each that is told of is kept."""
    program = Path(__file__).with_name("killed_store.py")
    command = [sys.executable, str(program), str(tmp_path), "41"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.endswith("kills, 0 problems\n"), done.stdout + done.stderr


def test_lines_in_order_are_not_written_again(path):
    """A resumed run with nothing to do leaves its file alone."""
    with Store(path) as store:
        _finish(store, 0, 1, 2)
        before = path.stat()
        store.in_order()
        assert path.stat().st_ino == before.st_ino


def test_no_room_for_a_second_file_leaves_the_first(path):
    """Putting lines in order is done anew by the next run."""
    with Store(path) as store:
        admitted = store.admit([_item(n) for n in range(3)], _asked)
        store.commit([_row(i.index, d) for i, d in reversed(admitted.items)])
        before = path.read_bytes()
        with _most_bytes(100), pytest.raises(BatchError, match="make room and run the same"):
            store.in_order()
        assert path.read_bytes() == before
        assert not path.with_name("out.jsonl.new").exists()

    with Store(path) as store:
        assert store.counts()["done"] == 3
        store.in_order()
        assert _ids(path) == ["i0", "i1", "i2"]


def test_no_room_for_the_journal_gives_the_lock_back(path):
    """And says what to do; the lines are there."""
    now = iter(range(1000)).__next__  # each commit is told to the journal
    store = Store(path, clock=now)
    items = store.admit([_item(0), _item(1)], _asked).items
    with _most_bytes(4096), pytest.raises(BatchError, match="journal .* cannot be written"):
        store.commit([_row(item.index, digest) for item, digest in items])
    with _most_bytes(4096), pytest.raises(BatchError):
        store.close()

    with Store(path) as again:
        assert again.admit([_item(0), _item(1)], _asked).done == 2


def test_a_journal_of_another_version_is_made_anew(path, caplog):
    """From the output, which says all."""
    with Store(path) as store:
        _finish(store, 0)
    with sqlite3.connect(journal_of(path)) as other:
        other.executescript("DROP TABLE items; CREATE TABLE items (x); PRAGMA user_version = 99")
    other.close()

    with caplog.at_level(logging.WARNING), Store(path) as store:
        assert store.admit([_item(0)], _asked).done == 1
    assert "of another version" in caplog.text


def test_a_link_to_an_output_stays_a_link(path, tmp_path):
    """And shares the lock of what it leads to."""
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    with Store(link) as store:
        admitted = store.admit([_item(n) for n in range(2)], _asked)
        store.commit([_row(i.index, d) for i, d in reversed(admitted.items)])
        store.in_order()
        with pytest.raises(BatchError, match="another run is writing"):
            Store(path)
    assert link.is_symlink()
    assert _ids(path) == ["i0", "i1"]


@pytest.mark.parametrize(
    "odd",
    [
        {"id": "a\ud800"},
        {"id": "a\0b"},
        {"arguments": {"messages": ["\ud800"]}},
        {"arguments": {"messages": [{(1, 2): 3}]}},
        {"arguments": {"messages": ["nested"]}},
    ],
    ids=["half a character", "NUL", "half in a message", "keys", "itself"],
)
def test_an_item_that_cannot_be_kept_as_json_is_a_bad_line(path, odd):
    """And those beside it are asked."""
    item = Item(**{"id": "a", "index": 1, "line": 2, "arguments": {"messages": []}, **odd})
    if item.arguments["messages"] == ["nested"]:
        item.arguments["messages"].append(item.arguments["messages"])
    with Store(path) as store:
        admitted = store.admit([_item(0), item], _asked)
    assert [each.id for each, _ in admitted.items] == ["i0"]
    assert (admitted.bad[0].line, admitted.bad[0].id) == (2, "#2")
    assert "cannot be kept as JSON" in admitted.bad[0].why


def test_odd_names_are_told_apart(path):
    """Long, in other scripts, with quotes and ends of lines."""
    names = [
        "x" * 100_000,
        "\u00e9",
        "e\u0301",
        "\n",
        "\u2028",
        '"',
        "'; DROP TABLE items",
        "1",
        "1.0",
    ]
    items = [Item(id=name, index=n, arguments={"messages": [name]}) for n, name in enumerate(names)]
    with Store(path) as store:
        admitted = store.admit(items, _asked)
        store.commit([Row(item_id=i.id, index=i.index, request_hash=d) for i, d in admitted.items])
    journal_of(path).unlink()
    with Store(path) as store:
        assert store.admit(items, _asked).done == len(names)
    assert [json.loads(line)["item_id"] for line in path.read_text().splitlines()] == names


def test_failed_lines_are_taken_out_and_kept_aside(path):
    """So that the output has one line for each item."""
    failed = Failed(type="Timeout", message="late", is_retryable=True)
    with Store(path) as store:
        admitted = store.admit([_item(n) for n in range(3)], _asked)
        digests = [digest for _, digest in admitted.items]
        store.commit([_row(0, digests[0]), _row(1, digests[1], error=failed), _row(2, digests[2])])
        assert store.counts()["errors"] == {"Timeout": 1}

        assert store.take_out(FAILED) == 1

        assert _ids(path) == ["i0", "i2"]
        assert _ids(path.with_name("out.jsonl.superseded")) == ["i1"]
        assert store.counts()["failed"] == 0

    with Store(path) as store:
        admitted = store.admit([_item(n) for n in range(3)], _asked)
        assert [item.index for item, _ in admitted.items] == [1]


def test_an_output_of_openais_shape_is_resumed_too(path):
    """Its lines hold what a run needs."""
    with Store(path, "openai") as store:
        _finish(store, 0, 1)
    journal_of(path).unlink()

    with Store(path, "openai") as store:
        assert store.admit([_item(n) for n in range(3)], _asked).done == 2
    line = json.loads(path.read_text().splitlines()[0])
    assert sorted(line) == ["custom_id", "error", "id", "response"]


def test_without_an_output_only_names_are_kept():
    """Which is enough to find one that is given twice."""
    with Store(None) as store:
        assert store.is_empty
        _finish(store, 0)
        assert store.admit([_item(0)], _asked).bad
        store.in_order()


def test_the_journal_can_be_read_while_a_run_writes(path):
    """As `status` does."""
    with Store(path) as store:
        _finish(store, 0)
        with sqlite3.connect(journal_of(path)) as other:
            assert other.execute("SELECT COUNT(*) FROM items").fetchone() == (1,)
        other.close()
        _finish(store, 1)

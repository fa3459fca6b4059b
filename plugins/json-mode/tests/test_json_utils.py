"""The small functions."""

import logging
from pathlib import Path

import pytest

from scillm.extras import json_utils
from scillm.extras.json_utils import clean_json_string


def test_text_comes_back_as_text_and_data_as_data():
    """As users know it."""
    assert clean_json_string('```json\n{"a": 1}\n```') == '{"a": 1}'
    assert clean_json_string('x [note] {"ok": true}', return_dict=True) == {"ok": True}
    assert clean_json_string({"a": 1}) == '{"a": 1}'
    assert clean_json_string([1], return_dict=True) == [1]


def test_what_cannot_be_read_is_told(caplog):
    """By an error, or by an empty object and a warning."""
    with pytest.raises(ValueError, match="no JSON object or array"):
        clean_json_string("words")
    with caplog.at_level(logging.WARNING):
        assert clean_json_string("words", return_dict=True) == {}
    assert "no JSON object or array" in caplog.text
    with pytest.raises(TypeError, match="not int"):
        clean_json_string(3)


def test_a_file_is_written_whole_and_read_back(tmp_path):
    """Folders are made, paths become text, a byte order mark is no matter."""
    path = tmp_path / "deep" / "x.json"
    json_utils.save_json_to_file({"p": Path("/a"), "n": 1}, path)
    assert json_utils.load_json_file(path) == {"p": "/a", "n": 1}
    path.write_bytes(b"\xef\xbb\xbf[1]")
    assert json_utils.load_json_file(path) == [1]
    with pytest.raises(TypeError):
        json_utils.save_json_to_file({"x": object()}, path)
    assert [each.name for each in path.parent.iterdir()] == ["x.json"]


def test_a_file_that_is_not_there_is_none_and_a_warning(tmp_path, caplog):
    """Not an error, as users know it."""
    assert json_utils.load_json_file(tmp_path / "no.json") is None
    assert "there is no file" in caplog.text


def test_lines_are_read_and_a_bad_one_is_named(tmp_path):
    """Empty lines are passed over."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n\n[2]\n')
    assert json_utils.load_jsonl(path) == [{"a": 1}, [2]]
    path.write_text('{"a": 1}\n{"a": NaN}\n')
    with pytest.raises(ValueError, match=r"x.jsonl, line 2: NaN is not JSON"):
        json_utils.load_jsonl(path)


def test_json_is_parsed_and_written_strictly():
    """NaN is refused both ways."""
    assert json_utils.parse_json("[1]") == [1]
    with pytest.raises(ValueError, match="NaN"):
        json_utils.parse_json("[NaN]")
    assert json_utils.json_serialize({"p": Path("/a")}, handle_paths=True) == '{"p": "/a"}'
    with pytest.raises(ValueError, match="JSON compliant"):
        json_utils.json_serialize([float("nan")])


def test_a_line_separator_within_a_text_ends_no_line(tmp_path):
    """It may stand in a JSON text as it is; a carriage return at the end is space."""
    path = tmp_path / "lines.jsonl"
    path.write_bytes('{"a": "x\u2028y\x85z"}\r\n\r\n{"a": 2}\n'.encode())
    assert json_utils.load_jsonl(path) == [{"a": "x\u2028y\x85z"}, {"a": 2}]


def test_a_saved_file_is_as_readable_as_any_other(tmp_path):
    """It is not for its writer alone; nothing is left if it cannot be written."""
    (tmp_path / "plain").write_text("x")
    json_utils.save_json_to_file({"a": 1}, tmp_path / "a.json")
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "plain").stat().st_mode
    with pytest.raises(ValueError, match="surrogates"):
        json_utils.save_json_to_file({"a": "\ud800"}, tmp_path / "b.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "plain"]


def test_what_is_nested_too_deeply_is_a_value_error():
    """As all that is not JSON."""
    with pytest.raises(ValueError, match="too deeply"):
        json_utils.parse_json("[" * 100_000)

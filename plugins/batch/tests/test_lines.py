"""From a record of the input to an item."""

import json

import pytest

from scillm_batch.items import BadLine, BatchError, Item, request_hash
from scillm_batch.lines import Reading
from scillm_batch.templates import Template

ASK = [{"role": "user", "content": "hi"}]


def _read(record, **reading):
    return Reading(**reading).line(json.dumps(record).encode(), index=4, line=5)


def test_a_line_of_ours_keeps_every_argument():
    """Nothing of a request is dropped."""
    item = _read({"item_id": "a", "messages": ASK, "temperature": 0, "tools": [], "seed": 1})

    assert item == Item(
        id="a",
        index=4,
        line=5,
        arguments={"messages": ASK, "temperature": 0, "tools": [], "seed": 1},
    )


@pytest.mark.parametrize("name", ["item_id", "custom_id", "id"])
def test_an_item_is_named_by_the_usual_columns(name):
    """A number is a name too."""
    assert _read({name: 7, "messages": ASK}).id == "7"


def test_an_item_without_a_name_has_its_place_as_one():
    """So that it can be resumed."""
    assert _read({"messages": ASK}).id == "4"


def test_a_line_of_openais_batch_api():
    """Chat and embeddings, by the url."""
    chat = {"custom_id": "c", "method": "POST", "url": "/v1/chat/completions"}
    vectors = {"custom_id": "e", "method": "POST", "url": "/v1/embeddings"}

    one = _read({**chat, "body": {"model": "m", "messages": ASK, "stream": True}})
    two = _read({**vectors, "body": {"model": "m", "input": "text"}})

    assert (one.id, one.operation, one.arguments) == ("c", "chat", {"model": "m", "messages": ASK})
    assert (two.id, two.operation, two.arguments["input"]) == ("e", "embedding", "text")


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ([1], "not a JSON object"),
        ({"item_id": "a"}, "no messages"),
        ({"messages": []}, "messages are missing, empty"),
        ({"messages": "hi"}, "no list"),
        ({"messages": [{"content": "hi"}]}, r"messages\[0\] is no mapping with a role"),
        ({"custom_id": "", "body": {"messages": ASK}}, "custom_id is missing"),
        ({"custom_id": "a", "body": {}}, "messages are missing"),
        ({"custom_id": "a", "body": []}, "body is no JSON object"),
        ({"custom_id": "a", "method": "GET", "body": {}}, "POST alone"),
        ({"custom_id": "a", "url": "/v1/responses", "body": {}}, "/v1/embeddings"),
        ({"custom_id": "a", "url": "/v1/embeddings", "body": {}}, "has no input"),
    ],
)
def test_what_is_no_item_says_why(record, why):
    """And where."""
    entry = _read(record)

    assert isinstance(entry, BadLine)
    assert (entry.line, entry.id) == (5, "#5")
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(entry.why)


def test_what_is_no_json_says_so():
    """With what the parser says."""
    assert "not JSON" in Reading().line(b'{"a": ', index=0, line=1).why
    assert "not JSON" in Reading().line(b'"\xff"', index=0, line=1).why


def test_a_row_of_a_table_fills_a_template():
    """Braces are braces, absent values are empty."""
    reading = {"prompt": Template.of("{{{text}}} of {year}"), "system": Template.of("Be brief.")}

    item = _read({"id": 3, "text": "{x}", "year": None}, **reading)

    assert item.id == "3"
    assert item.arguments["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "{{x}} of "},
    ]


def test_a_column_that_is_not_there_is_named():
    """With those that are."""
    assert (
        "no column 'txt'; it has id, text"
        in _read({"id": 1, "text": "a"}, prompt=Template.of("{txt}")).why
    )


@pytest.mark.parametrize("text", ["{a.b}", "{a[0]}", "{a!r}", "{a:>9}", "{}", "{", "{a.__class__}"])
def test_a_template_takes_nothing_but_names(text):
    """The rows are other people's data."""
    with pytest.raises(BatchError, match="for a brace"):
        Template.of(text)


def test_a_column_can_be_named_to_name_items():
    """Over the usual ones."""
    assert _read({"id": 1, "url": "u", "messages": ASK}, id_column="url").id == "u"


def test_the_digest_is_of_what_is_asked_and_of_no_key():
    """The order of keys, a key and a deadline do not change it; a parameter does."""
    one = request_hash({"model": "m", "messages": ASK}, "chat")

    assert one == request_hash(
        {"messages": ASK, "api_key": "sk-1", "model": "m", "timeout": 3}, "chat"
    )
    assert one != request_hash({"model": "m", "messages": ASK, "seed": 1}, "chat")
    assert one != request_hash({"model": "m", "messages": ASK}, "embedding")
    assert len(one) == 32

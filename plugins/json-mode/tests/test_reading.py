"""Finding JSON in what models write."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scillm_json_mode.reading import NotJSON, read

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(), JSON, min_size=1, max_size=5)
WORDS = st.text(alphabet=st.characters(exclude_characters="{}[]<>`\"'", codec="utf-8"), max_size=40)

OK = {"ok": True}


@pytest.mark.parametrize(
    ("text", "value", "how"),
    [
        ('{"ok": true}', OK, "clean"),
        ('  {"ok": true}\n', OK, "clean"),
        ('[{"ok": true}]', [OK], "clean"),
        ('```json\n{"ok": true}\n```', OK, "extracted"),
        ('```\n{"ok": true}\n```', OK, "extracted"),
        ('Sure!\n```json\n{"ok": true}\n```\nHope it helps.', OK, "extracted"),
        ('```json\n{"ok": true}', OK, "extracted"),
        ('```python\n{"a": 1}\n```\n```json\n{"ok": true}\n```', OK, "extracted"),
        ('```json\n{"a": 1}\n```\nBetter:\n```json\n{"ok": true}\n```', OK, "extracted"),
        ('Here you are: {"ok": true}', OK, "extracted"),
        ('text [note] {"ok": true}', OK, "extracted"),
        ('See [1] and [2]: {"ok": true}', OK, "extracted"),
        ('{"ok": true} is what you want {or not}', OK, "extracted"),
        ('<think>{maybe}</think>{"ok":true}', OK, "extracted"),
        ('<think>\n{"ok": false}\n</think>\n\n{"ok": true}', OK, "extracted"),
        ('{"ok": false}</think>{"ok": true}', OK, "extracted"),
        ('<Reasoning lang="en">[1]</Reasoning> {"ok": true}', OK, "extracted"),
        ('"{\\"ok\\": true}"', OK, "extracted"),
        (
            'For example {"a": 1}. The answer: {"ok": true, "b": [1, 2]}',
            {"ok": True, "b": [1, 2]},
            "extracted",
        ),
        ('{"a": 1} or rather {"a": 2}', {"a": 2}, "extracted"),
        ("the list is [1, 2, 3]", [1, 2, 3], "extracted"),
        ('{"s": "a } b", "t": "c ] d"} done', {"s": "a } b", "t": "c ] d"}, "extracted"),
        ('{"a": {"b": {"c": 1}}} trailing', {"a": {"b": {"c": 1}}}, "extracted"),
        (
            '{"big": 123456789012345678901234567890}',
            {"big": 123456789012345678901234567890},
            "clean",
        ),
        ('{"a": 1,}', {"a": 1}, "repaired"),
        ("{'a': 1}", {"a": 1}, "repaired"),
        ("{a: 1}", {"a": 1}, "repaired"),
        ('{"a": True, "b": None}', {"a": True, "b": None}, "repaired"),
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}, "repaired"),
        ('{"outer": {"inner": 1}, "x": }', {"outer": {"inner": 1}, "x": ""}, "repaired"),
        ('bad {"a": } but then {"ok": true}', OK, "extracted"),
        ('\ufeff{"ok": true}', OK, "extracted"),
    ],
)
def test_the_right_json_is_found(text, value, how):
    """Out of fences, prose, reasoning and several candidates; a repair is told."""
    reading = read(text)
    assert (reading.value, reading.how) == (value, how)
    assert json.loads(reading.text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain words",
        "a set {of words} and [a note]",
        "42",
        '"just a text"',
        "null",
        '{"a": NaN}',
        'here: {"a": [1, Infinity]}',
        "{'a': NaN}",
        "[" * 100_000,
        '{"a":' * 100_000,
        "{}"[:1],
    ],
)
def test_what_is_not_json_is_not_made_into_it(text):
    """Words, numbers, NaN, what is too deep: an error, never an empty object."""
    with pytest.raises(NotJSON):
        read(text)


@pytest.mark.parametrize(
    "text", ['{"a": 1, "b": {"c": 2}', '[{"a": 1}, {"b": 2', 'so: {"items": [{"id": 1}, {"id": 2}']
)
def test_what_is_cut_short_is_told_and_nothing_inside_is_taken_for_it(text):
    """The outer object, closed; or nothing. Never an inner one."""
    reading = read(text)
    assert reading.is_cut
    assert reading.how == "repaired"
    opening = "{" if isinstance(reading.value, dict) else "["
    assert text[text.index(opening)] == next(sign for sign in text if sign in "{[")


@given(OBJECTS)
def test_any_object_is_read_as_it_is(value):
    """Clean text stays as it is, to the byte."""
    text = json.dumps(value)
    reading = read(text)
    assert (reading.value, reading.text, reading.how) == (value, text, "clean")


@given(OBJECTS, WORDS, WORDS)
def test_any_object_is_found_in_prose(value, before, after):
    """Whatever its strings hold, and whatever stands around it."""
    text = json.dumps(value)
    reading = read(f"{before} x {text} y {after}")
    assert (reading.value, reading.text) == (value, text)


@given(OBJECTS, WORDS)
def test_any_object_is_found_in_a_fence_after_reasoning(value, words):
    """Indented, with another object in the reasoning."""
    text = json.dumps(value, indent=2)
    wrapped = f'<think>{words} {{"no": 1}}</think>\nHere:\n```json\n{text}\n```\n{words}'
    assert read(wrapped).value == value


NASTY = st.sampled_from(
    ["```", "<think>", "</think>", '{"a": 1}', "[1]", "it's", "// no", ":", ","]
)
NESTED = st.dictionaries(
    NASTY | st.text(max_size=3),
    st.recursive(
        NASTY | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY, inner, max_size=3),
        max_leaves=8,
    ),
    min_size=1,
    max_size=3,
)


@given(NESTED, st.floats(0, 1), st.sampled_from([None, 1]))
def test_whatever_is_cut_anywhere_is_told_or_refused(value, share, indent):
    """What is left of it is never taken for an answer, whatever its strings look like."""
    text = json.dumps({"root": value}, indent=indent)
    try:
        reading = read(text[: int(len(text) * share)])
    except NotJSON:
        return
    assert reading.is_cut or reading.value == {"root": value}
    assert reading.how == ("repaired" if reading.is_cut else "clean")


@given(NESTED, st.sampled_from(["%s", "<think>{hm}</think>%s", "Sure: %s ok?", "```json\n%s\n```"]))
def test_strings_that_look_like_marks_are_strings(value, around):
    """Fences, tags and brackets within them mean nothing."""
    reading = read(around.replace("%s", json.dumps({"root": value}, indent=1)))
    assert reading.value == {"root": value}
    assert reading.how != "repaired"


@given(st.text(max_size=200))
def test_no_text_breaks_it(text):
    """It is read or it is not."""
    try:
        reading = read(text)
    except NotJSON:
        return
    assert json.loads(reading.text) == reading.value

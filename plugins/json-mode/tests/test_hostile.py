"""What models write when they are asked for JSON, and what nobody should send."""

import json
import time
from pathlib import Path

import pytest

from scillm_json_mode.lenient import MOST_DEPTH
from scillm_json_mode.reading import NotJSON, read

CORPUS = json.loads(Path(__file__).with_name("hostile.json").read_text(encoding="utf-8"))
LENGTH = 100_000
CPU_S = 3.0

# What begins, and what is repeated until the text has its length.
REPEATED = [
    *[("```", sign) for sign in ("a", " ")],
    *[
        ("", unit)
        for unit in ("```\n", "```json\n", "```\r\n{\r\n", "`", "<", "<think>", "<think ")
    ],
    *[
        ("", unit)
        for unit in ("</think>", "<think>{x}</think>", "<think>{'a':1", '</think>{"a":1}')
    ],
    *[
        ("", unit)
        for unit in ("[{", '{"a":', '{"a" ', "{'a':", "{ ", "[ a", '{"a" b} ', "[1,2,,] ")
    ],
    *[
        ("", unit)
        for unit in ('{"a":"', "{/*", '[[[[{"a":1}', '{"a":"b" "c" ', '{"a":1}\n', '{\\"a')
    ],
    *[('{"a":"', unit) for unit in ("\\", '"', '" ', '",', '",a', '",\n', 'x"y', '"k:', "\\u12")],
    *[('["', unit) for unit in ('" a', '""a"(.', '"a', "]e;{", ']```{e"')],
    *[('{"a":', unit) for unit in (",", "a ", "a:", "/*", " \n", "1 b", '["a"\'', "-")],
    *[("{'", unit) for unit in ("e{]=", "'x', '", "\u201c{];")],
    *[("[", unit) for unit in ("] a{", "{]", "{true}", "{]true(")],
    *[("{", unit) for unit in ("]{\u201c", "a:1 ", "a:1 b", "//", "#\n", "]{true.")],
    ('"', '\\"'),
    ("<think", " "),
]


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case["name"])
def test_a_text_is_read_as_it_was_meant_or_refused(case):
    """Each text of the corpus, with its value, or with the reason why there is none."""
    if "error" in case:
        with pytest.raises(NotJSON, match=case["error"]):
            read(case["text"])
        return

    reading = read(case["text"])

    assert reading.value == case["value"]
    assert (reading.how, reading.is_cut) == (case["how"], case.get("is_cut", False))
    assert json.loads(reading.text.lstrip("\ufeff")) == case["value"]
    if reading.how == "repaired":
        reading.text.encode()


@pytest.mark.parametrize("pair", REPEATED, ids=repr)
def test_a_long_text_takes_no_more_than_its_length(pair):
    """A hundred thousand letters that make a careless parser go over them again and again."""
    begin, unit = pair
    text = begin + unit * (LENGTH // len(unit))
    begun_s = time.thread_time()
    try:
        reading = read(text)
    except NotJSON:
        pass
    else:
        assert json.loads(reading.text) == reading.value
    assert time.thread_time() - begun_s < CPU_S


def test_what_is_nearly_json_may_be_nested_so_deeply_and_no_deeper():
    """Beyond that it is refused, and not a crash."""
    deep = "{a:" * MOST_DEPTH + "1" + "}" * MOST_DEPTH
    assert read(deep).how == "repaired"
    with pytest.raises(NotJSON):
        read("{a:" + deep + "}")

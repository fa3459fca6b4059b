"""Sizes out of names."""

import pytest

from scillm_chutes.sizes import Size, size_of


@pytest.mark.parametrize(
    ("name", "total_b", "active_b"),
    [
        ("meta-llama/Llama-3.1-405B-Instruct", 405, None),
        ("vendor/Giant-1.8T", 1800, None),
        ("inclusionAI/Ling-1T", 1000, None),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 56, None),
        ("mistralai/Mixtral-8x22B", 176, None),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507", 235, 22),
        ("Qwen/Qwen3-30b-a3b", 30, 3),
        ("openai/gpt-oss-120b", 120, None),
        ("Qwen/Qwen2.5-0.5B", 0.5, None),
        ("smol/SmolLM2-135M", 0.135, None),
        ("vendor/Model-7B-4bit", 7, None),
    ],
)
def test_a_size_is_read_as_its_author_meant_it(name, total_b, active_b):
    """Experts are multiplied, active parameters told apart, quantisation passed over."""
    size = size_of(name)
    assert size.total_b == pytest.approx(total_b)
    assert size.active_b == active_b


@pytest.mark.parametrize(
    "name",
    [
        "moonshotai/Kimi-K2-Instruct-0905",
        "deepseek-ai/DeepSeek-V3.1",
        "meta-llama/Llama-4-Scout-17B-16E-Instruct",
        "vendor/only-A22B",
        "7B/vendor-named-so",
        "vendor/model-4bit-128k",
        "vendor/zero-0B",
    ],
)
def test_a_name_without_a_size_tells_none(name):
    """A number is not guessed into one; active parameters alone are none either."""
    assert size_of(name) is None


def test_sizes_are_compared_by_doublings():
    """Twice and half are as far; equals not at all."""
    assert Size(70).octaves_from(Size(35)) == Size(35).octaves_from(Size(70)) == 1
    assert Size(8).octaves_from(Size(8)) == 0


def test_a_size_is_told_in_words():
    """For a person."""
    assert str(Size(235, 22)) == "235B, 22B active"
    assert str(Size(1800)) == "1.8T"

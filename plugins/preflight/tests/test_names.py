"""Which names mean one model: a table of ids as hosts list them, and properties."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scillm_preflight.names import COSTS, compared
from scillm_preflight.resolving import nearest, resolve

SAME = [
    # case and separators
    ("qwen/qwen3-32b", "Qwen/Qwen3-32B"),
    ("Qwen3 32B", "Qwen/Qwen3-32B"),
    ("qwen-3-32b", "Qwen/Qwen3-32B"),
    ("Qwen2.5 72B Instruct", "Qwen/Qwen2.5-72B-Instruct"),
    ("qwen-2-5-72b-instruct", "Qwen/Qwen2.5-72B-Instruct"),
    ("QwQ_32B", "Qwen/QwQ-32B"),
    ("qwen2.5:7b", "qwen2.5-7b"),
    ("gpt4o", "gpt-4o"),
    ("GPT 4o mini", "gpt-4o-mini"),
    ("gpt oss 120b", "openai/gpt-oss-120b"),
    ("claude-3.5-sonnet", "claude-3-5-sonnet"),
    ("Claude Opus 4.1", "claude-opus-4-1"),
    ("command r+", "command-r-plus"),
    ("MiniCPM V 2.6", "openbmb/MiniCPM-V-2_6"),
    ("StableLM 2 1.6B", "stabilityai/stablelm-2-1_6b"),
    ("internlm 2.5 7b", "internlm/internlm2_5-7b-chat"),
    ("llama_3_8b_instruct", "meta-llama/Llama-3-8B-Instruct"),
    ("Phi‑4", "microsoft/phi-4"),  # noqa: RUF001  # the hyphen that documents are set with
    ("llama-v3p1-8b-instruct", "accounts/fireworks/models/llama-v3p1-8b-instruct"),
    ("meta-llama/Llama-3.1-8B-Instruct", "accounts/fireworks/models/llama-v3p1-8b-instruct"),
    ("llama 3.1 8b instruct", "@cf/meta/llama-3.1-8b-instruct"),
    # a version's v
    ("DeepSeek 3.1", "deepseek-ai/DeepSeek-V3.1"),
    ("Mistral 7B Instruct 0.3", "mistralai/Mistral-7B-Instruct-v0.3"),
    ("Mistral 7B v0.3", "mistralai/Mistral-7B-Instruct-v0.3"),
    ("mixtral v0.1 8x7b", "mistralai/Mixtral-8x7B-v0.1"),
    # the vendor
    ("deepseek/deepseek-v3", "deepseek-ai/DeepSeek-V3"),
    ("deepseek-ai/DeepSeek-R1", "deepseek-r1"),
    ("mistral/mistral-7b-instruct-v0.3", "mistralai/Mistral-7B-Instruct-v0.3"),
    ("moonshot/kimi-k2-thinking", "moonshotai/Kimi-K2-Thinking"),
    ("meta/llama-3.3-70b-instruct", "meta-llama/Llama-3.3-70B-Instruct"),
    ("z-ai/glm-4.5", "zai-org/GLM-4.5"),
    ("THUDM/GLM-4-9B-0414", "zai-org/GLM-4-9B-0414"),
    ("minimax/minimax-m2", "MiniMaxAI/MiniMax-M2"),
    ("x-ai/grok-4", "xai/grok-4"),
    ("Meta Llama 3.1 8B Instruct", "meta-llama/Llama-3.1-8B-Instruct"),
    ("Llama 3.1 8B Instruct", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
    ("Google Gemma 2 9B IT", "google/gemma-2-9b-it"),
    ("Mistral AI Ministral 8B", "mistralai/Ministral-8B-Instruct-2410"),
    ("Z.AI GLM 4.5", "zai-org/GLM-4.5"),
    ("NVIDIA Nemotron Nano 9B v2", "nvidia/NVIDIA-Nemotron-Nano-9B-v2"),
    ("Nemotron Nano 9B v2", "nvidia/NVIDIA-Nemotron-Nano-9B-v2"),
    ("Nous Research Hermes 4 70B", "NousResearch/Hermes-4-70B"),
    # instruct, chat, it, hf
    ("Llama 3.3 70B", "meta-llama/Llama-3.3-70B-Instruct"),
    ("gemma 3 27b", "google/gemma-3-27b-it"),
    ("gemma-3-27b-instruct", "google/gemma-3-27b-it"),
    ("Phi-3.5-mini", "microsoft/Phi-3.5-mini-instruct"),
    ("deepseek llm 7b", "deepseek-ai/deepseek-llm-7b-chat"),
    ("llama 2 7b chat", "meta-llama/Llama-2-7b-chat-hf"),
    ("Llama-2-7b-chat-hf", "meta-llama/Llama-2-7b-chat"),
    # dates
    ("Kimi K2", "moonshotai/Kimi-K2-Instruct-0905"),
    ("DeepSeek V3", "deepseek-ai/DeepSeek-V3-0324"),
    ("DeepSeek-R1", "deepseek-ai/DeepSeek-R1-0528"),
    ("Qwen3 235B A22B", "Qwen/Qwen3-235B-A22B-Instruct-2507"),
    ("mistral large", "mistralai/Mistral-Large-Instruct-2411"),
    ("mistral-large", "mistral-large-latest"),
    ("gpt-4o", "gpt-4o-2024-08-06"),
    ("gpt-4o-20240806", "gpt-4o-2024-08-06"),
    ("claude-3-5-sonnet@20241022", "claude-3-5-sonnet-20241022"),
    ("Command R", "command-r-08-2024"),
    ("gemini 2.5 pro preview", "gemini-2.5-pro-preview-03-25"),
    ("doubao 1.5 pro", "doubao-1-5-pro-250115"),
]
OTHER = [
    # sizes
    ("Qwen/Qwen3-8B", "Qwen/Qwen3-32B"),
    ("Qwen3-0.6B", "Qwen/Qwen3-6B"),
    ("Qwen2-5B", "Qwen/Qwen2.5-1.5B"),
    ("Qwen2.5-1.5B", "Qwen/Qwen2.5-5B"),
    ("Qwen3-30B", "Qwen/Qwen3-30B-A3B"),
    ("Qwen3-235B", "Qwen/Qwen3-235B-A22B"),
    ("Qwen3-235B-A3B", "Qwen/Qwen3-235B-A22B"),
    ("Qwen3", "Qwen/Qwen3-32B"),
    ("Llama 70B", "meta-llama/Llama-3.3-70B-Instruct"),
    ("mixtral 7b", "mistralai/Mixtral-8x7B-Instruct-v0.1"),
    ("Mixtral-8x7B-Instruct-v0.1", "mistralai/Mixtral-8x22B-Instruct-v0.1"),
    ("some-1.8T", "some-8T"),
    ("some-1.8T", "some-8B"),
    ("gemma-3n-E2B-it", "google/gemma-3n-E4B-it"),
    ("Llama-4-Maverick-17B", "meta-llama/Llama-4-Maverick-17B-128E-Instruct"),
    ("Llama-4-Scout-17B-16E", "meta-llama/Llama-4-Maverick-17B-128E"),
    ("bloom-560m", "bloom-560b"),
    ("gemma 2b it", "google/gemma-2-2b-it"),
    ("llama-2-7b", "llama-27b"),
    ("stablelm 2.1 6b", "stabilityai/stablelm-2-1_6b"),
    # families, versions and variants
    ("deepseek/deepseek-coder", "deepseek-ai/DeepSeek-R1"),
    ("deepseek-r1", "deepseek-ai/DeepSeek-V3"),
    ("DeepSeek-V3", "deepseek-ai/DeepSeek-V3.1"),
    ("DeepSeek-V3.1", "deepseek-ai/DeepSeek-V3.1-Terminus"),
    ("DeepSeek-R1", "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"),
    ("coder", "deepseek-ai/deepseek-coder"),
    ("Qwen2.5-7B-Instruct", "Qwen/Qwen3-7B-Instruct"),
    ("Qwen2.5-7B-Instruct", "Qwen/Qwen2-7B-Instruct"),
    ("Qwen2.5-32B-Instruct", "Qwen/Qwen2.5-Coder-32B-Instruct"),
    ("Qwen2.5-7B", "Qwen/Qwen2.5-VL-7B-Instruct"),
    ("llama-3.1-8b-instruct", "meta-llama/Llama-3.2-8B-Instruct"),
    ("llama-1.3-8b", "meta-llama/Llama-3.1-8B"),
    ("glm-4.5", "zai-org/GLM-5.4"),
    ("GLM-4.5", "zai-org/GLM-4.5-Air"),
    ("GLM-4.5", "zai-org/GLM-4.5V"),
    ("gpt-4", "gpt-4o"),
    ("gpt-4o", "chatgpt-4o-latest"),
    ("gpt-4o", "gpt-4o-mini"),
    ("gpt-4.1", "gpt-4.1-nano"),
    ("o1", "o3"),
    ("o1-mini", "o1"),
    ("claude-3-5-sonnet", "claude-3-7-sonnet-20250219"),
    ("claude-3-5-haiku", "claude-3-5-sonnet"),
    ("command-r+", "command-r"),
    ("command-r", "command-r-plus-08-2024"),
    ("Kimi-K2-Instruct", "moonshotai/Kimi-K2-Thinking"),
    ("MiniCPM-2.6", "openbmb/MiniCPM-V-2_6"),
    ("vicuna-1-7b-v5", "lmsys/vicuna-1.5-7b"),
    ("nemotron-2-v5", "nvidia/nemotron-2.5"),
    ("Mistral-7B-Instruct-v0.2", "mistralai/Mistral-7B-Instruct-v0.3"),
    ("Llama-3.3-70B-Instruct", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
    ("opus-mt-en", "opus-mt-en-it"),
    # quantisation, context, places, prices
    ("GLM-4.5", "zai-org/GLM-4.5-FP8"),
    ("Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct-AWQ"),
    ("Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4"),
    ("qwen2.5:7b-instruct", "qwen2.5:7b-instruct-q4_K_M"),
    ("Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct-1M"),
    ("phi-3-mini-4k-instruct", "microsoft/Phi-3-mini-128k-instruct"),
    ("gpt-3.5-turbo", "gpt-3.5-turbo-16k"),
    ("deepseek-r1", "deepseek/deepseek-r1:free"),
    ("DeepSeek-R1", "deepseek-ai/DeepSeek-R1-TEE"),
    # what was asked for must be there
    ("Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B"),
    ("mpt-7b-chat", "mosaicml/mpt-7b-instruct"),
    ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06"),
    ("gpt-4o-2024-08-06", "gpt-4o"),
    ("DeepSeek-V3-0324", "deepseek-ai/DeepSeek-V3"),
    ("mistral-large-latest", "mistral-large-2411"),
    ("gemini-1.5-pro", "gemini-1.5-pro-002"),
    # other vendors
    ("meta-llama/Llama-3.3-70B-Instruct", "unsloth/Llama-3.3-70B-Instruct"),
    ("nvidia llama 3.1 8b", "meta-llama/Llama-3.1-8B-Instruct"),
    ("openai/gpt-oss-20b", "open/gpt-oss-20b"),
    # nothing is said
    ("", "Qwen/Qwen3-32B"),
    ("instruct", "chat"),
]
IDS = frozenset(one for pair in (*SAME, *OTHER) for one in pair if one)
EXACT_LETTERS = st.sampled_from("abcxyz-_ .:/v0123478bBtTmkq+")


@pytest.mark.parametrize(("asked", "listed"), SAME)
def test_it_means_this_model(asked, listed):
    """Alone and among all ids of the table of other models, at the default cutoff."""
    found = resolve(asked, frozenset({listed, "other/model-1b", "gpt-2"}), 0.55)
    assert found.canonical == listed
    assert 0 < found.distance < 0.33


@pytest.mark.parametrize(("asked", "listed"), OTHER)
def test_it_means_another_model(asked, listed):
    """Whatever the cutoff: it narrows and never widens."""
    found = resolve(asked, frozenset({listed}), 0.0)
    assert found.canonical is None
    assert found.candidates == ()


def test_the_table_is_long():
    """Sixty pairs at least, and both kinds."""
    assert len(SAME) >= 50
    assert len(OTHER) >= 60


def numbers_of(text):
    """What an independent reader takes for the numbers of a name, dates left out."""
    text = re.sub(r"(?<!\d)(20\d\d-?[01]\d-?[0-3]\d|[01]\d-20\d\d|\d{6}|\d\d-\d\d)$", "", text)
    text = re.sub(r"v(\d)p(\d)", r"\1.\2", text.lower().split("/")[-1])
    found = re.findall(r"\d+", re.sub(r"(?<![\d.])\d{4}(?!\d)", "", text))
    return sorted(found)


@pytest.mark.parametrize("asked", sorted(IDS))
def test_no_number_is_ever_changed(asked):
    """Read in another way, a name and what it means have the same numbers."""
    for listed in IDS - {asked}:
        if compared(asked, listed) is not None:
            assert numbers_of(asked) == numbers_of(listed), (asked, listed)


@given(
    st.sampled_from(sorted(one for one in IDS if "_" not in one)),
    st.sampled_from(["upper", "lower", "title"]),
)
def test_spelling_does_not_matter(one, case):
    """An id in another case or with other separators means itself, whoever else is listed."""
    asked = getattr(one.replace("-", "_"), case)()
    found = resolve(asked, IDS, 0.55)
    assert found.canonical in {one, asked} or one in found.candidates


@given(st.lists(st.text(EXACT_LETTERS, min_size=1, max_size=12), min_size=1, max_size=6), st.data())
def test_what_is_resolved_is_listed(ids, data):
    """Only listed ids come out, an exact one is itself, and a tie is never decided."""
    listed = frozenset(ids)
    asked = data.draw(st.one_of(st.sampled_from(ids), st.text(EXACT_LETTERS, max_size=12)))
    found = resolve(asked, listed, 0.55)
    assert found.canonical is None or found.canonical in listed
    assert len(found.candidates) != 1
    assert set(found.candidates) <= listed
    assert (found.distance == 0) == (asked in listed)
    assert (found.distance > 0.32) == (found.canonical is None and not found.candidates)
    assert asked not in listed or found.canonical == asked


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_can_be_compared(asked, listed):
    """Nothing that a host lists or a caller writes fails."""
    found = compared(asked, listed)
    assert found is None or 0 <= found.distance <= sum(COSTS.values())
    assert set(nearest(asked, frozenset({listed}))) <= {listed}


def test_spelling_goes_before_the_vendor_and_that_before_further_words():
    """The very name wins over one with a date; its own vendor over another's form."""
    kimi = {"moonshotai/Kimi-K2-Instruct", "moonshotai/Kimi-K2-Instruct-0905"}
    assert resolve("kimi k2 instruct", frozenset(kimi), 0.55).canonical == min(kimi)
    vendors = {"deepseek/DeepSeek-V3", "deepseek-ai/DeepSeek-V3"}
    found = resolve("deepseek-ai/deepseek-v3", frozenset(vendors), 0.55)
    assert found.canonical == "deepseek-ai/DeepSeek-V3"
    assert found.reason == "but for spelling"


def test_a_tie_names_all_and_decides_nothing():
    """Though one may be nearer by its distance."""
    listed = frozenset({"moonshotai/Kimi-K2-Instruct", "moonshotai/Kimi-K2-Instruct-0905"})
    found = resolve("Kimi K2", listed, 0.55)
    assert found.canonical is None
    assert found.candidates == tuple(sorted(listed))
    assert found.reason == f"ambiguous: {', '.join(sorted(listed))}"


def test_the_cutoff_narrows():
    """A name that leaves out a date is far from its id; one that is only spelt otherwise is not."""
    listed = frozenset({"moonshotai/Kimi-K2-Instruct-0905", "Qwen/Qwen3-32B"})
    assert resolve("Kimi K2", listed, 0.65).canonical
    refused = resolve("Kimi K2", listed, 0.75)
    assert refused.canonical is None
    assert refused.reason == "below the cutoff of 0.75: moonshotai/Kimi-K2-Instruct-0905"
    assert resolve("qwen3 32b", listed, 0.9).canonical == "Qwen/Qwen3-32B"
    assert resolve("qwen3 32b", listed, 1.0).canonical is None
    assert resolve("Qwen/Qwen3-32B", listed, 1.0).canonical == "Qwen/Qwen3-32B"


def test_distances_differ_by_what_differs():
    """From nothing to all of it."""
    pairs = [
        ("Qwen/Qwen3-32B", "Qwen/Qwen3-32B", 0.0),
        ("qwen/qwen3_32b", "Qwen/Qwen3-32B", 0.01),
        ("qwen3-32b", "Qwen/Qwen3-32B", 0.06),
        ("gemma-3-27b", "google/gemma-3-27b-it", 0.16),
        ("DeepSeek V3", "deepseek-ai/DeepSeek-V3-0324", 0.21),
        ("Kimi K2", "moonshotai/Kimi-K2-Instruct-0905", 0.31),
    ]
    assert [resolve(a, frozenset({b}), 0.0).distance for a, b, _ in pairs] == [
        distance for *_, distance in pairs
    ]


def test_an_unknown_name_says_the_nearest():
    """And is further away than any name that means something, by how unlike it looks."""
    listed = frozenset({"Qwen/Qwen3-32B", "Qwen/Qwen3-8B", "deepseek-ai/DeepSeek-R1"})
    found = resolve("Qwen3-7B", listed, 0.55)
    assert found.reason.startswith("unknown; nearest: Qwen/Qwen3-8B")
    assert 0.33 < found.distance < 0.5
    far = resolve("zzz", listed, 0.55)
    assert (far.reason, far.distance) == ("unknown", 1.0)

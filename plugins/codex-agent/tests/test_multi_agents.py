"""Many answers, or many programs, and a judge."""

import asyncio
import json
import pickle

import pytest

import scillm.extras
from scillm import BadRequestError, InternalServerError, InvalidResponse
from scillm.extras import multi_agents
from scillm.extras.multi_agents import (
    JudgeError,
    NobodyAnswered,
    UnusableAnswer,
    aanswer_code_autogen_and_judge_codex_only,
    aanswer_text_multi,
    answer_code_autogen_and_judge_codex_only,
    answer_text_multi,
)

ASK = [{"role": "user", "content": "Which sort?"}]
ITEMS = [{"task": "six improved fast inverse square root for gaming (C/C++)", "context": {}}]
TIERS = ("simple", "medium", "advanced")


def programs(count, **changes):
    """What a generator says."""
    return json.dumps(
        {
            "variants": [
                {
                    "title": f"t{n}",
                    "complexity_tier": TIERS[n % 3],
                    "rationale": "r",
                    "code": f"return {n}",
                    "notes": "",
                    **changes,
                }
                for n in range(count)
            ]
        }
    )


def best(name="variant_2"):
    """What a judge says."""
    return json.dumps({"best_id": name, "rationale_short": "shortest"})


@pytest.fixture
def coder(agent):
    """An agent that writes six programs and chooses the second."""
    agent.said = {"gpt-5": lambda body: best() if "compare" in str(body) else programs(6)}
    return agent


def test_programs_are_written_and_one_is_chosen(coder):
    """As the quickstart calls it: the documented fields, no more calls than two."""
    made = answer_code_autogen_and_judge_codex_only(
        ITEMS, n_variants=6, generator_model="gpt-5", judge_model="codex-agent/gpt-5"
    )
    assert [each["id"] for each in made["variants"]] == [f"variant_{n}" for n in range(1, 7)]
    assert set(made["variants"][0]) == {
        "id",
        "title",
        "complexity_tier",
        "rationale",
        "code",
        "notes",
    }
    assert made["judge"] == {"best_id": "variant_2", "rationale_short": "shortest"}
    assert made["results"][0]["is_run"] is False
    assert len(coder.asked) == 2
    writing, judging = coder.asked
    assert (writing["model"], writing["temperature"], writing["max_tokens"]) == ("gpt-5", 0, 2000)
    assert judging["model"] == "gpt-5"
    assert {body["response_format"]["type"] for body in coder.asked} == {"json_object"}
    assert "inverse square root" in judging["messages"][1]["content"]
    assert "return 5" in judging["messages"][1]["content"]


def test_every_item_is_worked_on(coder):
    """Each with a result of its own, in their order."""
    items = [{"task": f"task {n}", "context": {"n": n}} for n in range(3)]
    made = answer_code_autogen_and_judge_codex_only(items, n_variants=2)
    assert [each["task"] for each in made["results"]] == ["task 0", "task 1", "task 2"]
    assert all(each["judge"]["best_id"] == "variant_2" for each in made["results"])
    assert "variants" not in made
    assert len(coder.asked) == 6


def test_an_item_that_is_lost_does_not_lose_the_others(coder):
    """Its error stands in its place, and nobody judges it."""
    coder.said["gpt-5"] = lambda body: (
        best() if "compare" in str(body) else "no" if "task 0" in str(body) else programs(2)
    )
    made = answer_code_autogen_and_judge_codex_only([{"task": "task 0"}, {"task": "task 1"}])
    lost, kept = made["results"]
    assert (lost["variants"], lost["judge"]) == ([], None)
    assert "did not answer with JSON" in lost["error"]
    assert kept["judge"]["best_id"] == "variant_2"
    assert "error" not in kept


def test_if_all_are_lost_the_first_error_is_raised(coder):
    """With the status that it had."""
    coder.statuses["gpt-5"] = 500
    with pytest.raises(InternalServerError):
        answer_code_autogen_and_judge_codex_only([{"task": "a"}, {"task": "b"}])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Here is code.", "did not answer with JSON"),
        ("[]", "no object"),
        ('{"variants": []}', "wrote no program"),
        (programs(2, code=""), "wrote no program"),
        (programs(2, code=7), "wrote no program"),
    ],
)
def test_without_programs_there_is_no_judge(coder, said, why):
    """No empty variant wins; the error keeps what was said."""
    coder.said["gpt-5"] = said
    with pytest.raises(UnusableAnswer, match=why) as info:
        answer_code_autogen_and_judge_codex_only(ITEMS)
    assert info.value.raw == said
    assert isinstance(info.value, InvalidResponse)
    assert len(coder.asked) == 1


def test_programs_that_were_cut_are_no_programs(coder):
    """And the remedy is named."""
    coder.finish = "length"
    with pytest.raises(UnusableAnswer, match="give more max_tokens"):
        answer_code_autogen_and_judge_codex_only(ITEMS)


@pytest.mark.parametrize("said", [best("variant_9"), best(2), best(None), "A", "{}"])
def test_a_judge_must_name_one_of_the_programs(coder, said):
    """Anything else is an error, not the first one."""
    coder.said["judge"] = said
    with pytest.raises(JudgeError) as info:
        answer_code_autogen_and_judge_codex_only(ITEMS, judge_model="judge")
    assert info.value.raw == said
    assert pickle.loads(pickle.dumps(info.value)).raw == said


def test_a_fence_around_the_whole_answer_is_taken_off(coder):
    """Many models put one there in spite of all."""
    coder.said["judge"] = f"```json\n{best()}\n```"
    made = answer_code_autogen_and_judge_codex_only(ITEMS, judge_model="judge")
    assert made["judge"]["best_id"] == "variant_2"


@pytest.mark.parametrize(
    ("items", "more", "said"),
    [
        ([], {}, "items is empty"),
        ([{"context": {}}], {}, r"items\[0\] has no task"),
        (["task"], {}, r"items\[0\] has no task"),
        (ITEMS, {"n_variants": 0}, "n_variants=0"),
        ([{"task": "t", "context": {"x": object()}}], {}, "is not JSON"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(agent, items, more, said):
    """With what was wrong."""
    with pytest.raises(BadRequestError, match=said):
        answer_code_autogen_and_judge_codex_only(items, **more)
    assert not agent.asked


def test_several_models_answer_and_a_judge_chooses(agent):
    """The documented fields; answers in the order of the models."""
    agent.said = {"a": "bubble", "b": "quick", "j": '{"best_index": 1, "rationale_short": "fast"}'}
    made = answer_text_multi(
        ASK, ["a", "b"], "j", codex_api_base=agent.base, codex_api_key="k", temperature=1
    )
    assert made == {
        "answers": ["bubble", "quick"],
        "best_index": 1,
        "judge_raw": {"best_index": 1, "rationale_short": "fast"},
        "errors": {},
    }
    assert {body["authorization"] for body in agent.asked} == {"Bearer k"}
    assert {body.get("max_tokens") for body in agent.asked[:2]} == {512}


def test_a_model_that_failed_is_no_candidate(agent):
    """It has no answer, and its error is told; the judge cannot choose it."""
    agent.said = {"b": "quick", "j": '{"best_index": 0, "rationale_short": ""}'}
    agent.statuses["a"] = 500
    with pytest.raises(JudgeError, match="chose 0, which is none of 1"):
        answer_text_multi(ASK, ["a", "b"], "j")
    agent.said["j"] = '{"best_index": 1, "rationale_short": ""}'
    made = answer_text_multi(ASK, ["a", "b"], "j")
    assert (made["answers"], list(made["errors"])) == ([None, "quick"], [0])


@pytest.mark.parametrize("said", ["best is 0", '{"best_index": true}', '{"best_index": "0"}'])
def test_a_judge_that_cannot_be_read_is_an_error(agent, said):
    """Never index 0 in silence."""
    agent.said = {"a": "x", "j": said}
    with pytest.raises(JudgeError):
        answer_text_multi(ASK, ["a"], "j")


def test_if_nobody_answers_nobody_judges(agent):
    """The errors are kept, through a pickle too."""
    agent.statuses = {"a": 500, "b": 404}
    with pytest.raises(NobodyAnswered, match="none of 2 models") as info:
        answer_text_multi(ASK, ["a", "b"], "j")
    assert sorted(pickle.loads(pickle.dumps(info.value)).errors) == [0, 1]
    assert "j" not in {body["model"] for body in agent.asked}


def test_the_environment_names_the_judge_and_the_argument_wins(agent, monkeypatch):
    """CODEX_JUDGE_MODEL."""
    monkeypatch.setenv("CODEX_JUDGE_MODEL", "from-env")
    agent.said = dict.fromkeys(["from-env", "mine"], '{"best_index": 0}')
    answer_text_multi(ASK, ["a"])
    answer_text_multi(ASK, ["a"], "mine")
    assert [body["model"] for body in agent.asked] == ["a", "from-env", "a", "mine"]


def test_a_judge_may_be_asked_elsewhere(agent):
    """Named with its provider, here another spelling of the same."""
    agent.said = {"a": "x", "j": '{"best_index": 0}'}
    made = answer_text_multi(ASK, ["a"], "code-agent/j", judge_via_codex=False)
    assert made["best_index"] == 0
    with pytest.raises(scillm.UnknownModelError):
        answer_text_multi(ASK, ["a"], "nobody/j", judge_via_codex=False)


def test_the_async_forms_do_the_same(coder):
    """Several models at one time."""
    coder.said |= {"a": "x", "b": "y", "j": '{"best_index": 1}'}

    async def both():
        return await asyncio.gather(
            aanswer_text_multi(ASK, ["a", "b"], "j"),
            aanswer_code_autogen_and_judge_codex_only(ITEMS),
        )

    texts, made = asyncio.run(both())
    assert texts["answers"] == ["x", "y"]
    assert made["judge"]["best_id"] == "variant_2"


def test_the_sync_forms_work_inside_a_running_loop(coder):
    """As in a notebook."""
    coder.said |= {"a": "x", "b": "y", "j": '{"best_index": 1}'}

    async def cell():
        return (
            answer_code_autogen_and_judge_codex_only(ITEMS),
            answer_text_multi(ASK, ["a", "b"], "j"),
        )

    made, texts = asyncio.run(cell())
    assert made["judge"]["best_id"] == "variant_2"
    assert texts["best_index"] == 1


def test_other_plugins_may_add_to_the_module(monkeypatch):
    """What they lend as an extra is found here too; what nobody lends says so."""
    monkeypatch.setattr(scillm.extras, "answer_code_elsewhere", len, raising=False)
    assert multi_agents.answer_code_elsewhere is len
    with pytest.raises(ImportError, match="nothing_of_the_kind"):
        from scillm.extras.multi_agents import nothing_of_the_kind  # noqa: F401  # asking is the test

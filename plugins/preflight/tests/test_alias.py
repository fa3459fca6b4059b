"""Names that are resolved, if asked for."""

import asyncio
from typing import ClassVar

import pytest

from scillm import BadRequestError, PluginError
from scillm_cache import Caching
from scillm_preflight import AmbiguousModelId, UnknownModelId
from scillm_preflight.api import preflight_models
from scillm_router import Router

ASK = [{"role": "user", "content": "hi"}]
ON = {"model_alias": True}
KIMI = ["moonshotai/Kimi-K2-Instruct", "moonshotai/Kimi-K2-Instruct-0905"]


@pytest.fixture
def known(host, kernel):
    """The kernel knows what the host offers; that question is forgotten."""
    preflight_models(api_base=host.base, kernel=kernel)
    host.asked.clear()
    return kernel


@pytest.mark.parametrize("stream", [False, True])
def test_a_name_goes_out_as_its_id(known, host, ask, stream):
    """And the answer says what was asked and what was resolved, of a stream too."""
    answer = ask(known, "Kimi K2", stream=stream, **ON)
    assert host.asked == ["moonshotai/Kimi-K2-Instruct-0905"]
    assert answer.served_by.model == "moonshotai/Kimi-K2-Instruct-0905"
    assert answer.additional_kwargs["preflight"] == {
        "requested_model_id": "Kimi K2",
        "resolved_model_id": "moonshotai/Kimi-K2-Instruct-0905",
    }
    assert answer._hidden_params["requested_model_id"] == "Kimi K2"
    assert answer._hidden_params["resolved_model_id"] == answer.served_by.model


def test_off_a_name_is_left_as_it_is(known, host, ask):
    """Nothing is substituted that nobody asked for, also not by the guard."""
    assert not ask(known, "Kimi K2").additional_kwargs
    with pytest.raises(UnknownModelId, match="'moonshotai/Kimi-K2-Instruct-0905'"):
        ask(known, "Kimi K2", model_preflight=True)
    assert host.asked == ["Kimi K2"]


def test_the_variable_switches_it_on_and_the_argument_wins(known, host, ask, monkeypatch):
    """For one call."""
    monkeypatch.setenv("SCILLM_MODEL_ALIAS", "1")
    ask(known, "qwen3 8b")
    ask(known, "qwen3 8b", model_alias=False)
    assert host.asked == ["Qwen/Qwen3-8B", "qwen3 8b"]


def test_no_size_is_taken_for_another(known, host, ask):
    """A name that means no listed id goes out as it is, or is refused by the guard."""
    answer = ask(known, "Qwen/Qwen3-14B", **ON)
    assert host.asked == ["Qwen/Qwen3-14B"]
    assert answer._hidden_params["resolved_model_id"] == "Qwen/Qwen3-14B"
    with pytest.raises(UnknownModelId):
        ask(known, "Qwen/Qwen3-14B", model_preflight=True, **ON)


def test_an_ambiguous_name_is_an_error_that_names_all(known, host, ask):
    """And nothing is sent."""
    host.ids = KIMI
    preflight_models(api_base=host.base, ttl_s=0, kernel=known)
    host.asked.clear()
    with pytest.raises(AmbiguousModelId, match="'Kimi K2' may mean") as info:
        ask(known, "Kimi K2", **ON)
    assert info.value.candidates == tuple(KIMI)
    assert all(repr(one) in str(info.value) for one in KIMI)
    assert host.asked == []


def test_the_cutoff_is_read_for_each_call(known, host, ask, monkeypatch):
    """From the environment or the argument; a narrow one leaves the name as it is."""
    monkeypatch.setenv("SCILLM_MODEL_ALIAS_CUTOFF", "0.9")
    ask(known, "Kimi K2", **ON)
    ask(known, "Kimi K2", model_alias_cutoff=0.5, **ON)
    assert host.asked == ["Kimi K2", "moonshotai/Kimi-K2-Instruct-0905"]
    for wrong in (1.5, "x", True):
        with pytest.raises(BadRequestError, match="no number from 0 to 1"):
            ask(known, "Kimi K2", model_alias_cutoff=wrong, **ON)
    monkeypatch.setenv("SCILLM_MODEL_ALIAS_CUTOFF", "2")
    with pytest.raises(PluginError, match="SCILLM_MODEL_ALIAS_CUTOFF='2'"):
        ask(known, "Kimi K2", **ON)


def test_without_a_catalogue_a_name_goes_out_as_it_is(kernel, host, ask):
    """Nobody knows what it means."""
    answer = ask(kernel, "Kimi K2", **ON)
    assert host.asked == ["Kimi K2"]
    assert answer._hidden_params["resolved_model_id"] == "Kimi K2"


def test_an_answer_from_memory_says_it_too(kernels, host, ask):
    """It was asked by another name than the one that served it."""
    kernel = kernels(Caching())
    preflight_models(api_base=host.base, kernel=kernel)
    for _ in range(2):
        answer = ask(kernel, "Kimi K2", cache=True, **ON)
    assert answer._hidden_params["hit"]
    assert answer.additional_kwargs["preflight"] == {
        "requested_model_id": "Kimi K2",
        "resolved_model_id": "moonshotai/Kimi-K2-Instruct-0905",
    }
    assert host.asked.count("moonshotai/Kimi-K2-Instruct-0905") == 1


def test_beneath_a_router_the_name_of_the_deployment_is_resolved(kernels, host):
    """The group keeps its own."""
    kernel = kernels()
    preflight_models(api_base=host.base, kernel=kernel)
    place = {"custom_llm_provider": "openai_like", "api_base": host.base, **ON}
    entries = [{"model_name": "any", "litellm_params": {"model": "Kimi K2", **place}}]

    answer = Router(entries, kernel=kernel).completion("any", ASK)

    assert host.asked[-1] == "moonshotai/Kimi-K2-Instruct-0905"
    assert answer._hidden_params["requested_model_id"] == "Kimi K2"
    assert answer._hidden_params["model_group"] == "any"


def test_embeddings_are_resolved(known, host):
    """As completions are."""
    where = {"custom_llm_provider": "openai_like", "api_base": host.base}
    answer = known.embedding("qwen3 8b", ["a"], **where, **ON)
    assert answer.model == "Qwen/Qwen3-8B"
    assert answer._hidden_params["requested_model_id"] == "qwen3 8b"


class TestAModelThatChooses:
    """Among the candidates of an ambiguous name, and no others."""

    CHOOSES: ClassVar = {**ON, "model_alias_llm": True}

    @pytest.fixture
    def chooser(self, host, monkeypatch):
        """The host offers a model that chooses, which says what the test lets it."""
        host.ids = [*KIMI, "chooser"]
        monkeypatch.setenv("SCILLM_ALIAS_LLM_MODEL", "chooser")
        return host

    @pytest.fixture
    def choosing(self, kernels, chooser):
        """A kernel that knows the host, and asks the model that chooses by itself."""

        async def ask(*arguments, **more):
            return await kernel.acompletion(*arguments, **more)

        kernel = kernels(ask=ask)
        preflight_models(api_base=chooser.base, kernel=kernel)
        chooser.asked.clear()
        return kernel

    def test_its_choice_is_taken_and_told(self, choosing, chooser, ask):
        """It is asked once, with the key of the call; the answer says who chose."""
        chooser.says = f" {KIMI[1]}\n"
        for _ in range(2):
            answer = ask(choosing, "Kimi K2", api_key="sk-1", **self.CHOOSES)
        assert chooser.asked == ["chooser", KIMI[1], KIMI[1]]
        assert set(chooser.keys[-3:]) == {"Bearer sk-1"}
        assert answer.additional_kwargs["preflight"] == {
            "requested_model_id": "Kimi K2",
            "resolved_model_id": KIMI[1],
            "resolved_by": "chooser",
        }

    @pytest.mark.parametrize("said", ["chooser", "Kimi K2", "", f"I take {KIMI[0]}", "qwen3"])
    def test_another_word_than_a_candidate_changes_nothing(self, choosing, chooser, ask, said):
        """Also a listed id that is no candidate: it can widen nothing."""
        chooser.says = said
        with pytest.raises(AmbiguousModelId):
            ask(choosing, "Kimi K2", **self.CHOOSES)
        assert chooser.asked == ["chooser"]

    def test_a_name_that_means_none_is_not_its_to_choose(self, choosing, chooser, ask):
        """Nor one that means exactly one."""
        chooser.says = KIMI[0]
        with pytest.raises(UnknownModelId):
            ask(choosing, "Kimi K3", model_preflight=True, **self.CHOOSES)
        ask(choosing, "kimi k2 instruct", **self.CHOOSES)
        assert chooser.asked == [KIMI[0]]

    def test_off_it_is_not_asked(self, choosing, chooser, ask):
        """The error stands."""
        chooser.says = KIMI[0]
        with pytest.raises(AmbiguousModelId):
            ask(choosing, "Kimi K2", **ON)
        assert chooser.asked == []

    def test_its_failure_leaves_the_error(self, choosing, chooser, ask, caplog):
        """And is a warning."""
        chooser.status = 503
        with pytest.raises(AmbiguousModelId):
            ask(choosing, "Kimi K2", **self.CHOOSES)
        assert "chooser did not choose" in caplog.text

    def test_its_silence_leaves_the_error(self, kernels, chooser, ask, caplog, monkeypatch):
        """After as many seconds as it may take."""

        async def silent(*arguments, **more):
            await asyncio.Event().wait()

        monkeypatch.setattr("scillm_preflight.choosing.WAIT_S", 0.01)
        kernel = kernels(ask=silent)
        preflight_models(api_base=chooser.base, kernel=kernel)
        with pytest.raises(AmbiguousModelId):
            ask(kernel, "Kimi K2", **self.CHOOSES)
        assert "no answer in time" in caplog.text

    def test_a_model_of_another_place_is_asked_there(self, kernels, chooser, ask, monkeypatch):
        """By provider/model, with nothing of the call but the names."""
        monkeypatch.setenv("SCILLM_ALIAS_LLM_MODEL", "elsewhere/judge")
        asked = []

        async def judge(*arguments, **more):
            asked.append((arguments, more))
            raise BadRequestError("no")

        kernel = kernels(ask=judge)
        preflight_models(api_base=chooser.base, kernel=kernel)
        with pytest.raises(AmbiguousModelId):
            ask(kernel, "Kimi K2", api_key="sk-1", **self.CHOOSES)
        ((model, messages), more) = asked[0]
        assert model == "elsewhere/judge"
        assert messages[1]["content"] == f"Kimi K2\n\n{KIMI[0]}\n{KIMI[1]}"
        assert more == {"timeout": 6.0, "model_preflight": False, "model_alias": False}

    def test_one_that_is_nowhere_is_a_warning(self, choosing, chooser, ask, caplog, monkeypatch):
        """A bare name that the host does not list is not sent to anybody."""
        monkeypatch.setenv("SCILLM_ALIAS_LLM_MODEL", "gpt-5")
        with pytest.raises(AmbiguousModelId):
            ask(choosing, "Kimi K2", **self.CHOOSES)
        assert "SCILLM_ALIAS_LLM_MODEL is 'gpt-5'" in caplog.text
        assert chooser.asked == []

    def test_many_calls_at_a_time_are_one_choice(self, choosing, chooser):
        """And all go to one id."""
        chooser.says = KIMI[0]

        async def main():
            where = {"custom_llm_provider": "openai_like", "api_base": chooser.base}
            calls = (
                choosing.acompletion("Kimi K2", ASK, **where, **self.CHOOSES) for _ in range(20)
            )
            async with choosing:
                return await asyncio.gather(*calls)

        answers = asyncio.run(main())
        assert {answer.served_by.model for answer in answers} == {KIMI[0]}
        assert chooser.asked.count("chooser") == 1

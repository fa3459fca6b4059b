"""The suites themselves: what they accept, and what they find."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from pytest_scillm import ProviderConformance, Samples
from scillm import Chunk, Kernel, Request, Response, Route, hookimpl


class Parting:
    """A provider whose streams end in a word of its own."""

    PROVIDERS = ("parting",)

    @hookimpl
    def resolve_model(self, call):
        model = call.model_for("parting")
        return None if model is None else Route(provider="parting", model=model)

    @hookimpl
    def prepare_request(self, call, route):
        body = {"say": [message["content"] for message in call.messages]}
        frames = "sse" if call.stream else "json"
        return Request(route=route, url="p:", body=body, frames=frames, end=b"BYE", read=self._read)

    def _read(self, frame):
        raw = json.loads(frame)
        usage = {"prompt_tokens": 1, "completion_tokens": raw["n"], "total_tokens": raw["n"] + 1}
        choice = {"index": 0, "finish_reason": raw["end"]}
        if "piece" in raw:
            choice["delta"] = {"content": raw["piece"]}
            return [Chunk({"choices": [choice], "usage": usage})]
        choice["message"] = {"role": "assistant", "content": raw["said"]}
        return [Response({"choices": [choice], "usage": usage})]


class Careless(Parting):
    """Takes the empty id of a list of models for none at all."""

    @hookimpl
    def resolve_model(self, call):
        model = call.model_for("parting")
        return model and Route(provider="parting", model=model)


class Suite(ProviderConformance):
    """Not collected by its name: single tests of it are called below."""

    plugin, model = Parting, "parting/any"
    samples: ClassVar[Any] = Samples(
        text="hi you",
        whole={"said": "hi you", "n": 2, "end": "stop"},
        parts=[
            {"piece": "hi ", "n": 1, "end": None},
            {"piece": "you", "n": 2, "end": None},
            {"piece": "", "n": 2, "end": "stop"},
        ],
        completion_tokens=2,
    )


def test_a_stream_may_end_in_a_word_of_the_providers_own(scillm_kernel, wire):
    """The kit sends the end that the provider's own request names."""
    Suite().test_reads_the_same_answer_streamed(scillm_kernel(Parting), wire)


def test_a_provider_that_takes_an_empty_model_for_none_is_found():
    """``model and Route(...)`` answers the list of models with a text."""
    Suite().test_a_list_of_models_is_asked_for_or_refused(Kernel.of(Parting))

    with pytest.raises(AssertionError, match="resolve_model answered '' for a list of models"):
        Suite().test_a_list_of_models_is_asked_for_or_refused(Kernel.of(Careless))

"""Every split of every stream folds to the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scillm import Chunk, InvalidResponse, Response, fold, unfold
from scillm.folding import Fold

TOP = {"id": "c", "created": 1, "model": "m"}


def chunk(delta=None, finish=None, index=0, **top):
    """Make a chunk of one choice."""
    return Chunk(
        {**TOP, "choices": [{"index": index, "delta": delta or {}, "finish_reason": finish}], **top}
    )


def message(*chunks):
    """Fold these chunks, and an end, to a message."""
    return fold([*chunks, chunk(finish="stop")]).choices[0].message


def test_text_is_joined():
    """Deltas in order make the text; the top level and usage are kept."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    response = fold(
        [
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "a"}),
            chunk({"content": "b"}),
            chunk(finish="stop"),
            Chunk({**TOP, "choices": [], "usage": usage}),
        ]
    )
    assert response.to_dict() == {
        **TOP,
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "stop"}
        ],
        "usage": usage,
    }


def test_tool_calls_are_put_together_by_index():
    """Fragments of two calls, interleaved, each find their own."""
    calls = message(
        chunk(
            {
                "tool_calls": [
                    {
                        "index": 0,
                        "id": "a",
                        "type": "function",
                        "function": {"name": "f", "arguments": ""},
                    }
                ]
            }
        ),
        chunk(
            {
                "tool_calls": [
                    {
                        "index": 1,
                        "id": "b",
                        "type": "function",
                        "function": {"name": "g", "arguments": '{"y'},
                    }
                ]
            }
        ),
        chunk(
            {
                "tool_calls": [
                    {"index": 0, "function": {"arguments": '{"x"'}},
                    {"index": 1, "function": {"arguments": '":2}'}},
                ]
            }
        ),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
    ).tool_calls
    assert [c.to_dict() for c in calls] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": '{"y":2}'}},
    ]


def test_a_provider_without_indices_is_understood():
    """A fragment without index and id continues the last call; one with an id begins a new one."""
    calls = message(
        chunk(
            {
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}
                ]
            }
        ),
        chunk({"tool_calls": [{"function": {"arguments": "}"}}]}),
        chunk(
            {
                "tool_calls": [
                    {"id": "b", "type": "function", "function": {"name": "g", "arguments": "[]"}}
                ]
            }
        ),
    ).tool_calls
    assert [(c.id, c.function.arguments) for c in calls] == [("a", "{}"), ("b", "[]")]


def test_a_name_that_is_repeated_is_not_doubled():
    """Some providers repeat id and name in each fragment, others cut the name in two."""
    calls = message(
        chunk(
            {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "get", "arguments": ""}}]}
        ),
        chunk(
            {
                "tool_calls": [
                    {"index": 0, "id": "a", "function": {"name": "get", "arguments": "{}"}}
                ]
            }
        ),
    ).tool_calls
    assert (calls[0].id, calls[0].function.name, calls[0].function.arguments) == ("a", "get", "{}")
    cut = message(
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "get_"}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"name": "time"}}]}),
    ).tool_calls
    assert cut[0].function.name == "get_time"


def test_reasoning_refusals_and_unknown_texts_are_joined_too():
    """No field of a delta is lost."""
    got = message(
        chunk({"reasoning_content": "a", "refusal": "n", "x": "1"}),
        chunk({"reasoning_content": "b", "refusal": "o", "x": "2", "y": 3}),
    )
    assert (got.reasoning_content, got.refusal, got.x, got.y, got.content) == (
        "ab",
        "no",
        "12",
        3,
        None,
    )


def test_logprobs_and_annotations_are_appended():
    """Lists without indices grow."""
    first = Chunk(
        {
            **TOP,
            "choices": [
                {
                    "index": 0,
                    "delta": {"content": "a"},
                    "logprobs": {"content": [{"token": "a"}], "refusal": None},
                }
            ],
        }
    )
    second = Chunk(
        {
            **TOP,
            "choices": [
                {
                    "index": 0,
                    "delta": {"content": "b"},
                    "logprobs": {"content": [{"token": "b"}], "refusal": None},
                    "finish_reason": "stop",
                }
            ],
        }
    )
    assert [t.token for t in fold([first, second]).choices[0].logprobs.content] == ["a", "b"]


def test_choices_are_kept_apart_and_in_order():
    """With n > 1 the pieces come in any order."""
    response = fold(
        [
            chunk({"content": "B"}, index=1),
            chunk({"content": "A"}),
            chunk({"content": "b"}, index=1),
            chunk(finish="stop"),
            chunk(finish="length", index=1),
        ]
    )
    assert [(c.index, c.message.content, c.finish_reason) for c in response.choices] == [
        (0, "A", "stop"),
        (1, "Bb", "length"),
    ]


def test_folding_changes_no_event():
    """Events may be kept by a cache: the fold must not write into them."""
    events = [
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"arguments": "{"}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}),
    ]
    before = [event.to_dict() for event in events]
    fold(events)
    fold(events)
    assert [event.to_dict() for event in events] == before


def test_a_whole_answer_is_its_own_fold():
    """One event that is whole is the answer."""
    response = Response({"choices": []})
    assert fold([response]) is response


def test_a_shape_that_cannot_be_folded_is_an_invalid_response():
    """A provider's nonsense does not surface as a TypeError."""
    folding = Fold()
    with pytest.raises(InvalidResponse, match="cannot be put together"):
        folding.add(Chunk({"choices": ["x"]}))


texts = st.text(max_size=12)
tool_call = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": st.sampled_from(["f", "get_x"]), "arguments": texts}
        ),
    }
)
messages = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | texts},
    optional={
        "tool_calls": st.lists(tool_call, min_size=1, max_size=3),
        "reasoning_content": texts,
        "refusal": texts,
        "vendor": st.integers(),
    },
)
choices = st.lists(
    st.tuples(messages, st.sampled_from(["stop", "length", "tool_calls"])), min_size=1, max_size=3
)
responses = st.builds(
    lambda chosen, usage: Response(
        {
            **TOP,
            "object": "chat.completion",
            "vendor_top": "v",
            "choices": [
                {"index": i, "message": m, "finish_reason": f} for i, (m, f) in enumerate(chosen)
            ],
            **({"usage": usage} if usage else {}),
        }
    ),
    choices,
    st.none() | st.just({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}),
)


@given(responses)
def test_unfold_and_fold_are_inverse(response):
    """Cutting a whole answer and putting it together gives the same answer."""
    assert fold(unfold(response)).to_dict() == response.to_dict()


@given(responses, st.data())
def test_any_split_folds_to_the_whole(response, data):
    """However the texts are cut, the answer is the same."""
    assert fold(_split(response, data)).to_dict() == response.to_dict()


def _split(response, data):
    """Cut every text of every delta at drawn places."""
    for event in unfold(response):
        raw = event.to_dict()
        for choice in raw["choices"]:
            yield from _pieces(choice, data)
        choices_left = [{**c, "delta": {}} for c in raw["choices"]]
        yield Chunk({**raw, "choices": choices_left})


def _pieces(choice, data):
    index = choice["index"]
    for name, value in choice["delta"].items():
        if name == "tool_calls":
            for call in value:
                head = {**call, "function": {**call["function"], "arguments": ""}}
                yield chunk({"tool_calls": [head]}, index=index)
                for part in _cuts(call["function"]["arguments"], data):
                    yield chunk(
                        {"tool_calls": [{"index": call["index"], "function": {"arguments": part}}]},
                        index=index,
                    )
        elif isinstance(value, str) and name != "role":
            for part in _cuts(value, data):
                yield chunk({name: part}, index=index)
        else:
            yield chunk({name: value}, index=index)


def _cuts(text, data):
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def test_notes_on_several_chunks_are_merged_by_plugin():
    """The first chunk may carry one plugin's, the last another's, or more of the first."""
    notes = [{"a": {"x": "1"}}, {}, {"a": {"x": "1", "y": 2}, "b": {"z": 3}}]
    chunks = [Chunk({"choices": [], "additional_kwargs": note}) for note in notes]
    assert fold(chunks).additional_kwargs == {"a": {"x": "1", "y": 2}, "b": {"z": 3}}
    assert chunks[0].additional_kwargs == {"a": {"x": "1"}}

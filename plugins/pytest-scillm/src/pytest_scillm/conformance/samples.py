"""One answer, told in two ways, for suites that need something to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen


@frozen(kw_only=True)
class Samples:
    """One answer of a provider, whole and as the frames of a stream.

    Attributes:
        text: What the answer says.
        whole: The body of the whole answer.
        parts: The bodies of the stream's events, without the end mark.
        completion_tokens: What the answer's usage tells.
    """

    text: str
    whole: Mapping[str, Any]
    parts: Sequence[Mapping[str, Any]]
    completion_tokens: int


def _chunk(**fields: Any) -> dict[str, Any]:
    top = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**top, **fields}


_USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
openai_samples = Samples(
    text="héllo \u2028 wörld",
    whole={
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "héllo \u2028 wörld"},
                "finish_reason": "stop",
            }
        ],
        "usage": _USAGE,
    },
    parts=[
        _chunk(
            choices=[
                {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
            ]
        ),
        _chunk(choices=[{"index": 0, "delta": {"content": "héllo \u2028"}, "finish_reason": None}]),
        _chunk(choices=[{"index": 0, "delta": {"content": " wörld"}, "finish_reason": None}]),
        _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]),
        _chunk(choices=[], usage=_USAGE),
    ],
    completion_tokens=2,
)
"""An answer in OpenAI's dialect."""

"""What one URL asks for, as a value."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

FLAGS = frozenset({"echo", "tool", "tools2", "reason", "refusal", "logprobs", "nousage", "rad"})

DIRTY_JSON: Mapping[str, str] = {
    "json1": '```json\n{"a": 1, "b": [1, 2, 3]}\n```',
    "json2": '{"a": 1, "b": [1, 2, 3,],}',
    "json3": '{"a": 1, "b": [1, 2, 3',
    "json4": 'Sure! Here is the JSON:\n{"a": 1, "b": [1, 2, 3]}\nHope it helps.',
}


@attrs.frozen
class Options:
    """What one URL asks for.

    Args:
        latency_s: seconds before the answer begins.
        jitter_s: latency varies by this much, up and down, in a fixed sequence.
        chunks: content chunks of a stream.
        gap_s: seconds between two chunks; 0 is one turn of the loop; `None` writes all at once.
        pause_s: seconds that the steps `slow` and `stall` wait where the former does.
        size_chars: characters of content; 0 is the standard text of 256.
        dirty: content that is nearly JSON; "" is none.
        choices: how many choices an answer has.
        flags: names out of `FLAGS`.
        script: steps, consumed one per request.
        every: each so-manieth request fails with `every_step`; 0 is never.
        every_step: the step for these.
        always: the step of a request for which neither says anything.
        redirect_to: host (and port) that redirects point to; "" is this endpoint.
        retry_headers: `retry-after` headers of error answers.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    chunks: int = 20
    gap_s: float | None = None
    pause_s: float = 2.0
    size_chars: int = 0
    dirty: str = ""
    choices: int = 1
    flags: frozenset[str] = frozenset()
    script: tuple[str, ...] = ()
    every: int = 0
    every_step: str = "ok"
    always: str = "ok"
    redirect_to: str = ""
    retry_headers: Mapping[str, str] = {}

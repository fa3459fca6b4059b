"""The kit's own tests of a provider."""

from __future__ import annotations

import scillm_anthropic
from pytest_scillm import ProviderConformance, Samples

USAGE = {"input_tokens": 3, "output_tokens": 1, "cache_read_input_tokens": 4}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "héllo \u2028 wörld"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {**USAGE, "output_tokens": 9},
}


class TestAnthropic(ProviderConformance):
    """Every standard test of a provider."""

    plugin, model = scillm_anthropic, "anthropic/claude"
    samples = Samples(
        text="héllo \u2028 wörld",
        whole=MESSAGE,
        parts=[
            {
                "type": "message_start",
                "message": {**MESSAGE, "content": [], "stop_reason": None, "usage": USAGE},
            },
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "text", "text": ""},
            },
            {"type": "ping"},
            *(
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "text_delta", "text": text},
                }
                for text in ("héllo \u2028", " wörld")
            ),
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 9},
            },
            {"type": "message_stop"},
        ],
        completion_tokens=9,
    )

"""The kit's own tests of a provider."""

from __future__ import annotations

import scillm_responses
from pytest_scillm import ProviderConformance, Samples

TEXT = "héllo \u2028 wörld"
PART = {"type": "output_text", "text": TEXT, "annotations": []}
ITEM = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "output": [{**ITEM, "content": [PART]}],
    "usage": {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 16,
    },
}
BEGUN = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}


class TestResponses(ProviderConformance):
    """Every standard test of a provider."""

    plugin, model = scillm_responses, "responses/gpt"
    samples = Samples(
        text=TEXT,
        whole=RESPONSE,
        parts=[
            {"type": "response.created", "response": BEGUN},
            {"type": "response.in_progress", "response": BEGUN},
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {**ITEM, "content": []},
            },
            *(
                {
                    "type": "response.output_text.delta",
                    "item_id": "msg_1",
                    "output_index": 0,
                    "content_index": 0,
                    "delta": text,
                    "logprobs": [],
                }
                for text in ("héllo \u2028", " wörld")
            ),
            {"type": "response.output_text.done", "output_index": 0, "text": TEXT},
            {
                "type": "response.output_item.done",
                "output_index": 0,
                "item": {**ITEM, "content": [PART]},
            },
            {"type": "response.completed", "response": RESPONSE},
            {"type": "keepalive"},
        ],
        completion_tokens=9,
    )

"""Answers that are JSON.

Read ``reading`` first: how JSON is found in a text. ``plugin`` applies it to answers, ``schemas``
validates them and makes instances, ``strict`` and ``hedged`` are helpers around ``completion``.
"""

from scillm_json_mode.plugin import InvalidJSON, JsonMode

__all__ = ["InvalidJSON", "JsonMode"]

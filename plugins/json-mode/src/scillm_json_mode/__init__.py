"""Answers that are JSON.

Read ``reading`` first: how JSON is found in a text. ``plugin`` applies it to answers, ``schemas``
validates them and makes instances, ``strict`` and ``hedged`` are helpers around ``completion``.
"""

from scillm_json_mode.checking import InvalidJSON
from scillm_json_mode.plugin import JsonMode

__all__ = ["InvalidJSON", "JsonMode"]

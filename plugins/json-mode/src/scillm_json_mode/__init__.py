"""Answers that are JSON.

Read ``reading`` first: how JSON is found in a text. ``plugin`` applies it to answers, ``schemas``
validates them and makes instances, ``strict`` and ``hedged`` are helpers around ``completion``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scillm_json_mode.plugin import JsonMode

if TYPE_CHECKING:
    from scillm_json_mode.checking import InvalidJSON

__all__ = ["InvalidJSON", "JsonMode"]


def __getattr__(name: str) -> Any:
    """Import the error when it is first asked for: most processes never look at any JSON."""
    if name != "InvalidJSON":
        raise AttributeError(f"module 'scillm_json_mode' has no attribute {name!r}")
    from scillm_json_mode.checking import InvalidJSON

    return InvalidJSON

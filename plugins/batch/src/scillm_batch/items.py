"""One unit of a run: what is asked, and its place in the input."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias

import msgspec
from attrs import field, frozen

from scillm import ScillmError
from scillm.doors import OPENAI_PARAMS

Operation: TypeAlias = Literal["chat", "embedding"]
Arguments: TypeAlias = Mapping[str, Any]

_ASKED = frozenset(
    {
        *OPENAI_PARAMS,
        "model",
        "custom_llm_provider",
        "messages",
        "input",
        "extra_body",
        "json_schema",
    }
)
"""Arguments that change the answer. Addresses, keys, deadlines and patience do not."""


class BatchError(ScillmError):
    """A run cannot begin, or cannot go on; nothing that was written is lost."""


@frozen(kw_only=True)
class Item:
    """One thing to ask.

    Attributes:
        id: Its name, which no other item of the run has.
        index: Its place among the items of the input, from 0.
        line: Its line in the input, from 1; 0 if it came from an iterator.
        arguments: Arguments of ``completion``, or of ``embedding``.
        operation: Which of the two.
        size_bytes: Length of its line, 0 if it came from elsewhere.
    """

    id: str
    index: int
    line: int = 0
    arguments: Arguments = field(repr=False)
    operation: Operation = "chat"
    size_bytes: int = field(default=0, eq=False)


@frozen(kw_only=True)
class BadLine:
    """A line of the input that is no item; it gets a row of its own, which says why.

    Attributes:
        index: Its place among the items of the input.
        line: Its line in the input, from 1.
        why: What is wrong with it.
    """

    index: int
    line: int
    why: str
    size_bytes: ClassVar[int] = 0

    @property
    def id(self) -> str:
        """A name for its row: ``"#17"`` for line 17."""
        return f"#{self.line or self.index}"


Entry: TypeAlias = Item | BadLine


def request_hash(arguments: Arguments, operation: str) -> str:
    """Return a digest of what is asked: 32 hexadecimal digits of SHA-256.

    It is the same in every process, and of nothing but what changes the answer: an address, a
    key or a deadline may be another when a run is resumed.

    Args:
        arguments: What is asked, defaults included.
        operation: ``"chat"`` or ``"embedding"``.
    """
    asked = {name: value for name, value in arguments.items() if name in _ASKED}
    text = _ENCODER.encode([operation, asked])
    return hashlib.sha256(text).hexdigest()[:32]


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    return repr(value)


_ENCODER = msgspec.json.Encoder(order="sorted", enc_hook=_plain)

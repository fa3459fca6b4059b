"""Which messages of a long conversation are sent: whole steps, the latest first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]


def sent(messages: Sequence[Message], *, most: int, most_chars: int) -> list[Message]:
    """Return what is sent of *messages*.

    System messages, the last message of the user and the last step are always sent, even where
    they are longer than that. A tool call and its results are one step, kept or left out
    together, since no host takes one without the other.

    Args:
        messages: The conversation.
        most: The most messages.
        most_chars: The most characters, counted as JSON.
    """
    steps = _steps(messages)
    last_user = max((n for n, m in enumerate(messages) if m.get("role") == "user"), default=-1)
    kept = {
        place
        for place, step in enumerate(steps)
        if place == len(steps) - 1 or last_user in step or _is_system(messages[step[0]])
    }
    count = sum(len(steps[place]) for place in kept)
    chars = sum(_chars(messages, steps[place]) for place in kept)
    for place in reversed(range(len(steps))):
        if place in kept:
            continue
        count += len(steps[place])
        chars += _chars(messages, steps[place])
        if count > most or chars > most_chars:
            break
        kept.add(place)
    return [messages[n] for place in sorted(kept) for n in steps[place]]


def _steps(messages: Sequence[Message]) -> list[list[int]]:
    """Return the places of messages, those of a tool call and its results together."""
    steps: list[list[int]] = []
    for place, message in enumerate(messages):
        if message.get("role") == "tool" and steps:
            steps[-1].append(place)
        else:
            steps.append([place])
    return steps


def _is_system(message: Message) -> bool:
    return message.get("role") in ("system", "developer")


def _chars(messages: Sequence[Message], step: Sequence[int]) -> int:
    return sum(len(json.dumps(messages[n], ensure_ascii=False, default=str)) for n in step)

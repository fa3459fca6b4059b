"""What a model says before its answer: told apart by tags, unless they stand within JSON."""

from __future__ import annotations

import re

from scillm_json_mode.scanning import Within

_TAG = re.compile(
    r"<(/?)(think|thinking|thought|reasoning|reflection)\b[^<>]{0,200}>"
    r"|\[(/?)(THINK)\]|<\|channel\|>(?P<channel>\w+)<\|message\|>",
    re.IGNORECASE,
)
_ANSWER = re.compile(r"\s*(?:[{\[]|```)")


def answer_in(text: str) -> str:
    """Return what is no reasoning: nothing, if that never ends; all, if there are no tags."""
    tags = list(_TAG.finditer(text))
    if not tags:
        return text
    within = Within(text)
    parts: list[str] = []
    begun, opened = 0, ""
    for tag in tags:
        name = tag[2] or tag[4] or "channel"
        is_closing = bool(tag[1] or tag[3]) if name != "channel" else tag["channel"] == "final"
        # In broken JSON a tag is one of its strings, unless an answer begins right behind it.
        is_text = within.broken(tag.start()) and not (is_closing and _ANSWER.match(text, tag.end()))
        if within.whole(tag.start()) or is_text:
            continue
        if is_closing:
            if opened in ("", name.lower()):
                parts = parts if opened else []
                begun, opened = tag.end(), ""
        elif not opened:
            parts.append(text[begun : tag.start()])
            opened = name.lower()
    return "".join(parts if opened else [*parts, text[begun:]])

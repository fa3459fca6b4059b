"""What ``scillm.extras.multi_agents`` lends: many answers, or many programs, and a judge.

Everything here was said by a model in a call that was made; nothing is invented where one fails.
"""

from __future__ import annotations

from typing import Any

from scillm_codex_agent.programs import (
    aanswer_code_autogen_and_judge_codex_only,
    answer_code_autogen_and_judge_codex_only,
)
from scillm_codex_agent.texts import aanswer_text_multi, answer_text_multi
from scillm_codex_agent.verdicts import JudgeError, NobodyAnswered, UnusableAnswer

__all__ = [
    "JudgeError",
    "NobodyAnswered",
    "UnusableAnswer",
    "aanswer_code_autogen_and_judge_codex_only",
    "aanswer_text_multi",
    "answer_code_autogen_and_judge_codex_only",
    "answer_text_multi",
]


def __getattr__(name: str) -> Any:
    """Look for what other plugins add to this module: they lend it as ``extras.<name>``.

    Raises:
        AttributeError: None does.
    """
    if not name.startswith("__"):
        import scillm.extras

        try:
            return getattr(scillm.extras, name)
        except AttributeError:
            pass
    raise AttributeError(
        f"module 'scillm.extras.multi_agents' has no attribute {name!r}, and no installed plugin "
        f"lends 'extras.{name}'",
        name=name,
    )

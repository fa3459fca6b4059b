"""Codex-Cloud: deprecated, and disabled. There is no public, stable API of its tasks."""

from __future__ import annotations

from scillm_codex_agent import ENABLE_CLOUD, EXPERIMENTAL_CLOUD


def __getattr__(name: str) -> object:
    """Refuse every helper, until both variables are set; then say that there is none."""
    if name.startswith(("_", "scillm_")):  # what the import system and pluggy ask a module for
        raise AttributeError(name)
    if not (ENABLE_CLOUD.value() and EXPERIMENTAL_CLOUD.value()):
        raise RuntimeError(
            "codex_cloud is deprecated and disabled: there is no public, stable API of its tasks. "
            "Use codex-agent, or your gateway. To opt in at your own risk set both "
            f"{ENABLE_CLOUD.variable}=1 and {EXPERIMENTAL_CLOUD.variable}=1"
        )
    raise AttributeError(
        f"codex_cloud has no {name!r}: SciLLM brings no helper of it, enabled or not"
    )

"""Codex-Cloud: deprecated, and disabled. There is no public, stable API of its tasks."""

from __future__ import annotations

from scillm import Setting

ENABLE = Setting(
    name="ENABLE_CODEX_CLOUD", default=False, help="one of two yeses that codex_cloud asks for"
)
EXPERIMENTAL = Setting(name="EXPERIMENTAL_CODEX_CLOUD", default=False, help="the other of the two")


def __getattr__(name: str) -> object:
    """Refuse every helper, until both variables are set; then say that there is none."""
    if name.startswith("__"):  # what the import system asks a module for
        raise AttributeError(name)
    if not (ENABLE.value() and EXPERIMENTAL.value()):
        raise RuntimeError(
            "codex_cloud is deprecated and disabled: there is no public, stable API of its tasks. "
            "Use codex-agent, or your gateway. To opt in at your own risk set both "
            f"{ENABLE.variable}=1 and {EXPERIMENTAL.variable}=1"
        )
    raise AttributeError(
        f"codex_cloud has no {name!r}: SciLLM brings no helper of it, enabled or not"
    )

"""Doors to what plugins lend: ``scillm.extras.<name>`` is what a plugin names so."""

from scillm import _exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def __getattr__(name: str) -> "Any":
    """Load a name that a plugin lends as ``extras.<name>``."""
    return _exports.load(f"extras.{name}")

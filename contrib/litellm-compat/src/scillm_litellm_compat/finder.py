"""Imports below ``litellm``: its extras are ours, and what is not served says so."""

from __future__ import annotations

import sys

from scillm_litellm_compat.names import MODULES, missing

TYPE_CHECKING = False  # spelled so that importing typing is not paid for here
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class Finder:
    """Finds ``litellm.extras[.<name>]`` as ``scillm.extras[.<name>]``; refuses other modules.

    It comes first on the path, so that files which another distribution left in the folder
    ``litellm`` are never loaded in between ours.
    """

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load the module *fullname*, or None if it is not below ``litellm``.

        Raises:
            ImportError: It is, and there is no such module.
        """
        package, _, rest = fullname.partition(".")
        if package != "litellm" or not rest:
            return None
        leaf = rest.partition(".")[0]
        if leaf not in MODULES:
            # Not ModuleNotFoundError: `from litellm import X` swallows that, and the hint with it.
            raise ImportError(missing(leaf), name=fullname)
        if leaf != "extras":
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(fullname, Alias(f"scillm.{rest}"))  # type: ignore[arg-type]


class Alias:
    """Loads a module under a second name: one module object, its own ``__spec__`` kept."""

    def __init__(self, target: str) -> None:
        self.target = target

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module that is aliased."""
        from importlib import import_module

        module = import_module(self.target)
        self.spec = module.__spec__  # importlib is about to overwrite it
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Put the module's own spec back; it has run already."""
        module.__spec__ = self.spec


def install() -> None:
    """Put the finder on the import path, once."""
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)

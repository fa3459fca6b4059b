"""Names that plugins lend to ``scillm``: one entry-point group, no plugin known here.

``Mine = "scillm_mine:Mine"`` makes ``from scillm import Mine`` work, and
``"extras.mine" = "scillm_mine.extras"`` makes ``from scillm.extras.mine import chat``.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # spelled so that importing typing is not paid for here
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from importlib.metadata import EntryPoint
    from types import ModuleType
    from typing import Any

GROUP = "scillm.exports"
KNOWN = "scillm.known"  # what others would lend, told by a distribution that has a list of them
_read: dict[str, list[EntryPoint]] = {}


def _entries(group: str) -> list[EntryPoint]:
    """Return the entry points of a group; read once per process."""
    if group not in _read:
        from importlib.metadata import entry_points

        _read[group] = list(entry_points(group=group))
    return _read[group]


def lent() -> set[str]:
    """Return the names that plugins lend and that are not blocked."""
    return {entry.name for entry in _entries(GROUP) if not _withheld(entry)}


def _lent(name: str) -> EntryPoint | None:
    """Return who lends *name*, or None.

    Raises:
        ImportError: Two distributions do, and differ.
    """
    entries = [entry for entry in _entries(GROUP) if entry.name == name]
    if len({entry.value for entry in entries}) > 1:
        lenders = " and ".join(f"{_dist(entry)} ({entry.value})" for entry in entries)
        raise ImportError(
            f"two installed distributions lend {name!r}: {lenders}; uninstall one of them"
        )
    return entries[0] if entries else None


def load(name: str) -> Any:
    """Return what a plugin lends as ``scillm.<name>``.

    Raises:
        AttributeError: None does, or the one that does is blocked.
    """
    entry = None if name.startswith("_") else _lent(name)
    if entry is None or _withheld(entry):
        raise AttributeError(_missing(name), name=name)
    return entry.load()


def _dist(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown distribution"


def _withheld(entry: EntryPoint) -> str:
    """Return why the distribution that lends *entry* is blocked, or ``""``."""
    from scillm.settings import why_blocked

    for plugin in _entries("scillm.plugins"):
        # The name of a distribution is slow to read: only what is blocked is worth it.
        if (why := why_blocked(plugin.name)) and _dist(plugin) == _dist(entry):
            return why
    return ""


def _missing(name: str) -> str:
    """Say why there is no ``scillm.<name>``: blocked, not installed, or misspelt."""
    if name.startswith("_"):
        return f"module 'scillm' has no attribute {name!r}"
    entry = _lent(name)
    if entry is not None:
        return f"'scillm.{name}' is lent by {_dist(entry)}, which is {_withheld(entry)}"
    known = {entry.name: entry.module for entry in _entries(KNOWN)}
    if name in known:
        dist = known[name].partition(".")[0].replace("_", "-")
        return f"'scillm.{name}' comes with the distribution {dist!r}, which is not installed"
    from scillm.errors import hint

    parent, _, leaf = name.rpartition(".")
    names = (each.rpartition(".") for each in {*sys.modules["scillm"].__all__, *lent(), *known})
    near = hint(leaf, [each[2] for each in names if each[0] == parent])
    return f"there is no 'scillm.{name}', of scillm's own or lent by an installed plugin. {near}"


class ExtrasFinder:
    """Finds ``scillm.extras.<name>[.<sub>]`` in the module that its plugin names."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("scillm.extras."):
            return None
        name, _, sub = fullname[len("scillm.extras.") :].partition(".")
        entry = _lent(f"extras.{name}")
        if entry is None or _withheld(entry):
            raise ImportError(_missing(f"extras.{name}"), name=fullname)
        from importlib.machinery import ModuleSpec

        return ModuleSpec(fullname, _Alias(f"{entry.value}.{sub}" if sub else entry.value))  # type: ignore[arg-type]


class HintFinder:
    """Last on the path: says why a ``scillm.<name>`` is missing."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        package, _, leaf = fullname.rpartition(".")
        if package == "scillm" and not leaf.startswith("_"):
            # Not ModuleNotFoundError: `from scillm import X` swallows that, and the hint with it.
            raise ImportError(_missing(leaf), name=fullname)


class _Alias:
    """Loads a module under a second name: one module object, its own ``__spec__`` kept."""

    def __init__(self, target: str) -> None:
        self.target = target

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        from importlib import import_module

        module = import_module(self.target)
        self.spec = module.__spec__  # importlib is about to overwrite it
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


def install() -> None:
    """Put both finders on the import path; called once, by ``import scillm``."""
    sys.meta_path.insert(0, ExtrasFinder)  # before PathFinder, which would load a sub twice
    sys.meta_path.append(HintFinder)

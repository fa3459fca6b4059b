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
_table: dict[str, list[EntryPoint]] | None = None


def table() -> dict[str, list[EntryPoint]]:
    """Return what is lent, by name; read once per process."""
    global _table  # noqa: PLW0603  # one table per process, read when first needed
    if _table is None:
        from importlib.metadata import entry_points

        found: dict[str, list[EntryPoint]] = {}
        for entry in entry_points(group=GROUP):
            found.setdefault(entry.name, []).append(entry)
        _table = found
    return _table


def _lent(name: str) -> EntryPoint | None:
    """Return who lends *name*, or None.

    Raises:
        ImportError: Two distributions do, and differ.
    """
    entries = table().get(name, [])
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
    entry = None if name.startswith("__") else _lent(name)
    if entry is None:
        raise AttributeError(f"module 'scillm' has no attribute {name!r}", name=name)
    if why := _withheld(entry):
        raise AttributeError(f"'scillm.{name}' is lent by {_dist(entry)}, {why}", name=name)
    return entry.load()


def _dist(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown distribution"


def _withheld(entry: EntryPoint) -> str:
    """Return why the distribution that lends *entry* is blocked, or ``""``."""
    from importlib.metadata import entry_points

    from scillm.settings import why_blocked

    if entry.dist is None:
        return ""
    mine = (
        e for e in entry_points(group="scillm.plugins") if e.dist and e.dist.name == entry.dist.name
    )
    return next((why for e in mine if (why := why_blocked(e.name))), "")


def _missing(what: str, leaf: str) -> ImportError:
    dist = f"scillm-{leaf.lower().replace('_', '-')}"
    entry = _lent(what.removeprefix("scillm."))
    if entry is not None and (why := _withheld(entry)):
        return ImportError(f"{what!r} is lent by {_dist(entry)}, which is {why}", name=what)
    # Not ModuleNotFoundError: `from scillm import X` swallows that, and the hint with it.
    return ImportError(
        f"no installed plugin provides {what!r}; by convention it comes with the distribution "
        f"{dist!r}: try `pip install {dist}`, and `scillm plugins` to see what is installed",
        name=what,
    )


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
            raise _missing(f"scillm.extras.{name}", name)
        from importlib.machinery import ModuleSpec

        return ModuleSpec(fullname, _Alias(f"{entry.value}.{sub}" if sub else entry.value))  # type: ignore[arg-type]


class HintFinder:
    """Last on the path: says which distribution a missing ``scillm.<name>`` comes with."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        package, _, leaf = fullname.rpartition(".")
        if package == "scillm" and not leaf.startswith("_"):
            raise _missing(fullname, leaf)


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

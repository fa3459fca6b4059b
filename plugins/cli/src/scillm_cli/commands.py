"""Which commands there are, and why one cannot be used; reads files, imports nothing of them.

A command is an entry point of the group ``scillm.commands``. Its first line of help is read
out of its module's source, so that ``scillm --help`` does not pay for what it does not run.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

GROUP = "scillm.commands"
_OWN = "scillm_cli."


class Found:
    """One command of one distribution. A plain class: attrs would be a fifth of the start-up.

    Args:
        entry: Its entry point.
    """

    def __init__(self, entry: EntryPoint) -> None:
        self.entry = entry

    @cached_property
    def reason(self) -> str:
        """Why it cannot be used, or ``""``; set anew by whoever imports it and fails."""
        try:
            return "" if _is_own(self.entry) else _blocked(self.entry)
        except ValueError as error:  # a variable that blocks is neither yes nor no
            return str(error)

    @property
    def name(self) -> str:
        """The word to type."""
        return self.entry.name

    @property
    def dist(self) -> str:
        """Distribution and version that brings it."""
        return f"{self.entry.dist.name} {self.entry.dist.version}" if self.entry.dist else "?"

    @cached_property
    def described(self) -> tuple[str, str]:
        """Its first line of help, ``""`` if only importing would tell; and why it would fail."""
        try:
            tree = ast.parse(_source(self.entry.module).read_text(encoding="utf-8"))
            return _help(tree, self.entry.attr), _missing(tree)
        except ImportError as error:
            return "", f"failed: {error}"
        except (OSError, SyntaxError, ValueError):
            return "", ""  # importing it will tell


def found() -> dict[str, Found]:
    """Return every command by name, those of this distribution first."""
    entries = sorted(entry_points(group=GROUP), key=lambda entry: not _is_own(entry))
    commands: dict[str, Found] = {}
    for entry in entries:
        commands.setdefault(entry.name, Found(entry))
    return commands


def _is_own(entry: EntryPoint) -> bool:
    return entry.value.startswith(_OWN)


def _blocked(entry: EntryPoint) -> str:
    """Return why the plugin that comes with a command is blocked, or ``""``."""
    from scillm.settings import why_blocked

    mine = (
        plugin.name
        for plugin in entry_points(group="scillm.plugins")
        if entry.dist and plugin.dist and plugin.dist.name == entry.dist.name
    )
    return next((why for name in mine if (why := why_blocked(name))), "")


def _source(module: str) -> Path:
    """Return the file of a module without importing its package.

    Raises:
        ImportError: There is no such top-level package.
    """
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        raise ImportError(f"no module named {top!r}")
    if not rest:
        return Path(spec.origin or "")
    paths = [Path(folder, *rest) for folder in spec.submodule_search_locations or ()]
    files = [file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py")]
    return next((file for file in files if file.is_file()), Path(module))


def _help(tree: ast.Module, function: str) -> str:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def _missing(tree: ast.Module) -> str:
    """Return why an import at the top of a module fails, or ``""``, without importing it."""
    absent = (name for name in _imported(tree) if importlib.util.find_spec(name) is None)
    return next((f"failed: no module named {name!r}" for name in absent), "")


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]

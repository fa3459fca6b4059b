"""What stands in this checkout: every distribution, found by globbing, read from its own folder.

``toxfile.py``, ``generate.py`` and the tests of the architecture ask here, so nothing else
lists a plugin. Standard library only (``tomli`` on Python 3.10): it runs before any install.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
HOMES = ("kernel", "plugins/*", "contrib/*")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, eq=False)
class Dist:
    """One distribution: a folder that has a ``pyproject.toml``."""

    root: Path
    folder: Path
    pyproject: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """The distribution's name, normalised."""
        return normalised(self.project["name"])

    @property
    def project(self) -> dict[str, Any]:
        """The ``[project]`` table."""
        table: dict[str, Any] = self.pyproject["project"]
        return table

    @property
    def path(self) -> str:
        """The folder as written from the root, such as ``plugins/http``."""
        return self.folder.relative_to(self.root).as_posix()

    @property
    def requires(self) -> tuple[str, ...]:
        """The names of the distributions that it declares, extras of its own left out."""
        return tuple(map(requirement_name, self.project.get("dependencies", ())))

    @property
    def optional(self) -> tuple[str, ...]:
        """The names of the distributions that its extras declare."""
        extras = self.project.get("optional-dependencies", {}).values()
        return tuple(requirement_name(line) for extra in extras for line in extra)

    @property
    def test_requirements(self) -> tuple[str, ...]:
        """The lines of its ``[dependency-groups] test``: what its tests need besides."""
        lines = self.pyproject.get("dependency-groups", {}).get("test", ())
        return tuple(line for line in lines if isinstance(line, str))

    @property
    def tested_with(self) -> tuple[str, ...]:
        """The names of what its tests need besides."""
        return tuple(map(requirement_name, self.test_requirements))

    @property
    def packages(self) -> tuple[str, ...]:
        """The import packages under ``src/``; none for a distribution of stubs."""
        found = (path.parent.name for path in self.folder.glob("src/*/__init__.py"))
        return tuple(sorted(found))

    @property
    def is_default(self) -> bool:
        """Whether ``pip install scillm`` brings it: ``[tool.scillm] is_default = true``."""
        return bool(self.pyproject.get("tool", {}).get("scillm", {}).get("is_default", False))

    @property
    def is_plugin(self) -> bool:
        """Whether it adds anything to ``scillm`` by itself; a library is only imported."""
        groups = set(self.project.get("entry-points", {})) - {"scillm.known"}  # tells of others
        return any(group.startswith("scillm.") for group in groups)

    @property
    def has_tests(self) -> bool:
        """Whether its folder has tests."""
        return any(self.folder.glob("tests/**/test_*.py"))

    @property
    def hooks(self) -> str:
        """The group of entry points by which others extend it: ``[tool.scillm] hooks = "..."``."""
        return str(self.pyproject.get("tool", {}).get("scillm", {}).get("hooks", ""))

    def entry_points(self, group: str) -> dict[str, str]:
        """Return its entry points of one group, object references by name."""
        table: dict[str, str] = self.project.get("entry-points", {}).get(group, {})
        return table


def normalised(name: str) -> str:
    """Return a distribution's name as indexes compare it: lower case, single hyphens."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    """Return the name at the head of a requirement such as ``httpx[http2]>=0.28``."""
    found = _NAME.match(requirement.strip())
    if found is None:
        raise ValueError(f"{requirement!r} is no requirement: it does not begin with a name")
    return normalised(found[0])


def read(folder: Path, root: Path = ROOT) -> Dist:
    """Read one folder's distribution."""
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    return Dist(root, folder, tomllib.loads(text))


def find(root: Path = ROOT) -> dict[str, Dist]:
    """Read every distribution but the root's own, by name: the kernel first, then by path."""
    folders = [path for home in HOMES for path in sorted(root.glob(f"{home}/pyproject.toml"))]
    return {dist.name: dist for dist in (read(path.parent, root) for path in folders)}


def closure(dists: dict[str, Dist], *names: str) -> list[Dist]:
    """Return the named distributions and all of ours that they require, in the order of *dists*."""
    wanted, todo = set[str](), list(names)
    while todo:
        name = todo.pop()
        if name in dists and name not in wanted:
            wanted.add(name)
            todo += dists[name].requires
    return [dist for dist in dists.values() if dist.name in wanted]

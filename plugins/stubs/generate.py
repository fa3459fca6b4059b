"""Write what follows from the plugins' own folders, or say what is out of date.

Four things are generated, and committed so that an install needs no extra step:

* ``src/scillm-stubs/``: the names that plugins lend (``scillm.exports``), for editors and
  type checkers, beside the kernel's own names, which a partial stub would otherwise hide;
* the marked region of ``plugins/stubs/pyproject.toml``: the same names as entry points, so that
  an error can tell which distribution a missing one comes with;
* the marked regions of the root ``pyproject.toml``: its dependencies, extras and sources;
* the table of distributions in the root ``README.md``, from their descriptions.

``python plugins/stubs/generate.py`` writes all; with ``--check`` it writes nothing and fails
if a file differs.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import workspace
from workspace import Dist

STUBS = "plugins/stubs/src/scillm-stubs"
PYPROJECT = "plugins/stubs/pyproject.toml"
COMMAND = "python plugins/stubs/generate.py"
HEADER = f"# Written by `{COMMAND}`; do not edit.\n"


def stub_files(root: Path, dists: dict[str, Dist]) -> dict[Path, str]:
    """Return the stub package's files and their text.

    An export that names an object becomes a line in the stub of the module that lends it; one
    that names a module becomes a stub of its own that passes everything on.
    """
    folder = root / STUBS
    lines = defaultdict(list, {"": own_names(root), "extras": []})
    modules: dict[str, str] = {}
    for name, value in lent(dists).items():
        parent, _, leaf = name.rpartition(".")
        module, _, attribute = value.partition(":")
        if attribute:
            lines[parent].append(f"from {module} import {attribute} as {leaf}")
        else:
            modules[name] = f"from {module} import *\n"
    files = {folder / "py.typed": "partial\n"}
    for package, content in lines.items():
        text = "".join(f"{line}\n" for line in sorted(content))
        files[folder.joinpath(*package.split("."), "__init__.pyi")] = HEADER + text
    for name, text in modules.items():
        files[folder.joinpath(*name.split(".")).with_suffix(".pyi")] = HEADER + text
    return files


def lent(dists: dict[str, Dist]) -> dict[str, str]:
    """Return every name that a first-party plugin lends, with the object that it stands for.

    Raises:
        SystemExit: Two distributions lend one name.
    """
    found: dict[str, str] = {}
    for dist in first_party(dists):
        for name, value in dist.entry_points("scillm.exports").items():
            if found.setdefault(name, value) != value:
                sys.exit(f"{dist.path} lends {name!r} as {value!r}, another as {found[name]!r}")
    return dict(sorted(found.items()))


def stubs_pyproject(root: Path, dists: dict[str, Dist]) -> str:
    """Return the stubs' own ``pyproject.toml`` with its marked region written anew."""
    lines = [f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in lent(dists).items()]
    table = '[project.entry-points."scillm.known"]\n'
    return _replaced(_read(root / PYPROJECT), "known", "".join([table, *lines]))


def own_names(root: Path) -> list[str]:
    """Return the kernel's public names: what its ``__init__`` imports for type checkers."""
    text = (root / "kernel/src/scillm/__init__.py").read_text(encoding="utf-8")
    body = ast.parse(text).body
    blocks = [n.body for n in body if isinstance(n, ast.If) and _is_type_checking(n.test)]
    imports = [n for block in blocks for n in block if isinstance(n, ast.ImportFrom)]
    own = [ast.unparse(n) for n in imports if (n.module or "").startswith("scillm.")]
    return [*own, "__version__: str"]


def _is_type_checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def first_party(dists: dict[str, Dist]) -> list[Dist]:
    """Return the distributions under ``plugins/``."""
    return [dist for dist in dists.values() if dist.path.startswith("plugins/")]


def root_pyproject(root: Path, dists: dict[str, Dist]) -> str:
    """Return the root ``pyproject.toml`` with its marked regions written anew."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    own = workspace.read(root, root)
    version = own.project["version"]
    chosen = [name for name, dist in dists.items() if dist.is_default]
    defaults = workspace.closure(dists, "scillm-kernel", *chosen)
    regions = {
        "dependencies": {"dependencies": _pins(defaults, version)},
        "extras": extras(own, dists, defaults),
        "workspace": {"workspace": [*dists, *tests_need(dists)]},
    }
    blocks = {name: _toml(table) for name, table in regions.items()}
    blocks["sources"] = "".join(
        f"{name} = {{ path = {json.dumps(dist.path)}, editable = true }}\n"
        for name, dist in dists.items()
    )
    for name, block in blocks.items():
        text = _replaced(text, name, block)
    return text


def readme(root: Path, dists: dict[str, Dist]) -> str:
    """Return the root ``README.md`` with its table of distributions written anew."""
    rows = ["| distribution | what it is |", "|---|---|"]
    for dist in dists.values():
        about = dist.project["description"].rstrip(".")
        rows.append(f"| [`{dist.name}`]({dist.path}/README.md) | {about} |")
    block = "".join(f"{row}\n" for row in ["", *rows, ""])  # Markdown wants the blank lines
    text = _read(root / "README.md")
    return _replaced(text, "distributions", block, begin="<!-- ", end=" -->")


def extras(own: Dist, dists: dict[str, Dist], defaults: list[Dist]) -> dict[str, list[str]]:
    """Return the root's extras: one per first-party folder that is not default, `all`, `dev`.

    Each names also what of ours it brings, so that ``tool.uv.sources`` finds it in a checkout.
    """
    version = own.project["version"]
    named = {}
    for dist in first_party(dists):
        if dist not in defaults:
            brought = [d for d in workspace.closure(dists, dist.name) if d not in defaults]
            named[dist.folder.name] = _pins(brought, version)
    plugins = [d.name for d in first_party(dists) if d.is_plugin]
    brought = [d for d in workspace.closure(dists, *plugins) if d not in defaults]
    tools = dict.fromkeys(_flat(own.pyproject["dependency-groups"], "dev", without="workspace"))
    dev = dict.fromkeys((*_pins(list(dists.values()), version), *tools, *tests_need(dists)))
    return {**named, "all": _pins(brought, version), "dev": [*dev]}


def tests_need(dists: dict[str, Dist]) -> list[str]:
    """Return what the folders' tests need of other people's distributions."""
    lines = (line for dist in dists.values() for line in dist.test_requirements)
    return sorted({line for line in lines if workspace.requirement_name(line) not in dists})


def _flat(groups: dict[str, list[Any]], name: str, *, without: str) -> list[str]:
    """Return a dependency group's lines, the groups that it includes laid open."""
    lines: list[str] = []
    for line in groups[name]:
        if isinstance(line, str):
            lines.append(line)
        elif (included := line["include-group"]) != without:
            lines += _flat(groups, included, without=without)
    return lines


def _pins(dists: list[Dist], version: str) -> list[str]:
    return [f"{dist.name}=={version}" for dist in dists]


def _toml(table: dict[str, list[str]]) -> str:
    """Write lists of strings as TOML, one item a line; a JSON string is a TOML string."""
    lines: list[str] = []
    for name, items in table.items():
        lines += [f"{name} = [", *(f"  {json.dumps(item)}," for item in items), "]"]
    return "".join(f"{line}\n" for line in lines)


def _replaced(text: str, region: str, block: str, *, begin: str = "# ", end: str = "") -> str:
    """Return *text* with one region written anew; *begin* and *end* make its marks comments."""
    first, last = (
        f"{begin}{words}{end}\n"
        for words in (f"begin {region}: written by `{COMMAND}`", f"end {region}")
    )
    pattern = re.compile(re.escape(first) + ".*?" + re.escape(last), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        sys.exit(f"there is no region {region!r}: it needs the lines {first!r}, {last!r}")
    return pattern.sub(lambda _: first + block + last, text)


def stale(root: Path, files: dict[Path, str]) -> list[str]:
    """Return the paths that are absent, differ, or stand in the stub package by mistake."""
    differing = [p for p, text in files.items() if not p.is_file() or _read(p) != text]
    stray = [path for path in (root / STUBS).rglob("*.pyi") if path not in files]
    return sorted(path.relative_to(root).as_posix() for path in differing + stray)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def write(root: Path, files: dict[Path, str]) -> None:
    """Write the files, and remove stubs that no plugin asks for any more."""
    for path in (root / STUBS).rglob("*.pyi"):
        if path not in files:
            path.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def main(arguments: list[str], root: Path = workspace.ROOT) -> int:
    """Write or check everything; return the process's exit status."""
    dists = workspace.find(root)
    files = stub_files(root, dists)
    files[root / "pyproject.toml"] = root_pyproject(root, dists)
    files[root / PYPROJECT] = stubs_pyproject(root, dists)
    files[root / "README.md"] = readme(root, dists)
    out_of_date = stale(root, files)
    if "--check" in arguments:
        for path in out_of_date:
            print(f"{path} is out of date: run `{COMMAND}`")
        return int(bool(out_of_date))
    write(root, files)
    for path in out_of_date:
        print("wrote" if (root / path).exists() else "removed", path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

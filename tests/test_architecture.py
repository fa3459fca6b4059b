"""Who may know whom, in every distribution; nothing here names a plugin without a reason."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, packages_distributions
from pathlib import Path

import pytest

import workspace
from workspace import Dist, normalised, requirement_name

ROOT = workspace.ROOT
DISTS = workspace.find()
KERNEL = DISTS["scillm-kernel"]
PLUGINS = [dist for dist in DISTS.values() if dist is not KERNEL]
VERSION = workspace.read(ROOT).project["version"]

# The transport that is always there: a provider may bring it along, and never imports it.
BROUGHT_ALONG = "scillm-http"

# Folders and providers whose names are also words that the kernel has every reason to say.
ORDINARY_WORDS = {
    "auth",
    "cache",
    "cli",
    "dialects",
    "echo",
    "http",
    "local",
    "openai",
    "pacing",
    "retry",
    "router",
    "stubs",
    "together",
    "transport",
}

# Where os.environ may be read besides the kernel's settings, and why.
READS_ENVIRONMENT: dict[str, str] = {
    "plugins/codex-agent/src/scillm_codex_agent/ensuring.py": "names the agent that it found",
    "plugins/codex-sidecar/src/scillm_codex_sidecar/command.py": "what a command may know",
}

# What each folder has.
COMMON_ENTRIES = ("pyproject.toml", "README.md", "src/*/py.typed", "tests/**/test_*.py")

MACHINE = re.compile(
    r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+)/"
    r"|pypi[.]org|pythonhosted[.]org|npmjs[.](?:org|com)|deb[.]debian[.]org"
    r"|--(?:extra-)?index-url|/simple/?['\"]"
)

every_dist = pytest.mark.parametrize("dist", DISTS.values(), ids=lambda dist: dist.path)
every_plugin = pytest.mark.parametrize("dist", PLUGINS, ids=lambda dist: dist.path)


def owners() -> dict[str, set[str]]:
    """Which distributions provide each top-level module; editable installs do not tell."""
    found = {m: set(map(normalised, names)) for m, names in packages_distributions().items()}
    return found | {package: {dist.name} for dist in DISTS.values() for package in dist.packages}


def sources(dist: Dist) -> list[Path]:
    """Every Python file that the distribution ships."""
    return sorted(dist.folder.glob("src/**/*.py"))


def tree(source: Path) -> ast.Module:
    """Parse one file."""
    return ast.parse(source.read_text(encoding="utf-8"), str(source))


def imports(source: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports anywhere, under TYPE_CHECKING too, with the line."""
    for node in ast.walk(tree(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def at(source: Path, line: int) -> str:
    """Say where, as an editor can open it."""
    return f"{source.relative_to(ROOT).as_posix()}:{line}"


def is_library(dist: Dist) -> bool:
    """Whether it is only imported: it answers no hook."""
    return not dist.entry_points("scillm.plugins")


@every_dist
def test_a_distribution_imports_only_what_it_declares(dist: Dist) -> None:
    """An import that works only because something else was installed is a bug at a user's."""
    owned_by = owners()
    allowed = {dist.name, *dist.requires, *dist.optional}

    undeclared = [
        f"{at(source, line)} imports {name}, which {dist.name} does not declare"
        for source in sources(dist)
        for name, line in imports(source)
        if (top := name.partition(".")[0]) not in sys.stdlib_module_names
        and not owned_by.get(top, {normalised(top)}) & allowed
    ]

    assert undeclared == []


@every_plugin
def test_a_plugin_leaves_the_kernels_private_modules_alone(dist: Dist) -> None:
    """What begins with an underscore may change without a word."""
    private = [
        f"{at(source, line)} imports {name}"
        for source in sources(dist)
        for name, line in imports(source)
        if re.match(r"scillm\.(\w+\.)*_[a-z]", name)
    ]

    assert private == []


@every_dist
def test_a_distribution_depends_on_the_kernel_and_on_libraries_alone(dist: Dist) -> None:
    """No plugin stands on a sibling; a provider may bring the usual transport along."""
    ours = {DISTS[name] for name in (*dist.requires, *dist.optional) if name in DISTS}
    siblings = {other.name for other in ours if not is_library(other)} - {dist.name}
    imported = {name.partition(".")[0] for s in sources(dist) for name, _ in imports(s)}
    brought = set() if imported & set(DISTS[BROUGHT_ALONG].packages) else {BROUGHT_ALONG}

    assert dist is not KERNEL or not ours
    assert siblings - brought == set()


def test_the_kernel_names_no_plugin() -> None:
    """It knows neither their packages nor their providers, in code or in prose."""
    names = {name for d in PLUGINS for name in (d.name, d.folder.name, *d.packages)}
    names = (names | provider_names()) - ORDINARY_WORDS
    said = re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(names, key=len, reverse=True))})(?![\w-])")

    found = [
        f"{at(source, number)} says {match[0]!r}"
        for source in sources(KERNEL)
        for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1)
        for match in said.finditer(line)
    ]

    assert found == []


def provider_names() -> set[str]:
    """The providers that plugins answer for."""
    group = "scillm.plugins"
    lines = [line for dist in PLUGINS for line in dist.entry_points(group).items()]
    plugins = [EntryPoint(name, value, group).load() for name, value in lines]
    return {name for plugin in plugins for name in getattr(plugin, "PROVIDERS", ())}


def targets(node: ast.Assign | ast.AnnAssign) -> set[str]:
    """The plain names that an assignment binds."""
    found = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {target.id for target in found if isinstance(target, ast.Name)}


@every_dist
def test_every_folder_has_the_same_entries(dist: Dist) -> None:
    """Whoever knows one plugin's folder knows all of them."""
    absent = [entry for entry in COMMON_ENTRIES if not any(dist.folder.glob(entry))]
    untyped = [package for package in dist.packages if not typed(dist, package)]

    assert absent == []
    assert untyped == []


def typed(dist: Dist, package: str) -> bool:
    """Whether type checkers look into one of its packages."""
    return (dist.folder / "src" / package / "py.typed").is_file()


@every_plugin
def test_a_plugins_names_follow_from_its_folder(dist: Dist) -> None:
    """The hint for a missing name guesses the distribution from it, so the rule must hold."""
    folder = dist.folder.name
    name = folder if folder == "pytest-scillm" else f"scillm-{folder}"

    assert dist.name == name
    assert not dist.packages or name.replace("-", "_") in dist.packages


@every_dist
def test_versions_march_in_lockstep(dist: Dist) -> None:
    """Until 1.0 one version of everything is what was tested together."""
    lines = dist.project.get("dependencies", [])
    ours = [line for line in lines if requirement_name(line) in DISTS]

    assert dist.project["version"] == VERSION
    assert ours == [f"{requirement_name(line)}=={VERSION}" for line in ours]
    assert stated_versions(dist) <= {VERSION}


def stated_versions(dist: Dist) -> set[str]:
    """What the distribution's modules bind ``__version__`` to, where they spell it out."""
    return {
        node.value.value
        for source in sources(dist)
        for node in tree(source).body
        if isinstance(node, ast.Assign) and "__version__" in targets(node)
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }


@every_dist
def test_the_declared_pythons_and_licence_are_the_projects_own(dist: Dist) -> None:
    """Every distribution installs where the project says that it does."""
    own = workspace.read(ROOT).project

    assert dist.project["requires-python"] == own["requires-python"]
    assert dist.project["license"] == own["license"]


def test_the_environment_is_read_in_one_place() -> None:
    """Each setting stands in a plugin's SETTINGS, so that `scillm env` can list all of them."""
    home = KERNEL.folder / "src/scillm/settings.py"
    readers = {
        source.relative_to(ROOT).as_posix(): line
        for dist in DISTS.values()
        for source in sources(dist)
        for line in environment_lines(source)
        if source != home
    }

    assert {
        f"{path}:{line}" for path, line in readers.items() if path not in READS_ENVIRONMENT
    } == set()
    assert set(READS_ENVIRONMENT) <= set(readers), "an exception that nobody needs any more"


def environment_lines(source: Path) -> Iterator[int]:
    """The lines that reach the process's environment."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    for node in ast.walk(tree(source)):
        if isinstance(node, ast.Attribute) and node.attr in names and is_os(node.value):
            yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (node.lineno for alias in node.names if alias.name in names)


def is_os(value: ast.expr) -> bool:
    """Whether an expression is the module ``os``, by its usual name."""
    return isinstance(value, ast.Name) and value.id == "os"


def test_no_file_names_a_machine_or_a_registry() -> None:
    """What is committed works on any machine, with whatever index that machine uses."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no git checkout, as in an unpacked archive: nothing is tracked")
    paths = [ROOT / name for name in done.stdout.decode().split("\0") if name]

    found = [
        f"{at(path, number)}: {line.strip()[:80]}"
        for path in paths
        if path.is_file()
        for number, line in enumerate(path.read_bytes().decode(errors="replace").splitlines(), 1)
        if MACHINE.search(line)
    ]

    assert found == []

import json
from pathlib import Path

import pytest

import generate
import workspace

KERNEL_INIT = """
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from scillm.calls import Call as Call
"""
ROOT_PYPROJECT = """
[project]
name = "scillm"
version = "1.2.3"
# begin dependencies: written by `python plugins/stubs/generate.py`
# end dependencies
[project.optional-dependencies]
# begin extras: written by `python plugins/stubs/generate.py`
# end extras
[dependency-groups]
dev = [{ include-group = "workspace" }, "ruff"]
# begin workspace: written by `python plugins/stubs/generate.py`
# end workspace
[tool.uv.sources]
# begin sources: written by `python plugins/stubs/generate.py`
# end sources
"""
STUBS_PYPROJECT = """
[project]
name = "scillm-stubs"
version = "1.2.3"
description = "Stubs."
# begin known: written by `python plugins/stubs/generate.py`
# end known
"""
README = """# Name
<!-- begin distributions: written by `python plugins/stubs/generate.py` -->
<!-- end distributions -->
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a kernel and no plugin."""
    (tmp_path / "pyproject.toml").write_text(ROOT_PYPROJECT)
    (tmp_path / "plugins/stubs").mkdir(parents=True)
    (tmp_path / generate.PYPROJECT).write_text(STUBS_PYPROJECT)
    (tmp_path / "README.md").write_text(README)
    init = tmp_path / "kernel/src/scillm/__init__.py"
    init.parent.mkdir(parents=True)
    init.write_text(KERNEL_INIT)
    add(tmp_path, "kernel", "scillm-kernel")
    return tmp_path


def add(
    root: Path,
    folder: str,
    name: str,
    *,
    requires: tuple[str, ...] = (),
    lends: dict[str, str] | None = None,
    is_default: bool = False,
) -> None:
    """Add a distribution to a checkout."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    lent = "".join(f"{json.dumps(k)} = {json.dumps(v)}\n" for k, v in (lends or {}).items())
    (root / folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "1.2.3"\ndescription = "It does {name}."\n'
        f"dependencies = {json.dumps(requires)}\n"
        f'[project.entry-points."scillm.exports"]\n{lent}'
        f"[tool.scillm]\nis_default = {json.dumps(is_default)}\n"
    )


def stubs_of(root: Path) -> dict[str, list[str]]:
    """Generate, and return the lines of each stub below its heading."""
    generate.main([], root)
    folder = root / generate.STUBS
    paths = sorted(folder.rglob("*.pyi"))
    return {p.relative_to(folder).as_posix(): p.read_text().splitlines()[1:] for p in paths}


def test_who_lends_what_is_kept_as_entry_points(checkout: Path) -> None:
    """So that a name whose plugin is not installed is told with its distribution."""
    add(checkout, "plugins/router", "scillm-router", lends={"Router": "scillm_router.core:Router"})
    generate.main([], checkout)

    known = workspace.read(checkout / "plugins/stubs").entry_points("scillm.known")
    assert known == {"Router": "scillm_router.core:Router"}


def test_the_readme_lists_every_distribution_with_its_own_words(checkout: Path) -> None:
    """So that adding a plugin touches its folder alone."""
    add(checkout, "plugins/router", "scillm-router")
    generate.main([], checkout)

    row = "| [`scillm-router`](plugins/router/README.md) | It does scillm-router |"
    assert row in (checkout / "README.md").read_text().splitlines()


def test_a_lent_object_appears_beside_the_kernels_own_names(checkout: Path) -> None:
    """A partial stub hides the kernel's __init__, so it names what stands there too."""
    add(checkout, "plugins/router", "scillm-router", lends={"Router": "scillm_router.core:Router"})

    assert stubs_of(checkout)["__init__.pyi"] == [
        "__version__: str",
        "from scillm.calls import Call as Call",
        "from scillm_router.core import Router as Router",
    ]


def test_a_lent_module_passes_on_all_that_it_has(checkout: Path) -> None:
    """``extras.codex = "scillm_codex.extras"`` types ``from scillm.extras.codex import chat``."""
    add(checkout, "plugins/codex", "scillm-codex", lends={"extras.codex": "scillm_codex.extras"})

    assert stubs_of(checkout)["extras/codex.pyi"] == ["from scillm_codex.extras import *"]


def test_an_object_lent_below_extras_stands_in_the_stub_of_extras(checkout: Path) -> None:
    """The name before the last dot is the module that shows it."""
    add(checkout, "plugins/codex", "scillm-codex", lends={"extras.chat": "scillm_codex:chat"})

    assert stubs_of(checkout)["extras/__init__.pyi"] == ["from scillm_codex import chat as chat"]


def test_two_plugins_that_lend_one_name_are_refused(checkout: Path) -> None:
    """Which of them a user got would depend on the order of installation."""
    add(checkout, "plugins/a", "scillm-a", lends={"Router": "scillm_a:Router"})
    add(checkout, "plugins/b", "scillm-b", lends={"Router": "scillm_b:Router"})

    with pytest.raises(SystemExit, match=r"plugins/b lends 'Router' as 'scillm_b:Router'"):
        generate.main([], checkout)


def test_a_contributed_plugin_is_no_part_of_the_stubs_and_extras(checkout: Path) -> None:
    """What lies under contrib/ is written as a third party would: nobody installs it by name."""
    add(checkout, "contrib/echo", "scillm-echo", lends={"Echo": "scillm_echo:Echo"})

    assert "Echo" not in "".join(stubs_of(checkout)["__init__.pyi"])
    assert "echo" not in workspace.read(checkout, checkout).project["optional-dependencies"]


def test_the_default_set_is_what_says_so_and_what_that_needs(checkout: Path) -> None:
    """A library comes with the plugin that needs it; a plugin that does not say so is an extra."""
    add(checkout, "plugins/dialects", "scillm-dialects")
    add(checkout, "plugins/openai", "scillm-openai", requires=("scillm-dialects",), is_default=True)
    add(checkout, "plugins/retry", "scillm-retry", lends={"retry": "scillm_retry:retry"})

    generate.main([], checkout)

    project = workspace.read(checkout, checkout).project
    assert project["dependencies"] == [
        "scillm-kernel==1.2.3",
        "scillm-dialects==1.2.3",
        "scillm-openai==1.2.3",
    ]
    assert project["optional-dependencies"]["retry"] == ["scillm-retry==1.2.3"]
    assert project["optional-dependencies"]["all"] == ["scillm-retry==1.2.3"]


def test_the_check_names_each_file_that_is_out_of_date(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Adding a plugin without generating fails the check, with the command that mends it."""
    generate.main([], checkout)
    add(checkout, "plugins/codex", "scillm-codex", lends={"extras.codex": "scillm_codex.extras"})
    capsys.readouterr()

    status = generate.main(["--check"], checkout)

    assert status == 1
    assert capsys.readouterr().out.splitlines() == [
        f"README.md is out of date: run `{generate.COMMAND}`",
        f"{generate.PYPROJECT} is out of date: run `{generate.COMMAND}`",
        f"{generate.STUBS}/extras/codex.pyi is out of date: run `{generate.COMMAND}`",
        f"pyproject.toml is out of date: run `{generate.COMMAND}`",
    ]


def test_generating_twice_changes_nothing(checkout: Path) -> None:
    """What was just written passes the check."""
    add(checkout, "plugins/retry", "scillm-retry", lends={"retry": "scillm_retry:retry"})
    generate.main([], checkout)

    assert generate.main(["--check"], checkout) == 0


def test_a_stub_that_no_plugin_asks_for_any_more_is_removed(checkout: Path) -> None:
    """Removing a plugin's folder removes the names that it lent."""
    add(checkout, "plugins/codex", "scillm-codex", lends={"extras.codex": "scillm_codex.extras"})
    generate.main([], checkout)
    (checkout / "plugins/codex/pyproject.toml").unlink()

    assert "extras/codex.pyi" not in stubs_of(checkout)


def test_what_a_folders_tests_need_is_in_the_developers_group(checkout: Path) -> None:
    """The one environment of daily work runs every folder's tests, with ours left to folders."""
    add(checkout, "plugins/http", "scillm-http")
    with (checkout / "plugins/http/pyproject.toml").open("a") as file:
        file.write('[dependency-groups]\ntest = ["trustme>=1.2", "scillm-kernel"]\n')

    generate.main([], checkout)

    groups = workspace.read(checkout, checkout).pyproject["dependency-groups"]
    assert groups["workspace"] == ["scillm-kernel", "scillm-http", "scillm-stubs", "trustme>=1.2"]

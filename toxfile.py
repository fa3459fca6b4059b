"""What tox cannot say in ``tox.ini``: everything that depends on which plugins there are.

Each folder in ``plugins/`` and ``contrib/`` that has tests gets an environment that installs
that distribution, what it declares, the test kit, and nothing else of ours.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import ConfigSet
from tox.config.types import Command
from tox.plugin import impl
from tox.session.state import State
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "plugins/stubs"))

import workspace  # noqa: E402  # it lies where the line above points
from workspace import Dist  # noqa: E402

DISTS = workspace.find(ROOT)
KERNEL = "scillm-kernel"
KIT = "pytest-scillm"
PLUGINS = {
    f"plugin-{dist.folder.name}": dist
    for dist in DISTS.values()
    if dist.name != KERNEL and dist.has_tests
}
STACKS = ("stack", *(f"stack-3.{minor}" for minor in range(10, 15)))


@impl
def tox_extend_envs() -> Iterable[str]:
    """Name the environments that ``tox.ini`` does not."""
    return ("build", *PLUGINS)


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    """Give each environment the part of its configuration that depends on the plugins."""
    dist_folder = core_conf["work_dir"] / "distributions"
    everything = _installs([*_editable(DISTS.values()), *_test_groups(DISTS.values())])
    loaders = {
        "kernel": _installs(_editable([DISTS[KERNEL]])),
        "build": _build(dist_folder),
        **dict.fromkeys((*STACKS, "types", "docs", "bench", "soak"), everything),
        **{env: _plugin(dist, state.conf.pos_args(None) or ()) for env, dist in PLUGINS.items()},
    }
    for env, values in loaders.items():
        state.conf.memory_seed_loaders[env].append(MemoryLoader(**values))


def _plugin(dist: Dist, arguments: tuple[str, ...]) -> dict[str, object]:
    """One distribution with its declared closure and the test kit, and its own tests."""
    ours = workspace.closure(DISTS, dist.name, KIT, *dist.optional, *dist.tested_with)
    wanted = ["pytest>=9.0", *_editable(ours), *_test_groups([dist])]
    return {
        "description": f"tests of {dist.path}, with only what it declares installed",
        "labels": ["check"],
        **_installs(wanted),
        "commands": [
            Command(["pytest", "-p", "no:cacheprovider", *(arguments or (f"{dist.path}/tests",))])
        ],
    }


def _installs(wanted: Iterable[str]) -> dict[str, object]:
    """Install at each run, not once: tox would not notice a dependency added to a folder."""
    return {
        "commands_pre": [_uv("pip", "install", "--quiet", *wanted)],
        "allowlist_externals": [find_uv_bin()],
    }


def _editable(dists: Iterable[Dist]) -> list[str]:
    return [argument for dist in dists for argument in ("-e", f"./{dist.path}")]


def _test_groups(dists: Iterable[Dist]) -> list[str]:
    files = [f"{dist.path}/pyproject.toml" for dist in dists if dist.test_requirements]
    return [argument for file in files for argument in ("--group", f"{file}:test")]


def _build(folder: Path) -> dict[str, object]:
    """Build every distribution, then install each wheel alone, beside its wheels, and import it."""
    version = workspace.read(ROOT, ROOT).project["version"]
    modules: dict[str, tuple[str, ...]] = {"scillm": ("scillm",), "scillm[all]": ("scillm",)}
    modules |= {dist.name: dist.packages for dist in DISTS.values()}
    build = ("build", "--quiet", "--out-dir", str(folder))
    commands = [_uv(*build, "--clear", "."), *(_uv(*build, dist.path) for dist in DISTS.values())]
    for name, packages in modules.items():
        commands += _alone(folder, f"{name}=={version}", packages)
    return {
        "description": "wheel and sdist of every distribution; each wheel installed alone",
        "labels": ["check"],
        "allowlist_externals": [find_uv_bin(), f"{folder}*"],
        "commands": commands,
    }


def _alone(folder: Path, requirement: str, packages: Iterable[str]) -> list[Command]:
    """Install one wheel with its requirements into an empty environment and import it.

    Ours are read anew: to uv's cache a wheel that was built again is the one that it knows.
    """
    venv = f"{folder}-venv"
    ours = [f"--refresh-package={name}" for name in ("scillm", *DISTS)]
    links = ["--find-links", str(folder), "--no-sources", *ours]
    return [
        _uv("venv", "--quiet", "--clear", venv),
        _uv("pip", "install", "--quiet", "--python", venv, *links, requirement),
        *(Command([f"{venv}/bin/python", "-W", "error", "-c", f"import {p}"]) for p in packages),
    ]


def _uv(*arguments: str) -> Command:
    return Command([find_uv_bin(), *arguments])

"""One environment per peer, made by uv and kept; ours is installed anew for each run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from plan import REQUIREMENTS

ROOT = Path(__file__).resolve().parents[2]
OURS = "scillm"


def python_of(venvs: Path, name: str) -> str:
    """The interpreter of an environment."""
    return str(venvs / name / "bin" / "python")


def make(venvs: Path, names: set[str]) -> None:
    """Make the environments that are missing, and install this checkout into ours.

    Args:
        venvs: the folder of environments.
        names: keys of `REQUIREMENTS`.
    """
    for name in sorted(names):
        ours = _ours() if name == OURS else {}
        wanted = [*REQUIREMENTS[name], *ours.values()]
        stamp = venvs / name / "requirements.txt"
        is_made = stamp.is_file() and stamp.read_text().splitlines() == wanted
        if not is_made:
            print(f"making the environment {name}", flush=True)
            _uv("venv", "--clear", "--python", sys.executable, str(venvs / name))
        if not is_made or ours:
            # Anew, because uv keeps a wheel that it once built from a folder.
            again = [word for dist in ours for word in ("--reinstall-package", dist)]
            _install(python_of(venvs, name), *again, *wanted)
        stamp.write_text("\n".join(wanted) + "\n")


def _install(python: str, *words: str) -> None:
    """Install into an environment.

    Wheels, not editable: each editable distribution slows down every start of Python. With
    bytecode: otherwise the first round would measure the compiler.
    """
    _uv("pip", "install", "--compile-bytecode", "--no-sources", "--python", python, *words)


def _ours() -> dict[str, str]:
    """The folders of what `pip install scillm` brings, by distribution."""
    sys.path.insert(0, str(ROOT / "plugins" / "stubs"))
    import workspace

    dists = workspace.find(ROOT)
    wanted = [dist.name for dist in dists.values() if dist.is_default]
    found = workspace.closure(dists, "scillm-kernel", *wanted)
    return {dist.name: str(dist.folder) for dist in found}


def _uv(*words: str) -> None:
    """Run uv; what it says is shown if it fails."""
    beside = [Path(sys.executable).parent / "uv", ROOT / ".venv" / "bin" / "uv"]
    uv = shutil.which("uv") or next((str(path) for path in beside if path.is_file()), None)
    if uv is None:
        raise SystemExit("the environments are made with uv, which is not found: pip install uv")
    variables = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [uv, *words, "--quiet"], capture_output=True, text=True, env=variables, check=False
    )
    if done.returncode:
        raise SystemExit(f"uv {' '.join(words[:2])} failed:\n{done.stdout}{done.stderr}")

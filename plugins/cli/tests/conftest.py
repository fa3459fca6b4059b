"""A provider of our own, in process and as an installed distribution; terminals; clean settings."""

from __future__ import annotations

import importlib.util
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scillm import Kernel
from scillm.settings import dotenv
from scillm_cli.group import cli

SCRIPTED = Path(__file__).with_name("scripted.py")
DEADLINE_S = 30.0


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> Iterator[None]:
    """A job in the background is started deaf to Ctrl-C, and its children with it; these hear."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No key, no setting and no .env of whoever runs the tests."""
    for name in [n for n in os.environ if n.startswith(("SCILLM_", "LITELLM_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    dotenv.cache_clear()
    yield
    dotenv.cache_clear()


@pytest.fixture(scope="session")
def scripted() -> ModuleType:
    """The provider ``scripted`` as a plugin."""
    spec = importlib.util.spec_from_file_location("scripted", SCRIPTED)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def kernel(scripted: ModuleType) -> Kernel:
    """Our provider, and any OpenAI-compatible endpoint over HTTP."""
    import scillm_http
    import scillm_openai_like

    return Kernel.of(scripted, scillm_openai_like, scillm_http.Http())


@pytest.fixture
def run(kernel: Kernel) -> Callable[..., Result]:
    """Run a command line in this process: ``run("chat", "hello", "-m", "scripted/x")``."""

    def invoke(*arguments: str, stdin: str | bytes = "", kernel: Kernel = kernel) -> Result:
        return CliRunner().invoke(cli, list(arguments), input=stdin, obj=kernel)

    return invoke


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Install a distribution for processes started with the environment that it returns."""
    home = tmp_path / "installed"

    def installed(
        name: str = "scillm-scripted",
        entry_points: str = "[scillm.plugins]\nscripted = scripted",
        modules: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        info = home / f"{name.replace('-', '_')}-0.1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(entry_points)
        shutil.copy(SCRIPTED, home)
        for module, text in (modules or {}).items():
            (home / f"{module}.py").write_text(text)
        return {**os.environ, "PYTHONPATH": str(home), "SCILLM_MODEL": "scripted/parrot"}

    return installed


@pytest.fixture
def shell() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command line in a process of its own, to its end."""

    def ran(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "scillm_cli", *arguments]
        more = {"stdin": subprocess.DEVNULL, **more}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, **more
        )

    return ran


class Terminal:
    """A process at a terminal of its own."""

    def __init__(self, arguments: tuple[str, ...], env: Mapping[str, str]) -> None:
        self._own, theirs = pty.openpty()
        command = [sys.executable, "-m", "scillm_cli", *arguments]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
        )
        os.close(theirs)
        self.text = ""

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._own, f"{line}\n".encode())

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def interrupt_prompt(self) -> None:
        """Press Ctrl-C at a prompt until it is noticed.

        Python notices a signal that comes just before it blocks in a read only with the next one.
        """
        for _ in range(20):
            self.interrupt()
            if select.select([self._own], [], [], 0.5)[0]:
                return

    def until(self, expected: str) -> str:
        """Read until *expected* has appeared; return what came, up to and with it."""
        end_s = time.monotonic() + DEADLINE_S
        while expected not in self.text:
            ready, _, _ = select.select([self._own], [], [], max(0.0, end_s - time.monotonic()))
            assert ready, f"{expected!r} did not appear; so far: {self.text!r}"
            try:
                self.text += os.read(self._own, 65536).decode()
            except OSError:  # how Linux tells that the process has closed the terminal
                break
        seen, found, self.text = self.text.partition(expected)
        assert found, f"{expected!r} did not appear before the end: {seen!r}"
        return seen + found

    def ended(self) -> int:
        """Wait for the end; return the exit code."""
        return self.process.wait(DEADLINE_S)

    def close(self) -> None:
        """Give everything back."""
        self.process.kill()
        self.process.wait()
        os.close(self._own)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Start a command line at a terminal."""
    started: list[Terminal] = []

    def start(*arguments: str, env: Mapping[str, str]) -> Terminal:
        started.append(Terminal(arguments, {**env, "TERM": "dumb"}))
        return started[-1]

    yield start
    for one in started:
        one.close()

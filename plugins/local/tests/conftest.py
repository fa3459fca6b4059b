"""The real host and the real model, in folders of the tests' own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from scillm import Kernel
from scillm_http import Http
from scillm_local import Local, fetch, meeting
from scillm_local.meeting import Record
from scillm_local.model import built_in

ASK = """
import sys
from scillm import Kernel
from scillm_http import Http
from scillm_local import Local, meeting
kernel = Kernel.of(Local(), Http())
kernel.completion("local/default", [{"role": "user", "content": "Hi"}], max_tokens=1)
print([host.pid for place in meeting.everywhere() if (host := place.living())][0], flush=True)
sys.stdin.read()
"""
"""A process that uses the model, tells the host's process id, and stays until its input ends."""


@pytest.fixture(scope="session")
def gguf() -> Path:
    """The built-in model's file in the user's own cache, fetched if absent."""
    model = built_in()
    fetch.ensure(model)
    return model.path


@pytest.fixture(scope="session", autouse=True)
def _session_place(gguf, tmp_path_factory) -> Iterator[None]:
    """Folders for the whole session, so that most tests share one host."""
    with pytest.MonkeyPatch.context() as patch:
        _settle(patch, tmp_path_factory.mktemp("session"), gguf)
        for name in ("SCILLM_MODEL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            patch.delenv(name, raising=False)
        yield
        _kill_all()


@pytest.fixture
def own_place(gguf, tmp_path, monkeypatch) -> Iterator[Path]:
    """Folders for one test: no host runs there, and none will after it."""
    _settle(monkeypatch, tmp_path, gguf)
    yield tmp_path
    _kill_all()


@pytest.fixture
def empty_cache(own_place) -> Path:
    """As ``own_place``, but without the model's file; returns where it should be."""
    path = built_in().path
    path.unlink()
    return path


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """A kernel with the embedded model and one transport."""
    with Kernel.of(Local(), Http()) as kernel:
        yield kernel


@pytest.fixture
def user(own_place) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts processes that use the model; kills what is left of them."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen([sys.executable, "-c", ASK], text=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ask(kernel: Kernel, text: str = "Hi", **more):
    """Ask the embedded model, shortly unless told otherwise."""
    arguments = {"max_tokens": 8, **more}
    return kernel.completion("local/smollm2-135m", [{"role": "user", "content": text}], **arguments)


def hosts() -> list[Record]:
    """What the living hosts tell."""
    return [host for place in meeting.everywhere() if (host := place.living())]


def host() -> Record:
    """What the one living host tells."""
    (found,) = hosts()
    return found


def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait for another process to come to *condition*."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _settle(patch: pytest.MonkeyPatch, folder: Path, gguf: Path) -> None:
    patch.setenv("SCILLM_DOTENV", "0")
    patch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
    patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    models = folder / "cache" / "scillm" / "models"
    models.mkdir(parents=True)
    (models / gguf.name).symlink_to(gguf)


def _kill_all() -> None:
    for left in hosts():
        with suppress(ProcessLookupError):
            os.kill(left.pid, signal.SIGKILL)

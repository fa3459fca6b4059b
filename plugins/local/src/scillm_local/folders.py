"""Where things lie: models and logs in the user's cache, meeting points in a private folder."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from scillm_local.errors import HostError, named
from scillm_local.settings import CACHE_HOME, RUNTIME_DIR

_PRIVATE = 0o700


def models() -> Path:
    """Return the folder of models, which may not be there yet."""
    return _cache() / "models"


def logs() -> Path:
    """Return the folder of the hosts' logs, made if needed."""
    folder = _cache() / "logs"
    folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    return folder


def meeting_place() -> Path:
    """Return the private folder in which processes of one user find a host, made if needed.

    Raises:
        HostError: The folder belongs to somebody else, or others may enter it: what lies in
            it could have been planted.
    """
    own = RUNTIME_DIR.value()
    folder = Path(own) / "scillm" if own else Path(tempfile.gettempdir()) / f"scillm-{os.getuid()}"
    folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    found = folder.lstat()
    is_private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) & 0o077 == 0
    if not is_private or found.st_uid != os.getuid():
        raise HostError(
            f"the folder {str(folder)!r} is not private to this user, so nothing in it is trusted: "
            f"remove it, or make it yours with `chmod 700 {folder}`",
            **named(""),
        )
    return folder


def _cache() -> Path:
    home = CACHE_HOME.value()
    return (Path(home) if home else Path.home() / ".cache") / "scillm"

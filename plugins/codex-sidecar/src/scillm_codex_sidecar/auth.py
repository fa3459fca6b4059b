"""The login of the codex command: whether it is there, and what is in it, masked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scillm.settings import variable
from scillm_codex_sidecar import AUTH_PATH

_KEYS = ("CODEX_API_KEY", "OPENAI_API_KEY")


def path() -> Path:
    """Return where the login is kept."""
    return Path(AUTH_PATH.value()).expanduser()


def is_present() -> bool:
    """Say whether there is a login: a file that can be read, or a key in the environment."""
    return _key_variable() is not None or problem() == ""


def problem() -> str:
    """Return what is wrong with the file, ``""`` if nothing is."""
    try:
        found = json.loads(path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"there is no {path()}: log in with `codex login`, or set CODEX_AUTH_PATH"
    except OSError as error:
        return f"{path()} cannot be read ({error.strerror}): correct its owner or its mode"
    except ValueError:
        return f"{path()} is not JSON: log in again with `codex login`"
    if not isinstance(found, dict) or not any(found.values()):
        return f"{path()} holds no login: log in with `codex login`"
    return ""


def described() -> dict[str, Any]:
    """Return what is known of the login; every value is masked."""
    told: dict[str, Any] = {"path": str(path()), "key_variable": _key_variable()}
    if why := problem():
        return {**told, "ok": _key_variable() is not None, "problem": why}
    found = json.loads(path().read_text(encoding="utf-8"))
    is_private = path().stat().st_mode & 0o077 == 0
    return {**told, "ok": True, "is_private": is_private, "fields": _masked(found)}


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _masked(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return f"*** ({len(value)} characters)" if isinstance(value, str) and value else value


def _key_variable() -> str | None:
    return next((name for name in _KEYS if variable(name)), None)

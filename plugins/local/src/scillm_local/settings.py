"""Every knob of the embedded model."""

from __future__ import annotations

from typing import Any

from scillm import Setting


def seconds(text: str) -> float:
    """Read a time in seconds, greater than 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError("expected seconds greater than 0")
    return value


def count(text: str) -> int:
    """Read a whole number greater than 0."""
    value = int(text)
    if value <= 0:
        raise ValueError("expected a whole number greater than 0")
    return value


MODEL = Setting(
    name="LOCAL_MODEL",
    default="",
    help="path of a .gguf file that answers in place of smollm2-135m; named local/<file stem>",
)
MAX_TOKENS = Setting(
    name="LOCAL_MAX_TOKENS",
    default=512,
    read=count,
    help="tokens of an answer when the call sets no limit; a small model would ramble on",
)
CONTEXT_TOKENS = Setting(
    name="LOCAL_CONTEXT_TOKENS",
    default=4096,
    read=count,
    help="tokens of messages and answer together, for each of the parallel calls",
)
SLOTS = Setting(
    name="LOCAL_SLOTS",
    default=2,
    read=count,
    help="calls answered at once; more wait. Also the largest n",
)
THREADS: Setting[int | None] = Setting(
    name="LOCAL_THREADS",
    default=None,
    read=count,
    help="processor cores that the host uses; else half of those there are, at most 4",
)
MEMORY_BYTES = Setting(
    name="LOCAL_MEMORY_BYTES",
    default=2 * 1024**3,
    read=count,
    help="address space that the host process may take, in bytes; a larger model is an error",
)
IDLE_S = Setting(
    name="LOCAL_IDLE_S",
    default=300.0,
    read=seconds,
    help="seconds without a call after which the host stops",
)
GRACE_S = Setting(
    name="LOCAL_GRACE_S",
    default=10.0,
    read=seconds,
    help="seconds that the host outlives the last process that used it",
)
START_S = Setting(
    name="LOCAL_START_S",
    default=60.0,
    read=seconds,
    help="seconds that the host may take to load the model",
)
FETCH_S = Setting(
    name="LOCAL_FETCH_S",
    default=900.0,
    read=seconds,
    help="seconds that fetching the model's file may take",
)
CACHE_HOME = Setting(
    name="XDG_CACHE_HOME",
    default="",
    prefix="",
    help="folder of caches; models lie in scillm/models, logs in scillm/logs. Else ~/.cache",
)
RUNTIME_DIR = Setting(
    name="XDG_RUNTIME_DIR",
    default="",
    prefix="",
    help="the user's own folder for what runs; else one in the folder for temporary files",
)
SETTINGS: tuple[Setting[Any], ...] = (
    MODEL,
    MAX_TOKENS,
    CONTEXT_TOKENS,
    SLOTS,
    THREADS,
    MEMORY_BYTES,
    IDLE_S,
    GRACE_S,
    START_S,
    FETCH_S,
    CACHE_HOME,
    RUNTIME_DIR,
)

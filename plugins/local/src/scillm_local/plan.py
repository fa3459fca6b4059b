"""What a host is asked to be, and the name under which processes that want the same find it."""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from attrs import asdict, frozen

from scillm_local.model import Model
from scillm_local.settings import CONTEXT_TOKENS, GRACE_S, IDLE_S, MEMORY_BYTES, SLOTS, THREADS


@frozen(kw_only=True)
class Plan:
    """One host: a model and how it is run.

    Attributes:
        model_id: Name that answers carry.
        path: The model's file.
        template: Name of our chat template, or ``""``.
        context_tokens: Tokens of one call, messages and answer together.
        slots: Calls at once.
        threads: Processor cores that it uses.
        memory_bytes: Address space that the process may take.
        idle_s: Seconds without a call after which it stops.
        grace_s: Seconds that it outlives its last user.
        identity: What tells this model's file from another at the same place.
    """

    model_id: str
    path: str
    template: str
    context_tokens: int
    slots: int
    threads: int
    memory_bytes: int
    idle_s: float
    grace_s: float
    identity: str

    @property
    def key(self) -> str:
        """Name of the host; idle and grace do not count: whoever starts it first decides."""
        told = {**asdict(self), "idle_s": None, "grace_s": None, "version": _version()}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    def encode(self) -> str:
        """Return the plan as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Plan:
        """Return the plan that ``encode`` wrote."""
        return cls(**json.loads(text))


def plan_for(model: Model) -> Plan:
    """Return the plan for *model* under the settings in force."""
    return Plan(
        model_id=model.id,
        path=str(model.path),
        template=model.template,
        context_tokens=CONTEXT_TOKENS.value(),
        slots=SLOTS.value(),
        threads=THREADS.value() or _spare_cores(),
        memory_bytes=MEMORY_BYTES.value(),
        idle_s=IDLE_S.value(),
        grace_s=GRACE_S.value(),
        identity=model.sha256 or _identity(model.path),
    )


def _spare_cores() -> int:
    # Its threads wait for each other hundreds of times a token: if one shares its core with
    # another process, all stand still. On 2 busy cores one thread is faster than two.
    return max(1, min(4, (os.cpu_count() or 1) // 2))


def _identity(path: Path) -> str:
    """Return what changes when a file is replaced; hashing gigabytes for every call is too slow."""
    try:
        found = path.stat()
    except OSError:
        return ""  # absent: the check before the start says so, with words
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


@lru_cache(maxsize=1)
def _version() -> str:
    # A host of another version may be run differently: it is another host.
    return version("scillm-local") + " " + version("xllamacpp")

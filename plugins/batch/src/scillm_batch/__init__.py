"""Long unattended runs: every item back, durable, resumable.

Read ``run`` first, then ``desk``: where items come from and rows go. ``store`` keeps what is
finished, ``work`` answers one item, ``engines`` says who does it, ``sources`` and ``lines`` where
items come from. Nothing is loaded until it is asked for: every kernel looks here for variables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scillm_batch.api import run_batch as run_batch
    from scillm_batch.buckets import AsyncTokenBucket as AsyncTokenBucket
    from scillm_batch.buckets import TokenBucket as TokenBucket
    from scillm_batch.buckets import token_bucket_from_env as token_bucket_from_env
    from scillm_batch.budget import Limits as Limits
    from scillm_batch.checkpoint import JsonlCheckpoint as JsonlCheckpoint
    from scillm_batch.engines import Engine as Engine
    from scillm_batch.engines import hookimpl as hookimpl
    from scillm_batch.items import BatchError as BatchError
    from scillm_batch.items import Item as Item
    from scillm_batch.rows import Row as Row
    from scillm_batch.run import BatchRun as BatchRun
    from scillm_batch.run import Summary as Summary
    from scillm_batch.work import Job as Job

_HOME = {
    "AsyncTokenBucket": "buckets",
    "BatchError": "items",
    "BatchRun": "run",
    "Engine": "engines",
    "Item": "items",
    "Job": "work",
    "JsonlCheckpoint": "checkpoint",
    "Limits": "budget",
    "Row": "rows",
    "Summary": "run",
    "TokenBucket": "buckets",
    "hookimpl": "engines",
    "run_batch": "api",
    "token_bucket_from_env": "buckets",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'scillm_batch' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"scillm_batch.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

"""Long unattended runs: every item back, durable, resumable.

Read ``run`` first. ``store`` keeps what is finished, ``work`` answers one item, ``engines`` says
who does it, ``sources`` and ``lines`` where items come from.
"""

from scillm_batch.api import run_batch
from scillm_batch.buckets import AsyncTokenBucket, TokenBucket, token_bucket_from_env
from scillm_batch.budget import Limits
from scillm_batch.checkpoint import JsonlCheckpoint
from scillm_batch.engines import Engine, hookimpl
from scillm_batch.items import BatchError, Item
from scillm_batch.rows import Row
from scillm_batch.run import BatchRun, Summary
from scillm_batch.work import Job

__all__ = [
    "AsyncTokenBucket",
    "BatchError",
    "BatchRun",
    "Engine",
    "Item",
    "Job",
    "JsonlCheckpoint",
    "Limits",
    "Row",
    "Summary",
    "TokenBucket",
    "hookimpl",
    "run_batch",
    "token_bucket_from_env",
]

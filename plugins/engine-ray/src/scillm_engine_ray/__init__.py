"""Batches on a Ray cluster: each worker leases some items and runs the loop of ``local`` on them.

Read ``cluster`` first; ``worker`` is what runs elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scillm_batch import Engine, hookimpl


@hookimpl
def engine(name: str, options: Mapping[str, Any]) -> Engine | None:
    """Return the engine ``"ray"``."""
    if name != "ray":
        return None
    from scillm_engine_ray.cluster import Ray  # Ray takes a second to import

    return Ray(**options)

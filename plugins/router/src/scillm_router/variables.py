"""The variables that a Router reads: a plugin without hooks, so that `scillm env` lists them."""

from __future__ import annotations

from typing import Any

from scillm import Setting
from scillm_redis_store import SETTINGS as REDIS_SETTINGS

SEED: Setting[str] = Setting(
    name="DETERMINISTIC_SEED",
    default="",
    help="seed of every call of a deterministic Router: a number, or text that one is made of",
)
SETTINGS: tuple[Setting[Any], ...] = (SEED, *REDIS_SETTINGS)

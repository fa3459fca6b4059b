"""The variables of token buckets: a plugin without hooks, so that `scillm env` lists them."""

from __future__ import annotations

from typing import Any

from scillm import Setting

RATE = Setting(name="BUCKET_RATE", default=3.0, help="tokens a second of token_bucket_from_env()")
CAPACITY = Setting(name="BUCKET_CAPACITY", default=6.0, help="tokens that it can hold")
MAX_SLEEP_S = Setting(
    name="BUCKET_MAX_SLEEP_S", default=2.0, help="seconds that it lets a caller wait"
)
SETTINGS: tuple[Setting[Any], ...] = (RATE, CAPACITY, MAX_SLEEP_S)

"""A Redis that may go away and come back, for plugins that share something through it."""

from scillm_redis_store.store import SETTINGS, RedisStore

__all__ = ["SETTINGS", "RedisStore"]

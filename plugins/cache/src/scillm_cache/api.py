"""Switching the cache of the default kernel on and off, by the names that users know."""

from __future__ import annotations

import logging
from enum import Enum
from pathlib import Path
from typing import Any

import scillm
from scillm import ScillmError, Secret
from scillm_cache.disk import Disk
from scillm_cache.plugin import BYTES, DISABLE, LEGACY_DISABLE, Caching, Config
from scillm_cache.stores import Memory, Shared, Store
from scillm_redis_store import RedisStore
from scillm_redis_store.store import DB, HOST, PASSWORD, PORT, URL

LOG = logging.getLogger("scillm.cache")
PING_S = 2.0


class LiteLLMCacheType(str, Enum):
    """Where answers are kept."""

    LOCAL = "local"
    REDIS = "redis"
    DISK = "disk"


CacheType = LiteLLMCacheType


class Cache:
    """How answers are kept; given to ``enable_cache``.

    Args:
        type: ``"local"`` (memory), ``"disk"`` or ``"redis"``.
        host: Of Redis; so *port*, *password*, *db* or *url*; None takes the environment's.
        namespace: Who shares answers; None takes the environment's.
        ttl: Seconds that an answer is kept; None takes the environment's.
        disk_cache_dir: Folder, for ``"disk"``.

    Raises:
        ValueError: A type that there is not, or a disk without a folder.
    """

    def __init__(  # noqa: PLR0913  # the names that users know
        self,
        type: LiteLLMCacheType | str = LiteLLMCacheType.LOCAL,  # noqa: A002  # the same
        *,
        host: str | None = None,
        port: str | int | None = None,
        password: str | None = None,
        db: int | None = None,
        url: str | None = None,
        namespace: str | None = None,
        ttl: float | None = None,
        disk_cache_dir: str | Path | None = None,
    ) -> None:
        self.type = LiteLLMCacheType(type)
        self.namespace, self.ttl = namespace, ttl
        self._folder = disk_cache_dir
        if self.type is LiteLLMCacheType.DISK and disk_cache_dir is None:
            raise ValueError("Cache(type='disk') needs a folder: disk_cache_dir='...'")
        self._url = Secret(url or _url(host, port, password, db))

    def config(self) -> Config:
        """Return what a kernel's plugin is to do."""
        return Config(store=self._store(), namespace=self.namespace, ttl_s=self.ttl)

    def _store(self) -> Store:
        if self.type is LiteLLMCacheType.DISK:
            return Disk(self._folder or "")
        if self.type is LiteLLMCacheType.REDIS:
            return Shared(RedisStore("scillm.cache", self._url.reveal()), Memory(BYTES.value()))
        return Memory(BYTES.value())


def enable_cache(cache: Cache | None = None) -> None:
    """Keep answers of the default kernel from now on.

    Args:
        cache: How; None leaves it as it was said before, and is in memory if nothing was.
    """
    plugin = _plugin()
    if cache is not None or plugin.config is None:
        plugin.use((cache or Cache()).config())


def disable_cache() -> None:
    """Stop keeping answers of the default kernel, and giving kept ones."""
    _plugin().use(None)


def initialize_litellm_cache() -> None:
    """Keep answers in Redis if it answers, else in memory.

    Redis is where ``REDIS_URL`` says, or ``REDIS_HOST`` (``localhost``) and ``REDIS_PORT``. It is
    asked for a sign of life once, for two seconds. Does nothing where the cache is switched
    off by ``SCILLM_CACHE_DISABLE``.
    """
    if DISABLE.value() or LEGACY_DISABLE.value():
        return
    url = _url(None, None, None, None)
    if _answers(url):
        enable_cache(Cache(LiteLLMCacheType.REDIS, url=url))
        return
    is_meant = bool(URL.value() or HOST.value())
    LOG.log(
        logging.WARNING if is_meant else logging.INFO,
        "no Redis answers: answers are kept in the memory of this process",
    )
    enable_cache(Cache())


def _answers(url: str) -> bool:
    from redis import Redis, RedisError  # only who asks for Redis loads it

    try:
        with Redis.from_url(url, socket_connect_timeout=PING_S, socket_timeout=PING_S) as redis:
            return bool(redis.ping())
    except (RedisError, OSError):
        return False


def _url(host: str | None, port: str | int | None, password: str | None, db: int | None) -> str:
    from urllib.parse import quote

    if host is None and (url := URL.value()):
        return str(url)
    secret = password or PASSWORD.value()
    who = f":{quote(secret, safe='')}@" if secret else ""
    where = host or HOST.value() or "localhost"
    return f"redis://{who}{where}:{port or PORT.value()}/{DB.value() if db is None else db}"


def _plugin() -> Caching:
    found: Any = next((p for p in scillm.kernel().plugins.active() if isinstance(p, Caching)), None)
    if found is None:
        raise ScillmError(
            "the plugin 'cache' is blocked in this process: unset SCILLM_ENABLE_CACHE, or take it "
            "out of SCILLM_PLUGINS_BLOCK"
        )
    plugin: Caching = found
    return plugin

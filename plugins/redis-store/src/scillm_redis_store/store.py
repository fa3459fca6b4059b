"""One Redis, used from any event loop; while it cannot be reached, everybody does without."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from scillm import Secret, Setting
from scillm_transport.pools import Pools

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

MOST_CONNECTIONS = 50
CONNECT_S = 2.0
ANSWER_S = 5.0
FIRST_REST_S = 1.0
LONGEST_REST_S = 30.0


def _vendor(name: str, default: Any, meaning: str, **more: Any) -> Setting[Any]:
    return Setting(name=name, default=default, prefix="", help=meaning, **more)


URL = _vendor("REDIS_URL", None, "address of a Redis to share through", is_secret=True)
HOST = _vendor("REDIS_HOST", None, "its host, where REDIS_URL is not set")
PORT = _vendor("REDIS_PORT", 6379, "its port", read=int)
DB = _vendor("REDIS_DB", 0, "its database", read=int)
PASSWORD = _vendor("REDIS_PASSWORD", None, "its password", is_secret=True)
SETTINGS: tuple[Setting[Any], ...] = (URL, HOST, PORT, DB, PASSWORD)


class RedisStore:
    """A Redis for one plugin. Making one opens nothing.

    Args:
        logger_name: Where its going and coming is told.
        url: Its address; None takes the environment's.
        clock: Tells seconds that never go back.
    """

    def __init__(
        self,
        logger_name: str = "scillm.redis",
        url: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = logging.getLogger(logger_name)
        self._given = Secret(url) if url else None
        self._clock = clock
        self._pools: Pools[Secret, Redis] = Pools(_opened, _closed)
        self._rest_s, self._until_s = 0.0, 0.0

    @property
    def is_configured(self) -> bool:
        """Whether there is to be a Redis at all."""
        return self._given is not None or bool(URL.value() or HOST.value())

    @property
    def is_resting(self) -> bool:
        """Whether it could not be reached lately, and is not tried for a while."""
        return self._clock() < self._until_s

    async def run(self, work: Callable[[Redis], Awaitable[T]], default: T) -> T:
        """Return what *work* makes of a connection, *default* if Redis cannot be reached.

        Args:
            work: Awaits commands of the ``redis.asyncio.Redis`` that it is given.
            default: What holds without Redis.
        """
        if self.is_resting or not self.is_configured:
            return default
        from redis.exceptions import RedisError  # only who uses Redis loads it

        try:
            found = await work(self._pools.client(self._url()))
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)
            return default
        if self._rest_s:
            self._rest_s = 0.0
            self._log.info("Redis is back")
        return found

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pools.aclose()

    def _lost(self, error: Exception) -> None:
        if not self._rest_s:
            said = f"{type(error).__name__}: {error}".replace(self._url().reveal(), "***")
            self._log.warning("Redis cannot be reached, going on without it (%s)", said[:200])
        self._rest_s = min(LONGEST_REST_S, 2 * self._rest_s or FIRST_REST_S)
        self._until_s = self._clock() + self._rest_s

    def _url(self) -> Secret:
        if self._given is not None:
            return self._given
        if url := URL.value():
            return Secret(url)
        password = PASSWORD.value()
        who = f":{quote(password, safe='')}@" if password else ""
        return Secret(f"redis://{who}{HOST.value()}:{PORT.value()}/{DB.value()}")


def _opened(url: Secret) -> Redis:
    from redis.asyncio import BlockingConnectionPool, Redis

    # The other pool raises when all its connections are in use; this one waits for one.
    pool: Any = BlockingConnectionPool.from_url(
        url.reveal(),
        max_connections=MOST_CONNECTIONS,
        timeout=ANSWER_S,
        socket_connect_timeout=CONNECT_S,
        socket_timeout=ANSWER_S,
    )
    return Redis(connection_pool=pool)


async def _closed(redis: Redis) -> None:
    await redis.aclose(close_connection_pool=True)
    await redis.connection_pool.disconnect()

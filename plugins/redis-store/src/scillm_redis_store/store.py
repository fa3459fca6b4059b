"""One Redis, used from any event loop; while it cannot be reached, everybody does without."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from scillm import Secret, Setting
from scillm_transport.pools import Pools

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

MOST_CONNECTIONS = 50
CONNECT_S = 2.0
ANSWER_S = 2.0
TURN_S = 5.0  # to wait for one of the connections
FIRST_REST_S = 1.0
HUNG_REST_S = 10.0
LONGEST_REST_S = 30.0
QUIET_S = 300.0


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
        self._is_tried = False  # by one, while all others still do without
        self._quiet_until_s: dict[str, float] = {}
        self._lock = threading.Lock()

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
        if not self.is_configured or not self._may_try():
            return default
        from redis import exceptions  # only who uses Redis loads it

        try:
            found = await work(self._pools.client(self._url()))
        except (
            exceptions.ResponseError
        ) as error:  # it is there, and says no: full, read-only, forbidden
            self._refused(error)
            return default
        except (exceptions.TimeoutError, TimeoutError) as error:
            self._lost(error, HUNG_REST_S)  # to look again costs time, too
            return default
        except (exceptions.RedisError, OSError) as error:
            self._lost(error, FIRST_REST_S)
            return default
        finally:
            self._is_tried = False
        self._is_back()
        return found

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pools.aclose()

    def _may_try(self) -> bool:
        """Tell whether to ask it now; after a rest only one finds out whether it is back."""
        with self._lock:
            if self.is_resting or (self._rest_s and self._is_tried):
                return False
            self._is_tried = True
            return True

    def _is_back(self) -> None:
        with self._lock:
            was_lost, self._rest_s = self._rest_s, 0.0
        if was_lost:
            self._log.info("Redis is back")

    def _lost(self, error: Exception, least_s: float) -> None:
        with self._lock:
            if self.is_resting:
                return  # many fail at once, and each of them would make the rest longer
            is_news = not self._rest_s
            self._rest_s = min(LONGEST_REST_S, max(least_s, 2 * self._rest_s))
            self._until_s = self._clock() + self._rest_s
        if is_news:
            self._log.warning(
                "Redis cannot be reached, going on without it (%s)", self._shown(error)
            )

    def _refused(self, error: Exception) -> None:
        word = str(error).partition(" ")[0][:40]
        with self._lock:
            if self._clock() < self._quiet_until_s.get(word, 0.0):
                return
            self._quiet_until_s[word] = self._clock() + QUIET_S
        self._log.warning("Redis refuses, going on without it (%s)", self._shown(error))

    def _shown(self, error: Exception) -> str:
        url = self._url().reveal()
        password = unquote(urlsplit(url).password or "")
        said = f"{type(error).__name__}: {error}".replace(url, "***")
        return (said.replace(password, "***") if password else said)[:200]

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
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as RedisConnectionError

    # A connection that a restarted Redis has forgotten is opened anew, once. What is late is not
    # asked again: that would double the wait.
    once: Any = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
    # The other pool raises when all its connections are in use; this one waits for one.
    pool: Any = BlockingConnectionPool.from_url(
        url.reveal(),
        max_connections=MOST_CONNECTIONS,
        timeout=TURN_S,
        socket_connect_timeout=CONNECT_S,
        socket_timeout=ANSWER_S,
        retry=once,
    )
    return Redis(connection_pool=pool)


async def _closed(redis: Redis) -> None:
    await redis.aclose(close_connection_pool=True)
    await redis.connection_pool.disconnect()

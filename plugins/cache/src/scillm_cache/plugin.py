"""The plugin: gives an answer that is known, and asks once for one that many want at once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from attrs import frozen

from scillm import BadRequestError, Fold, Request, Setting, hookimpl
from scillm.settings import boolean, variable
from scillm_cache.entries import Entry, digest, is_complete, read, shape_of, written
from scillm_cache.stores import MOST_BYTES, Disk, Memory, Shared, Store
from scillm_redis_store import SETTINGS as REDIS_SETTINGS
from scillm_redis_store import RedisStore

if TYPE_CHECKING:
    from scillm import Call, Event, Sender

LOG = logging.getLogger("scillm.cache")

CACHE: Setting[Any] = Setting(
    name="CACHE",
    default=False,
    read=boolean,
    option="cache",
    help="whether answers are kept and given again; an argument may also be a mapping with "
    "no-cache, no-store, ttl, s-maxage, namespace",
)
CACHING: Setting[Any] = Setting(
    name="CACHING", default=None, option="caching", help="another name of cache; only an argument"
)
DISABLE = Setting(
    name="CACHE_DISABLE", default=False, read=boolean, help="1 switches the cache off, whoever asks"
)
LEGACY_DISABLE = Setting(
    name="DISABLE_CACHE", default=False, read=boolean, help="another name of SCILLM_CACHE_DISABLE"
)
NAMESPACE: Setting[str | None] = Setting(
    name="CACHE_NAMESPACE", default=None, help="who shares answers; unset, run:RUN_ID, else scillm"
)
RUN_ID: Setting[str | None] = Setting(
    name="RUN_ID", default=None, prefix="", help="a run, whose answers are its own"
)
TTL_S = Setting(
    name="CACHE_TTL_SEC", default=3 * 86400.0, read=float, help="seconds that an answer is kept"
)
FOLDER: Setting[str | None] = Setting(
    name="CACHE_DIR", default=None, help="folder for answers on disk; unset, Redis or memory"
)
BYTES = Setting(
    name="CACHE_MAX_BYTES", default=MOST_BYTES, read=int, help="bytes of answers kept in memory"
)
SETTINGS: tuple[Setting[Any], ...] = (
    CACHE,
    CACHING,
    DISABLE,
    LEGACY_DISABLE,
    NAMESPACE,
    RUN_ID,
    TTL_S,
    FOLDER,
    BYTES,
    *REDIS_SETTINGS,
)
Flight = concurrent.futures.Future[str | None]
_WORDS = frozenset({"no-cache", "no-store", "ttl", "s-maxage", "namespace", "use-cache"})


@frozen(kw_only=True)
class Config:
    """How a kernel keeps answers.

    Attributes:
        store: Where.
        namespace: Who shares them; None takes the environment's.
        ttl_s: How long; None takes the environment's.
    """

    store: Store
    namespace: str | None = None
    ttl_s: float | None = None


@frozen
class _Wish:
    """What one call wants of the cache."""

    reads: bool = True
    writes: bool = True
    ttl_s: float | None = None
    freshest_s: float | None = None
    namespace: str | None = None


class Caching:
    """Keeps answers, and gives them again."""

    ORDER = 200
    SETTINGS = SETTINGS

    def __init__(self) -> None:
        self.config: Config | None = None
        self._made: dict[str, Store] = {}
        self._former: list[Store] = []
        self._flights: dict[str, Flight] = {}
        self._lock = threading.Lock()

    @hookimpl(wrapper=True)
    def send(self, call: Call) -> Generator[None, Sender | None, Sender | None]:
        """Wrap the Sender, if the cache is on for this call."""
        inner = yield
        wish = None if inner is None else self._wish(call)
        return inner if inner is None or wish is None else self._cached(inner, wish)

    def use(self, config: Config | None) -> None:
        """Keep answers as *config* says from now on; None leaves it to the environment.

        The store that was used before is closed with the kernel: calls may still be at it.
        """
        with self._lock:
            if self.config is not None:
                self._former.append(self.config.store)
            self.config = config

    async def aclose(self) -> None:
        """Close files and connections; what is in memory stays."""
        current = [self.config.store] if self.config else []
        stores = [*self._made.values(), *self._former, *current]
        self._made.clear()
        self._former.clear()
        for store in stores:
            await store.aclose()

    def _wish(self, call: Call) -> _Wish | None:
        asked = call.options.get("cache", call.options.get("caching"))
        if asked is None:
            asked = self.config is not None or CACHE.value()
        if asked is False or DISABLE.value() or LEGACY_DISABLE.value():
            return None
        return _Wish() if asked is True else _read_wish(asked)

    def _cached(self, inner: Sender, wish: _Wish) -> Sender:
        async def send(request: Request) -> AsyncGenerator[Event, None]:
            store, key = self._store(), self._key(request, wish)
            known, flight = await self._known(store, key, wish) if wish.reads else (None, None)
            if known is not None:
                yield known
                return
            text: str | None = None
            folding = Fold()
            try:
                async with aclosing(inner(request)) as events:
                    async for event in events:
                        folding.add(event)
                        yield event
                text = _kept(folding)
                if text is not None and wish.writes:
                    await store.put(key, text, self._ttl_s(wish))
            finally:
                if flight is not None:
                    self._land(key, flight, text)

        return send

    async def _known(
        self, store: Store, key: str, wish: _Wish
    ) -> tuple[Event | None, Flight | None]:
        """Return the answer, if it is kept or about to come; else the flight that begins here."""
        while True:
            if (hit := _hit(await store.get(key), wish)) is not None:
                return _noted(hit, store.name), None
            flight, is_mine = self._flight(key)
            if is_mine:
                return None, flight
            # Shielded: one who stops waiting must not end the flight of the others.
            told = await asyncio.shield(asyncio.wrap_future(flight))
            if (hit := _hit(told, wish)) is not None:
                return _noted(hit, "in flight"), None

    def _flight(self, key: str) -> tuple[Flight, bool]:
        """Return the flight of a key, and whether it begins here."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = concurrent.futures.Future()
            return flight, True

    def _land(self, key: str, flight: Flight, text: str | None) -> None:
        """Tell those who wait; without an answer they try for themselves, one after another."""
        with self._lock:
            self._flights.pop(key, None)
        flight.set_result(text)

    def _store(self) -> Store:
        if self.config is not None:
            return self.config.store
        folder = FOLDER.value()
        redis = None if folder else RedisStore("scillm.cache")
        name = folder or ("redis" if redis is not None and redis.is_configured else "memory")
        with self._lock:
            if name not in self._made:
                if folder:
                    self._made[name] = Disk(folder)
                elif redis is not None and redis.is_configured:
                    self._made[name] = Shared(redis, Memory(BYTES.value()))
                else:
                    self._made[name] = Memory(BYTES.value())
            return self._made[name]

    def _key(self, request: Request, wish: _Wish) -> str:
        given = wish.namespace or (self.config.namespace if self.config else None)
        return f"{given or namespace()}:{digest(shape_of(request))}"

    def _ttl_s(self, wish: _Wish) -> float:
        if wish.ttl_s is not None:
            return wish.ttl_s
        given = self.config.ttl_s if self.config else None
        return TTL_S.value() if given is None else given


def namespace() -> str:
    """Return the namespace that the environment names."""
    if named := NAMESPACE.value():
        return named
    run = variable("RUN_ID")
    return f"run:{run}" if run else "scillm"


def _read_wish(asked: Any) -> _Wish:
    if not isinstance(asked, Mapping):
        raise BadRequestError(f"cache={asked!r:.80} is neither true, false nor a mapping")
    if unknown := sorted(set(asked) - _WORDS):
        raise BadRequestError(f"cache has {unknown[0]!r}; there are {', '.join(sorted(_WORDS))}")
    return _Wish(
        reads=not asked.get("no-cache"),
        writes=not asked.get("no-store"),
        ttl_s=asked.get("ttl"),
        freshest_s=asked.get("s-maxage"),
        namespace=asked.get("namespace"),
    )


def _hit(text: str | None, wish: _Wish) -> Entry | None:
    entry = read(text) if text is not None else None
    if entry is None or (wish.freshest_s is not None and entry.age_s > wish.freshest_s):
        return None
    return entry


def _kept(folding: Fold) -> str | None:
    answer = folding.answer()
    return written(answer) if is_complete(answer) else None


def _noted(hit: Entry, backend: str) -> Event:
    notes = {"hit": True, "backend": backend, "age_s": round(hit.age_s, 3)}
    return hit.answer.with_notes("cache", notes)

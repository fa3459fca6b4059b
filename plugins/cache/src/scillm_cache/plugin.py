"""The plugin: gives an answer that is known, and asks once for one that many want at once."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Any

from attrs import frozen

from scillm import BadRequestError, Fold, Request, Setting, Timeout, hookimpl
from scillm.settings import boolean, variable
from scillm_cache.disk import Disk
from scillm_cache.entries import Entry, is_complete, key_of, read, written
from scillm_cache.flights import Flight, Flights
from scillm_cache.stores import MOST_BYTES, Memory, Shared, Store
from scillm_redis_store import SETTINGS as REDIS_SETTINGS
from scillm_redis_store import RedisStore

if TYPE_CHECKING:
    from scillm import Call, Event, Sender


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError("expected seconds, greater than 0")
    return value


def _bytes(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError("expected bytes, 0 or more")
    return value


CACHE: Setting[Any] = Setting(
    name="CACHE",
    default=False,
    read=boolean,
    option="cache",
    help="whether answers are kept and given again; an argument may also be a mapping with "
    "no-cache, no-store, use-cache, ttl, s-maxage, namespace",
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
    name="CACHE_TTL_SEC", default=3 * 86400.0, read=_positive, help="seconds that an answer is kept"
)
FOLDER: Setting[str | None] = Setting(
    name="CACHE_DIR", default=None, help="folder for answers on disk; unset, Redis or memory"
)
BYTES = Setting(
    name="CACHE_MAX_BYTES", default=MOST_BYTES, read=_bytes, help="bytes of answers kept in memory"
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
        self._made: dict[tuple[str, str], Store] = {}
        self._former: list[Store] = []
        self._flights = Flights()
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
        asked = call.options.get("cache")
        asked = call.options.get("caching") if asked is None else asked
        if asked is None:
            asked = self.config is not None or CACHE.value()
        if asked is False or _is_switched_off(asked) or DISABLE.value() or LEGACY_DISABLE.value():
            return None
        return _Wish() if asked is True else _read_wish(asked)

    def _cached(self, inner: Sender, wish: _Wish) -> Sender:
        ttl_s = self._ttl_s(wish)  # a variable that is wrong is told before anything is sent

        async def send(request: Request) -> AsyncGenerator[Event, None]:
            store, key = self._store(), self._key(request, wish)
            known, flight = (None, None)
            if wish.reads:
                known, flight = await self._known(store, key, wish, request)
            if known is not None:
                yield known
                return
            text: str | None = None
            folding = Fold()
            try:
                async with aclosing(inner(request)) as events:
                    async for event in events:
                        folding.add(event)
                        with flight.handed_over() if flight else nullcontext():
                            yield event
                text = _kept(folding)
                if text is not None and wish.writes:
                    await store.put(key, text, ttl_s)
            finally:
                if flight is not None:
                    self._flights.land(key, flight, text)

        return send

    async def _known(
        self, store: Store, key: str, wish: _Wish, request: Request
    ) -> tuple[Event | None, Flight | None]:
        """Return the answer, if it is kept or about to come; else the flight that begins here."""
        total_s = request.timeouts.total_s
        until_s = None if total_s is None else time.monotonic() + total_s
        while True:
            if (hit := _hit(await store.get(key), wish)) is not None:
                return _noted(hit, store.name), None
            flight, is_mine = self._flights.join(key)
            if is_mine:
                return None, flight
            try:
                told = await flight.landed(None if until_s is None else until_s - time.monotonic())
            except TimeoutError as error:
                raise _late(request, str(error)) from None
            if (hit := _hit(told, wish)) is not None:
                return _noted(hit, "in flight"), None

    def _store(self) -> Store:
        if self.config is not None:
            return self.config.store
        folder = FOLDER.value()
        redis = None if folder else RedisStore("scillm.cache")
        is_shared = redis is not None and redis.is_configured
        name = ("disk", folder) if folder else ("redis" if is_shared else "memory", "")
        with self._lock:
            if name not in self._made:
                if folder:
                    self._made[name] = Disk(folder)
                elif redis is not None and is_shared:
                    self._made[name] = Shared(redis, Memory(BYTES.value()))
                else:
                    self._made[name] = Memory(BYTES.value())
            return self._made[name]

    def _key(self, request: Request, wish: _Wish) -> str:
        given = wish.namespace or (self.config.namespace if self.config else None)
        return f"{given or namespace()}:{key_of(request)}"

    def _ttl_s(self, wish: _Wish) -> float:
        if wish.ttl_s is not None:
            return wish.ttl_s
        given = self.config.ttl_s if self.config else None
        return TTL_S.value() if given is None else given


def _late(request: Request, said: str) -> Timeout:
    route = request.route
    return Timeout(
        f"{route.provider}/{route.model}: {said} within the {request.timeouts.total_s:g} s of this "
        "call; allow more time, or cache={'no-cache': True} to ask by itself",
        llm_provider=route.provider,
        model=route.model,
    )


def namespace() -> str:
    """Return the namespace that the environment names."""
    if named := NAMESPACE.value():
        return named
    run = variable("RUN_ID")
    return f"run:{run}" if run else "scillm"


def _is_switched_off(asked: Any) -> bool:
    return isinstance(asked, Mapping) and asked.get("use-cache") is False


def _read_wish(asked: Any) -> _Wish:
    if not isinstance(asked, Mapping):
        raise BadRequestError(f"cache={asked!r:.80} is neither true, false nor a mapping")
    if unknown := sorted(set(asked) - _WORDS):
        raise BadRequestError(f"cache has {unknown[0]!r}; there are {', '.join(sorted(_WORDS))}")
    ttl_s, namespace = _seconds(asked, "ttl"), asked.get("namespace")
    if namespace is not None and not isinstance(namespace, str):
        raise BadRequestError(f"cache has namespace={namespace!r:.40}, which is no text")
    return _Wish(
        reads=not asked.get("no-cache"),
        writes=not asked.get("no-store") and ttl_s != 0,
        ttl_s=ttl_s,
        freshest_s=_seconds(asked, "s-maxage", -math.inf),
        namespace=namespace,
    )


def _seconds(asked: Mapping[str, Any], name: str, least: float = 0) -> float | None:
    value = asked.get(name)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is None or (is_number and least <= value < math.inf):
        return value
    raise BadRequestError(f"cache has {name}={value!r:.40}, which is no number of seconds")


def _hit(text: str | None, wish: _Wish) -> Entry | None:
    entry = read(text) if text is not None else None
    if entry is None or (wish.freshest_s is not None and entry.age_s > wish.freshest_s):
        return None
    return entry


def _kept(folding: Fold) -> str | None:
    """Return an answer as text to keep; None if it is none to keep, or cannot be written."""
    try:
        answer = folding.answer()
        return written(answer) if is_complete(answer) else None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _noted(hit: Entry, backend: str) -> Event:
    notes = {"hit": True, "backend": backend, "age_s": round(hit.age_s, 3)}
    return hit.answer.with_notes("cache", notes)

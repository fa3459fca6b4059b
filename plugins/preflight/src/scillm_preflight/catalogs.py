"""What is known of each host, in this process and in the file, and how old it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from scillm import BadRequestError
from scillm_preflight import shelf
from scillm_preflight.flights import Flights
from scillm_preflight.settings import PERSIST, TTL_S
from scillm_preflight.shelf import AHEAD_S, LOG, Catalog

WEB = ("http://", "https://")


def place_of(base: str) -> str:
    """Return an address as catalogues are kept by: without ``/v1``, its query or a slash.

    Raises:
        BadRequestError: It is none.

    >>> place_of("http://LocalHost:8788/v1/"), place_of("https://api.example.com")
    ('http://localhost:8788', 'https://api.example.com')
    """
    if not isinstance(base, str) or not base.startswith(WEB):
        raise BadRequestError(f"api_base={base!r} is no address: it begins with http or https")
    parts = urlsplit(base)
    path = parts.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/v1")
    host = parts.netloc.rpartition("@")[2].lower()  # no password, if there were one
    return f"{parts.scheme.lower()}://{host}{path.rstrip('/')}"


def in_words(age_s: float) -> str:
    """Say an age: ``12 s``, ``34 min``, ``5 h``, ``6 days``."""
    for seconds, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if age_s >= 2 * seconds:
            return f"{age_s / seconds:.0f} {unit}"
    return f"{age_s:.0f} s"


class Catalogues:
    """The catalogues of one kernel's plugin; safe for threads.

    Args:
        clock: Tells seconds since 1970: ages count across processes.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.reading: Flights[Catalog] = Flights()
        self.reading_sync: Flights[Catalog] = Flights()
        self._known: dict[str, Catalog] = {}
        self._lock = threading.Lock()
        self._mark: tuple[int, int, int] | None = None
        self._warned: set[str] = set()

    def age_s(self, catalog: Catalog) -> float:
        """Return how old a catalogue is, in seconds."""
        return max(0.0, self.clock() - catalog.read_at_s)

    def fresh(self, place: str, ttl_s: float | None = None) -> Catalog | None:
        """Return the catalogue of a host if it is not stale.

        Args:
            place: As ``place_of`` gives it.
            ttl_s: Seconds after which it is; None takes the setting's.
        """
        limit_s = TTL_S.value() if ttl_s is None else ttl_s
        known = self._known.get(place)
        if known is None or not self._is_within(known, limit_s):
            known = self.known(place)
        return known if known is not None and self._is_within(known, limit_s) else None

    def known(self, place: str) -> Catalog | None:
        """Return the newest catalogue of a host, however old, of this process or the file."""
        self._look()
        return self._known.get(place)

    def keep(self, place: str, ids: frozenset[str]) -> Catalog:
        """Keep what a host has just told, here and in the file."""
        catalog = Catalog(ids, self.clock())
        with self._lock:
            self._known[place] = catalog
        if PERSIST.value() and (file := shelf.path()) is not None:
            try:
                kept = shelf.add(file, place, catalog)
                self._merge({other: kept[other] for other in kept if other != place})
            except OSError as error:
                self._warn("write", f"the catalogue of {place} is not kept in {file}: {error}")
        return catalog

    def _is_within(self, catalog: Catalog, limit_s: float) -> bool:
        is_possible = catalog.read_at_s <= self.clock() + AHEAD_S
        return is_possible and self.age_s(catalog) < limit_s

    def _look(self) -> None:
        """Read the file, if it has changed since it was last read."""
        file = shelf.path() if PERSIST.value() else None
        mark = None if file is None else shelf.mark(file)
        if file is None or mark is None or mark == self._mark:
            return
        try:
            self._merge(shelf.read(file))
        except shelf.Damaged as error:
            self._warn("read", f"{file} is no catalogue of ours and counts as absent: {error}")
        self._mark = mark

    def _merge(self, found: shelf.Catalogs) -> None:
        latest_s = self.clock() + AHEAD_S
        with self._lock:
            for place, catalog in found.items():
                old = self._known.get(place)
                is_newer = old is None or catalog.read_at_s >= old.read_at_s
                if is_newer and catalog.read_at_s <= latest_s:
                    self._known[place] = catalog

    def _warn(self, deed: str, text: str) -> None:
        """Say it once: what is wrong with the file is so for every call."""
        if deed not in self._warned:
            self._warned.add(deed)
            LOG.warning("%s", text)

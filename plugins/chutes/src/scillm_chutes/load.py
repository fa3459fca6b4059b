"""How busy a model is, and who comes first: the idle, then the unknown, then the busy.

A model counts as busy when its load was at or above ``SCILLM_UTIL_HI`` for ``SCILLM_UTIL_K``
readings in a row, and stays so until it is at or below ``SCILLM_UTIL_LO``: without that gap the
order would change at every reading.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from threading import Lock
from typing import Any

import httpx
from attrs import define

from scillm_chutes.settings import UTIL_HI, UTIL_K, UTIL_LO, UTIL_TTL_S, Gateway

PATHS = ("/chutes/utilization", "/chutes/utilization_legacy")
IDLE, UNKNOWN, BUSY = 0, 1, 2


@define
class _Seen:
    share: float | None = None
    high: int = 0
    is_busy: bool = False

    def add(self, share: float | None) -> None:
        self.share = share
        if share is None:
            return
        self.high = self.high + 1 if share >= UTIL_HI.value() else 0
        self.is_busy = self.high >= UTIL_K.value() or (self.is_busy and share > UTIL_LO.value())


class Load:
    """The load of models, by gateway; one per process, safe for threads."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._at: dict[str, float] = {}
        self._lock = Lock()

    def read(self, gateway: Gateway, models: list[str]) -> bool:
        """Read what the gateway tells, unless it was read a moment ago; whether it told."""
        with self._lock:
            is_fresh = time.monotonic() - self._at.get(gateway.base, -1e9) < UTIL_TTL_S.value()
            if is_fresh:
                return any((gateway.base, model) in self._seen for model in models)
            self._at[gateway.base] = time.monotonic()
        told = _told(gateway)
        with self._lock:
            for model in models:
                seen = self._seen.setdefault((gateway.base, model), _Seen())
                seen.add(told.get(model, told.get("")))
        return bool(told)

    def share(self, base: str, model: str) -> float | None:
        """Return the share of capacity in use, 0 to 1, or None if nobody told."""
        seen = self._seen.get((base, model))
        return seen.share if seen else None

    def place(self, base: str, model: str) -> tuple[int, float]:
        """Return what to sort by: the least comes first."""
        seen = self._seen.get((base, model))
        if seen is None or seen.share is None:
            return (UNKNOWN, 0.0)
        return (BUSY if seen.is_busy else IDLE, seen.share)

    def clear(self) -> None:
        """Forget all that was read."""
        with self._lock:
            self._seen.clear()
            self._at.clear()


LOAD = Load()


def _told(gateway: Gateway) -> dict[str, float]:
    """Return load by model; ``""`` stands for all models of the gateway. Empty if untold."""
    base = gateway.base.rstrip("/").removesuffix("/v1")
    headers = {"authorization": f"Bearer {gateway.key.reveal()}"} if gateway.key else {}
    for path in PATHS:
        try:
            answer = httpx.get(base + path, headers=headers, timeout=5.0)
            if answer.status_code == httpx.codes.OK:
                return _shares(answer.json())
        except (httpx.HTTPError, ValueError):
            continue  # a gateway that does not tell is no error: its load is unknown
    return {}


def _shares(said: Any) -> dict[str, float]:
    if isinstance(said, Mapping) and isinstance(said.get("data"), list):
        said = said["data"]
    entries = said if isinstance(said, list) else [said]
    shares = {}
    for entry in entries:
        share = entry.get("utilization") if isinstance(entry, Mapping) else None
        if isinstance(share, (int, float)) and not isinstance(share, bool):
            name = entry.get("name") or entry.get("model") or entry.get("id") or ""
            shares[str(name)] = min(1.0, max(0.0, float(share)))
    return shares

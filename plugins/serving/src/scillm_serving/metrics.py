"""What a server counts, as Prometheus reads it.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scillm_serving.exchange import Exchange

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS_S = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_REQUESTS, _SECONDS = "scillm_http_requests_total", "scillm_http_request_duration_seconds"


class Metrics:
    """Requests by route, method and status, and how long they took by route."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._within: Counter[tuple[str, float]] = Counter()
        self._count: Counter[str] = Counter()
        self._sum_s: Counter[str] = Counter()

    def count(self, exchange: Exchange) -> None:
        """Count one that is over."""
        route, took_s = exchange.route, exchange.ms / 1000
        method = (
            exchange.method if exchange.route != "none" else "any"
        )  # a client could make up more
        self._requests[route, method, exchange.status] += 1
        self._count[route] += 1
        self._sum_s[route] += took_s  # type: ignore[assignment]  # a Counter of floats
        for bound_s in _BOUNDS_S:
            self._within[route, bound_s] += took_s <= bound_s

    def text(self) -> str:
        """Return all of it."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"# HELP {_REQUESTS} Requests that are over."
        yield f"# TYPE {_REQUESTS} counter"
        for (route, method, status), number in sorted(self._requests.items()):
            yield f'{_REQUESTS}{{route="{route}",method="{method}",status="{status}"}} {number}'
        yield f"# HELP {_SECONDS} Seconds from the head of a request to the end of its answer."
        yield f"# TYPE {_SECONDS} histogram"
        for route, number in sorted(self._count.items()):
            for bound_s in _BOUNDS_S:
                within = self._within[route, bound_s]
                yield f'{_SECONDS}_bucket{{route="{route}",le="{bound_s}"}} {within}'
            yield f'{_SECONDS}_bucket{{route="{route}",le="+Inf"}} {number}'
            yield f'{_SECONDS}_sum{{route="{route}"}} {self._sum_s[route]:.6f}'
            yield f'{_SECONDS}_count{{route="{route}"}} {number}'

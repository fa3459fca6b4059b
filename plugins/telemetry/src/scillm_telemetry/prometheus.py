"""Counts for Prometheus. They are the process's, as its client library has it."""

from __future__ import annotations

import threading
from collections import Counter as Tally
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import frozen

from scillm_telemetry.record import Record

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)


@frozen
class _Families:
    requests: Counter
    latency: Histogram
    retries: Counter
    fallbacks: Counter
    in_flight: Gauge
    tokens: Counter
    cost: Counter


_making = threading.Lock()


def _families() -> _Families:
    """Return them, registered once in a process: the registry takes no name twice."""
    with _making:
        return _made()


@lru_cache(maxsize=1)
def _made() -> _Families:
    from prometheus_client import Counter, Gauge, Histogram

    return _Families(
        requests=Counter(
            "scillm_requests_total",
            "Calls that are over.",
            ["route", "result", "retried", "model_tier"],
        ),
        latency=Histogram(
            "scillm_request_latency_seconds",
            "Seconds from a call to the end of its answer, retries included.",
            buckets=BUCKETS_S,
        ),
        retries=Counter("scillm_retries_total", "Attempts that were made again.", ["reason"]),
        fallbacks=Counter(
            "scillm_router_fallbacks_total",
            "Deployments of a Router that failed before another one was asked.",
            ["reason"],
        ),
        in_flight=Gauge(
            "scillm_requests_in_flight",
            "Calls under way.",
            ["route"],
            multiprocess_mode="livesum",
        ),
        tokens=Counter("scillm_tokens_total", "Tokens used.", ["route", "direction"]),
        cost=Counter("scillm_cost_usd_total", "US dollars, where known.", ["route"]),
    )


class Counts:
    """Counts each call."""

    def begin(self, record: Record) -> None:
        """Count it as under way."""
        _families().in_flight.labels(_route(record)).inc()

    def end(self, record: Record) -> None:
        """Count it as over."""
        families, route = _families(), _route(record)
        families.in_flight.labels(route).dec()
        fell = Tally(str(one.get("kind")) for one in record.attempted)
        again = Tally(str(failure.kind) for failure in record.retried) - fell
        is_retried, tier = str(bool(again)).lower(), "fallback" if record.is_fallback else "primary"
        families.requests.labels(route, record.result, is_retried, tier).inc()
        families.latency.observe(record.elapsed_s or 0.0)
        for reason, count in again.items():
            families.retries.labels(reason).inc(count)
        for reason, count in fell.items():
            families.fallbacks.labels(reason).inc(count)
        if record.is_hit:
            return
        for direction, name in (("input", "prompt_tokens"), ("output", "completion_tokens")):
            families.tokens.labels(route, direction).inc(record.tokens(name) or 0)
        if record.cost is not None and record.cost.usd is not None:
            families.cost.labels(route).inc(record.cost.usd)


def _route(record: Record) -> str:
    """Return who was asked. A name that nobody answers for is the caller's: it makes no label."""
    route = record.route
    return f"{route.provider}/{route.model}" if route is not None else "none"

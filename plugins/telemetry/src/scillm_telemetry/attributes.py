"""From a record to the attributes of a span and of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scillm_telemetry import semconv
from scillm_telemetry.record import Record, server

Attributes = dict[str, Any]
_PARAMS: tuple[tuple[str, str, type], ...] = (
    ("temperature", semconv.REQUEST_TEMPERATURE, float),
    ("top_p", semconv.REQUEST_TOP_P, float),
    ("top_k", semconv.REQUEST_TOP_K, float),
    ("max_tokens", semconv.REQUEST_MAX_TOKENS, int),
    ("max_completion_tokens", semconv.REQUEST_MAX_TOKENS, int),
    ("seed", semconv.REQUEST_SEED, int),
    ("frequency_penalty", semconv.REQUEST_FREQUENCY_PENALTY, float),
    ("presence_penalty", semconv.REQUEST_PRESENCE_PENALTY, float),
    ("dimensions", semconv.EMBEDDING_DIMENSIONS, int),
)
_NOTED: tuple[tuple[str, str, str], ...] = (
    ("cache", "hit", semconv.CACHE_HIT),
    ("cache", "backend", semconv.CACHE_BACKEND),
    ("hedge", "started", semconv.HEDGE_STARTED),
    ("hedge", "winner", semconv.HEDGE_WINNER),
    ("router", "model_group", semconv.ROUTER_GROUP),
    ("router", "served_group", semconv.ROUTER_SERVED_GROUP),
    ("router", "deployment", semconv.ROUTER_DEPLOYMENT),
    ("router", "fallback_used", semconv.ROUTER_FALLBACK),
    ("pacing", "waited_s", semconv.PACING_WAITED_S),
)
_TOKENS: tuple[tuple[str, str, str | None], ...] = (
    (semconv.INPUT_TOKENS, "prompt_tokens", None),
    (semconv.OUTPUT_TOKENS, "completion_tokens", None),
    (semconv.CACHE_READ_TOKENS, "prompt_tokens_details", "cached_tokens"),
    (semconv.CACHE_WRITE_TOKENS, "prompt_tokens_details", "cache_write_tokens"),
    (semconv.REASONING_TOKENS, "completion_tokens_details", "reasoning_tokens"),
)


def at_start(record: Record) -> Attributes:
    """Return what is known when a call is made; a sampler decides on it."""
    route = record.route
    found: Attributes = {semconv.OPERATION: semconv.OPERATIONS[record.call.operation]}
    if route is not None:
        found[semconv.PROVIDER] = semconv.provider(route.provider)
    if model := model_asked(record):
        found[semconv.REQUEST_MODEL] = model
    return found | _server(record)


def model_asked(record: Record) -> str:
    """Return the model's own name, or what the caller wrote where nobody answers for it."""
    return record.route.model if record.route is not None else record.call.model


def of_request(record: Record) -> Attributes:
    """Return what a call asks for."""
    call = record.call
    params = {**call.extra_body, **call.params}
    found: Attributes = {}
    for name, attribute, kind in _PARAMS:
        value = params.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found[attribute] = kind(value)
    if (stop := params.get("stop")) is not None:
        found[semconv.REQUEST_STOP] = [stop] if isinstance(stop, str) else [str(s) for s in stop]
    if isinstance(n := params.get("n"), int) and n != 1:
        found[semconv.REQUEST_CHOICES] = n
    if isinstance(encoding := params.get("encoding_format"), str):
        found[semconv.REQUEST_ENCODING_FORMATS] = [encoding]
    if isinstance(shape := params.get("response_format"), Mapping):
        found[semconv.OUTPUT_TYPE] = "json" if "json" in str(shape.get("type")) else "text"
    if call.stream:
        found[semconv.REQUEST_STREAM] = True
    return found


def at_end(record: Record) -> Attributes:
    """Return what is known when a call is over."""
    known: Attributes = {
        semconv.RESPONSE_ID: record.response_id,
        semconv.RESPONSE_MODEL: record.response_model,
        semconv.RESPONSE_FINISH_REASONS: record.finish_reasons or None,
        semconv.RESPONSE_FIRST_CHUNK_S: record.first_s if record.call.stream else None,
        semconv.RESULT: record.result,
        semconv.RETRIES: len(record.retried),
        semconv.ROUTER_ATTEMPTED: [str(one.get("deployment")) for one in record.attempted] or None,
        semconv.ERROR_TYPE: record.error_type,
        semconv.STATUS_CODE: record.failure.status if record.failure else None,
    }
    known |= {name: record.tokens(field, detail) for name, field, detail in _TOKENS}
    known |= {name: record.notes.get(plugin, {}).get(note) for plugin, note, name in _NOTED}
    if record.cost is not None:
        known[semconv.COST_USD], known[semconv.COST_SOURCE] = record.cost.usd, record.cost.source
    if (route := record.served_by) is not None:
        known[semconv.PROVIDER] = semconv.provider(route.provider)
        known |= _server(record)
    return {name: value for name, value in known.items() if value is not None}


def of_metrics(record: Record) -> Attributes:
    """Return what metrics are told apart by; few values each."""
    found = at_start(record)
    if (route := record.answered_by) is not None:
        found[semconv.PROVIDER] = semconv.provider(route.provider)
    if record.response_model:
        found[semconv.RESPONSE_MODEL] = record.response_model
    return found


def _server(record: Record) -> Attributes:
    host, port = server(record.answered_by)
    found: Attributes = {semconv.SERVER_ADDRESS: host} if host else {}
    return found | ({semconv.SERVER_PORT: port} if host and port else {})

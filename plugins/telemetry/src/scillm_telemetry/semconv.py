"""Every name of OpenTelemetry that this distribution writes, in one table.

The conventions for generative AI are incubating: names still change, and only here.

Source: the semantic conventions for generative AI client spans, metrics and events of
OpenTelemetry (repository semantic-conventions-genai), November 2026; those of errors and
servers, version 1.42.
"""

from __future__ import annotations

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
OUTPUT_TYPE = "gen_ai.output.type"

REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_TOP_P = "gen_ai.request.top_p"
REQUEST_TOP_K = "gen_ai.request.top_k"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_STOP = "gen_ai.request.stop_sequences"
REQUEST_SEED = "gen_ai.request.seed"
REQUEST_CHOICES = "gen_ai.request.choice.count"
REQUEST_FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty"
REQUEST_PRESENCE_PENALTY = "gen_ai.request.presence_penalty"
REQUEST_ENCODING_FORMATS = "gen_ai.request.encoding_formats"
EMBEDDING_DIMENSIONS = "gen_ai.embeddings.dimension.count"

RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
RESPONSE_FIRST_CHUNK_S = "gen_ai.response.time_to_first_chunk"

INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"

INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
DETAILS_EVENT = "gen_ai.client.inference.operation.details"

SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
ERROR_TYPE = "error.type"
STATUS_CODE = "http.response.status_code"

TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105  # a name, no secret
TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105  # the same
DURATION = "gen_ai.client.operation.duration"
FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
TOKEN_BUCKETS = tuple(4.0**power for power in range(14))
SECONDS_BUCKETS = tuple(0.01 * 2**power for power in range(14))

# Ours, for what the conventions have no name for.
RESULT = "scillm.result"
RETRIES = "scillm.retries"
ATTEMPT_FAILED = "scillm.attempt_failed"
COST_USD = "scillm.cost_usd"
COST_SOURCE = "scillm.cost_source"
CACHE_HIT = "scillm.cache.hit"
CACHE_BACKEND = "scillm.cache.backend"
HEDGE_STARTED = "scillm.hedge.started"
HEDGE_WINNER = "scillm.hedge.winner"
ROUTER_GROUP = "scillm.router.group"
ROUTER_SERVED_GROUP = "scillm.router.served_group"
ROUTER_DEPLOYMENT = "scillm.router.deployment"
ROUTER_FALLBACK = "scillm.router.fallback_used"
ROUTER_ATTEMPTED = "scillm.router.attempted"
PACING_WAITED_S = "scillm.pacing.waited_s"

OPERATIONS = {"chat": "chat", "embedding": "embeddings", "models": "list_models"}
_PROVIDERS = {"mistral": "mistral_ai", "xai": "x_ai"}  # the others are called the same


def provider(name: str) -> str:
    """Return the conventions' name of a provider, its own if they have none."""
    return _PROVIDERS.get(name, name)

"""Prices of genai-prices, from the table inside the installed package: nothing is fetched."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from scillm_telemetry.price_map import Tokens

MISSING = (
    "no price is given for it, and genai-prices is not installed: "
    "pip install 'scillm-telemetry[prices]', or name prices by SCILLM_PRICES"
)


@lru_cache(maxsize=1)
def load() -> Any:
    """Load the library and its table, 0.4 s of work; None if it is not installed."""
    try:
        import genai_prices
    except ImportError:
        return None
    _is_known(genai_prices, "gpt-4o", {"provider_id": "openai"})
    return genai_prices


def is_loaded() -> bool:
    """Whether ``load`` has been called."""
    return load.cache_info().currsize > 0


def usd(
    tokens: Tokens, *, provider: str, base_url: str, models: tuple[str, ...], tier: str | None
) -> float:
    """Return what an answer costs, in US dollars.

    Args:
        tokens: What it took.
        provider: Who answered.
        base_url: Where, for providers that the table knows by their address alone.
        models: Names of the model, the best first.
        tier: The service tier that the provider says it used.

    Raises:
        LookupError: The table does not know the provider or the model; says what to do.
        ValueError: The counts cannot be: more cached tokens than tokens.
    """
    prices = load()
    if prices is None:
        raise LookupError(MISSING)
    where, model = _place(provider, base_url, models)
    usage = prices.Usage(
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cache_read_tokens=tokens.cache_read or None,
        cache_write_tokens=tokens.cache_write or None,
    )
    context = {"service_tier": tier} if tier else None
    return float(prices.calc_price(usage, model, price_context=context, **where).total_price)


@lru_cache(maxsize=1024)
def _place(provider: str, base_url: str, models: tuple[str, ...]) -> tuple[dict[str, str], str]:
    """Return how the table knows a model. What it does not know is asked for again each time."""
    prices = load()
    by_url = [{"provider_api_url": base_url}] if base_url else []
    for where in ({"provider_id": provider}, *by_url):
        for model in models:
            if _is_known(prices, model, where):
                return where, model
    raise LookupError(
        f"no price is known for {provider}/{models[0]}: give one by SCILLM_PRICES or prices={{...}}"
    )


def _is_known(prices: Any, model: str, where: dict[str, str]) -> bool:
    try:
        prices.calc_price(prices.Usage(input_tokens=0, output_tokens=0), model, **where)
    except LookupError:
        return False
    return True

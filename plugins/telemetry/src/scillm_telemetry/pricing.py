"""What an answer costs: found when its usage comes, and put on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from attrs import frozen

from scillm import BadRequestError
from scillm_telemetry import library
from scillm_telemetry.price_map import Price, PriceMap, Tokens, read
from scillm_telemetry.record import Record, is_chunk
from scillm_telemetry.settings import PRICES

if TYPE_CHECKING:
    from scillm import Call, Event

NAME = "telemetry"


@frozen(kw_only=True)
class Cost:
    """What one answer cost.

    Attributes:
        usd: In US dollars; None where it is not known.
        source: Whose prices: ``"prices"``, ``"genai-prices"``, or ``"cache"`` for an answer
            that was not paid for again.
        why: Why it is not known.
        saved_usd: What an answer from a cache would have cost.
    """

    usd: float | None = None
    source: str | None = None
    why: str | None = None
    saved_usd: float | None = None

    def notes(self) -> dict[str, Any]:
        """Return what is noted on the answer."""
        found: dict[str, Any] = {"cost": self.usd, "response_cost": self.usd}
        named = {"source": self.source, "unknown": self.why, "saved": self.saved_usd}
        return found | {f"cost_{n}": value for n, value in named.items() if value is not None}


@frozen
class Pricing:
    """The prices that hold for one call."""

    own: PriceMap | None = None

    @classmethod
    def of(cls, call: Call) -> Pricing:
        """Return the prices that a call names, else those of the environment.

        Raises:
            BadRequestError: They cannot be read.
        """
        given = PRICES.value(call)
        if given is None:
            return cls()
        try:
            return cls(read(given))
        except ValueError as error:
            source = "prices" if PRICES.option in call.options else PRICES.variable
            raise BadRequestError(f"{source}: {error}") from None

    def loading(self, record: Record) -> asyncio.Future[Any] | None:
        """Load the table of prices in a thread, while the request is under way, if need be."""
        route = record.answered_by
        is_own = route is not None and self._own(record, route.provider, route.model) is not None
        if is_own or library.is_loaded():
            return None
        return asyncio.get_running_loop().run_in_executor(None, library.load)

    @staticmethod
    def can_tell(event: Event) -> bool:
        """Whether the cost is to be put on this event.

        That is the whole answer or, of a stream, the piece that brings the usage; one that
        ends without a usage says on its last piece that the cost is not known.
        """
        return not is_chunk(event) or event.get("usage") is not None or event.is_final

    def priced(self, event: Event, record: Record) -> Event:
        """Return an event with the cost on it."""
        cost = record.cost = self.cost(record)
        return event.evolve(cost=cost.usd).with_notes(NAME, cost.notes())

    def cost(self, record: Record) -> Cost:
        """Return what the answer costs."""
        paid = self._paid(record)
        if not record.is_hit:
            return paid
        return Cost(usd=0.0, source="cache", saved_usd=paid.usd)

    def _paid(self, record: Record) -> Cost:
        route, tokens = record.answered_by, _tokens(record)
        if tokens is None or route is None:
            return Cost(why="the provider told no usage")
        told = (record.response_model,) if record.response_model else ()
        if (price := self._own(record, route.provider, route.model, *told)) is not None:
            return Cost(usd=price.usd(tokens), source="prices")
        try:
            found = library.usd(
                tokens,
                provider=route.provider,
                base_url=route.base_url,
                models=tuple(dict.fromkeys((route.model, *told))),
                tier=record.service_tier,
            )
        except (LookupError, ValueError) as error:
            return Cost(why=str(error))
        return Cost(usd=found, source="genai-prices")

    def _own(self, record: Record, provider: str, *models: str) -> Price | None:
        if self.own is None:
            return None
        full = (f"{provider}/{model}" for model in models)
        return self.own.find(record.call.model, *full, *models)


def _tokens(record: Record) -> Tokens | None:
    asked, said = record.tokens("prompt_tokens"), record.tokens("completion_tokens")
    if asked is None and said is None:
        return None
    return Tokens(
        input=asked or 0,
        output=said or 0,
        cache_read=record.tokens("prompt_tokens_details", "cached_tokens") or 0,
        cache_write=record.tokens("prompt_tokens_details", "cache_write_tokens") or 0,
        reasoning=record.tokens("completion_tokens_details", "reasoning_tokens") or 0,
    )

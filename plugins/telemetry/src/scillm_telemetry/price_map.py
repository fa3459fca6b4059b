"""The user's own prices: a mapping, or a file of JSON that holds one."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from attrs import fields, frozen

PER_MTOK = 1_000_000
_PER_TOKEN = {
    "input_cost_per_token": "input_usd_per_mtok",
    "output_cost_per_token": "output_usd_per_mtok",
    "cache_read_input_token_cost": "cache_read_usd_per_mtok",
    "cache_creation_input_token_cost": "cache_write_usd_per_mtok",
    "output_cost_per_reasoning_token": "reasoning_usd_per_mtok",
}


@frozen(kw_only=True)
class Tokens:
    """The tokens of one answer; cached and reasoning ones are among the others."""

    input: int
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


@frozen(kw_only=True)
class Price:
    """What a model takes, in US dollars: for a million tokens, and for each request.

    Attributes:
        input_usd_per_mtok: Tokens of the prompt.
        output_usd_per_mtok: Tokens of the answer.
        cache_read_usd_per_mtok: Those of the prompt that the provider had in a cache; unset,
            the input's price.
        cache_write_usd_per_mtok: Those that it put there; unset, the input's price.
        reasoning_usd_per_mtok: Those of the answer that were reasoning; unset, the output's.
        request_usd: Each request.
    """

    input_usd_per_mtok: float = 0.0
    output_usd_per_mtok: float = 0.0
    cache_read_usd_per_mtok: float | None = None
    cache_write_usd_per_mtok: float | None = None
    reasoning_usd_per_mtok: float | None = None
    request_usd: float = 0.0

    def usd(self, tokens: Tokens) -> float:
        """Return what an answer costs."""
        plain_input = max(0, tokens.input - tokens.cache_read - tokens.cache_write)
        plain_output = max(0, tokens.output - tokens.reasoning)
        total = (
            plain_input * self.input_usd_per_mtok
            + tokens.cache_read * _else(self.cache_read_usd_per_mtok, self.input_usd_per_mtok)
            + tokens.cache_write * _else(self.cache_write_usd_per_mtok, self.input_usd_per_mtok)
            + plain_output * self.output_usd_per_mtok
            + tokens.reasoning * _else(self.reasoning_usd_per_mtok, self.output_usd_per_mtok)
        )
        return total / PER_MTOK + self.request_usd


def _else(own: float | None, other: float) -> float:
    return other if own is None else own


_NAMES = tuple(each.name for each in fields(Price))


@frozen
class PriceMap:
    """Prices by name: ``provider/model``, a model alone, or a pattern such as ``mine/*``."""

    prices: Mapping[str, Price]

    def find(self, *names: str) -> Price | None:
        """Return the price of the first of *names* that has one; exact names before patterns."""
        exact = (self.prices[name] for name in names if name in self.prices)
        return next(exact, None) or next(self._matching(names), None)

    def _matching(self, names: tuple[str, ...]) -> Iterator[Price]:
        patterns = sorted((key for key in self.prices if "*" in key), key=len, reverse=True)
        for pattern in patterns:
            if any(fnmatchcase(name, pattern) for name in names):
                yield self.prices[pattern]


def read(given: Any) -> PriceMap:
    """Return the prices of a mapping, or of the file at a path.

    A file is read again when it has changed.

    Raises:
        ValueError: It cannot be read; the message says where.
    """
    if isinstance(given, Mapping):
        return _of_mapping(given, "prices")
    if not isinstance(given, (str, Path)) or not str(given):
        raise ValueError(f"prices={given!r:.80} is neither a mapping nor the path of a file")
    path = Path(given).expanduser()
    try:
        stat = path.stat()
    except OSError as error:
        raise ValueError(f"the price file {str(path)!r} cannot be read: {error.strerror}") from None
    return _of_file(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=16)
def _of_file(path: Path, mtime_ns: int, size_bytes: int) -> PriceMap:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"the price file {str(path)!r} is not JSON text: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(  # noqa: TRY004  # of a file's content, not of an argument
            f"the price file {str(path)!r} holds no JSON object of prices by model"
        )
    return _of_mapping(found, str(path))


def _of_mapping(given: Mapping[str, Any], where: str) -> PriceMap:
    return PriceMap(
        {str(model): _price(value, f"{where}[{model!r}]") for model, value in given.items()}
    )


def _price(given: Any, where: str) -> Price:
    """Read one entry: our names, or those of litellm's table, whose other fields are left out."""
    if not isinstance(given, Mapping):
        raise ValueError(  # noqa: TRY004  # the same
            f"{where} is {given!r:.80}: write {{'input_usd_per_mtok': 0.15, ...}}"
        )
    foreign = {ours: given[theirs] for theirs, ours in _PER_TOKEN.items() if theirs in given}
    if foreign:
        return Price(**{n: _amount(v, f"{where}: {n}") * PER_MTOK for n, v in foreign.items()})
    unknown = [name for name in given if name not in _NAMES]
    if unknown or not given:
        name = unknown[0] if unknown else ""
        near = difflib.get_close_matches(str(name), _NAMES, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"{where} has {name!r}: {hint}there are {', '.join(_NAMES)}")
    return Price(**{name: _amount(value, f"{where}: {name}") for name, value in given.items()})


def _amount(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise ValueError(f"{where} is {value!r:.80}: it must be a number of US dollars, 0 or more")
    return float(value)

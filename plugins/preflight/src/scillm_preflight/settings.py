"""The variables and options."""

from __future__ import annotations

from typing import Any

from scillm import BadRequestError, Setting
from scillm.settings import boolean


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError("expected seconds, 0 or more")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError("expected a number from 0 to 1")
    return value


GUARD = Setting(
    name="MODEL_PREFLIGHT",
    default=False,
    read=boolean,
    option="model_preflight",
    help="whether a model id that its host's catalogue does not have is refused before it is sent",
)
TTL_S = Setting(
    name="MODEL_PREFLIGHT_TTL_S",
    default=1800.0,
    read=_seconds,
    help="seconds after which a catalogue is stale",
)
ALLOW_STALE = Setting(
    name="MODEL_PREFLIGHT_ALLOW_STALE",
    default=False,
    read=boolean,
    option="model_preflight_allow_stale",
    help="whether a stale catalogue counts; else it is as if there were none",
)
PERSIST = Setting(
    name="MODEL_PREFLIGHT_PERSIST",
    default=True,
    read=boolean,
    help="whether catalogues are kept in the file scillm/catalog.json of the user's cache",
)
ALIAS = Setting(
    name="MODEL_ALIAS",
    default=False,
    read=boolean,
    option="model_alias",
    help="whether a name that the catalogue does not have is resolved to the one id that it means",
)
CUTOFF = Setting(
    name="MODEL_ALIAS_CUTOFF",
    default=0.55,
    read=_share,
    option="model_alias_cutoff",
    help="how alike a name and its id must be, from 0 to 1, besides meaning the same model",
)
ALIAS_LLM = Setting(
    name="MODEL_ALIAS_LLM",
    default=False,
    read=boolean,
    option="model_alias_llm",
    help="whether a model chooses where a name means several ids",
)
ALIAS_LLM_MODEL = Setting(
    name="ALIAS_LLM_MODEL",
    default="gpt-5",
    help="the model that chooses: an id of the same host, or provider/model",
)
CACHE_HOME = Setting(
    name="XDG_CACHE_HOME", default="", prefix="", help="folder of caches. Else ~/.cache"
)
SETTINGS: tuple[Setting[Any], ...] = (
    GUARD,
    TTL_S,
    ALLOW_STALE,
    PERSIST,
    ALIAS,
    CUTOFF,
    ALIAS_LLM,
    ALIAS_LLM_MODEL,
    CACHE_HOME,
)


def checked_cutoff(value: Any) -> float:
    """Return a cutoff that came as an argument.

    Raises:
        BadRequestError: It is no number from 0 to 1.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise BadRequestError(f"the cutoff {value!r} is no number from 0 to 1")
    return float(value)

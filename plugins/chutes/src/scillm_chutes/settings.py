"""The variables that name gateways and models, and how much load is too much."""

from __future__ import annotations

from typing import Any, Literal

from attrs import frozen

from scillm import Secret, Setting
from scillm.settings import boolean, variable

Kind = Literal["text", "vlm", "tools"]
MOST_GATEWAYS = 5
MOST_ALTERNATES = 9


def _vendor(name: str, meaning: str, *, is_secret: bool = False) -> Setting[str | None]:
    return Setting(name=name, default=None, prefix="", help=meaning, is_secret=is_secret)


API_BASE = _vendor("CHUTES_API_BASE", "address of the gateway, with or without /v1")
API_KEY = _vendor("CHUTES_API_KEY", "its key", is_secret=True)
MODEL_ID = _vendor(
    "CHUTES_MODEL_ID", "model of chutes_chat_json where CHUTES_TEXT_MODEL is not set"
)
TEXT_MODEL = _vendor("CHUTES_TEXT_MODEL", "model for text; _ALT1, _ALT2, ... name alternates")
VLM_MODEL = _vendor("CHUTES_VLM_MODEL", "model for text and images; _ALT1, ... name alternates")
TOOLS_MODEL = _vendor("CHUTES_TOOLS_MODEL", "model for tool calls; _ALT1, ... name alternates")
MODE = Setting(
    name="CHUTES_MODE",
    default=False,
    read=boolean,
    help="1 takes every address for a Chutes gateway",
)
UTIL_TTL_S = Setting(
    name="UTIL_TTL_S", default=45.0, read=float, help="seconds that a load once read counts"
)
UTIL_HI = Setting(
    name="UTIL_HI", default=0.85, read=float, help="share of capacity from which a model is busy"
)
UTIL_LO = Setting(
    name="UTIL_LO", default=0.50, read=float, help="share down to which a busy model stays busy"
)
UTIL_K = Setting(
    name="UTIL_K", default=2, read=int, help="readings in a row that make a model busy"
)
SETTINGS: tuple[Setting[Any], ...] = (
    API_BASE,
    API_KEY,
    MODEL_ID,
    TEXT_MODEL,
    VLM_MODEL,
    TOOLS_MODEL,
    MODE,
    UTIL_TTL_S,
    UTIL_HI,
    UTIL_LO,
    UTIL_K,
)
PINS: dict[str, Setting[str | None]] = {"text": TEXT_MODEL, "vlm": VLM_MODEL, "tools": TOOLS_MODEL}


@frozen
class Gateway:
    """One gateway of the environment.

    Attributes:
        base: Its address, as it was written.
        key: Its key.
        number: The N of ``CHUTES_API_BASE_N``, 0 for the one without a number.
    """

    base: str
    key: Secret | None
    number: int = 0

    def pins(self, kind: Kind) -> list[str]:
        """Return the models that the environment names for *kind*, the first choice first."""
        if self.number:
            named = [variable(f"{PINS[kind].name}_{self.number}")]
        else:
            alternates = (f"{PINS[kind].name}_ALT{n}" for n in range(1, MOST_ALTERNATES + 1))
            named = [PINS[kind].value(), *(variable(name) for name in alternates)]
        return [model for model in named if model]


def gateways() -> list[Gateway]:
    """Return the gateways that the environment names: the numbered ones, then the other.

    Raises:
        RuntimeError: There is none.
    """
    found = [
        Gateway(base, _secret(variable(f"{API_KEY.name}_{number}")), number)
        for number in range(1, MOST_GATEWAYS + 1)
        if (base := variable(f"{API_BASE.name}_{number}"))
    ]
    one = API_BASE.value()
    if one and bare(one) not in {bare(gateway.base) for gateway in found}:
        found.append(Gateway(one, _secret(API_KEY.value())))
    if not found:
        raise RuntimeError(
            "no gateway is named: set CHUTES_API_BASE and CHUTES_API_KEY, or CHUTES_API_BASE_1 "
            "and CHUTES_API_KEY_1, and so on for several"
        )
    return found


def required(setting: Setting[str | None]) -> str:
    """Return the value of a setting that must be there.

    Raises:
        RuntimeError: It is not set.
    """
    value = setting.value()
    if not value:
        raise RuntimeError(f"{setting.variable} is not set: {setting.help}")
    return value


def _secret(text: str | None) -> Secret | None:
    return Secret(text) if text else None


def bare(base: str) -> str:
    """Return an address without /v1 and slashes at its end."""
    return base.rstrip("/").removesuffix("/v1")

"""Every knob of retrying. All times are in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from scillm import BadRequestError, Setting
from scillm.settings import boolean

if TYPE_CHECKING:
    from scillm import Call

T = TypeVar("T")


def seconds(text: str) -> float:
    """Read a time in seconds, 0 or more."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError("expected seconds, 0 or more")
    return value


def budget(text: str) -> float:
    """Read a time in seconds, greater than 0; ``inf`` is no limit."""
    value = float(text)
    if not value > 0:
        raise ValueError("expected seconds, greater than 0")
    return value


def count(text: str) -> int:
    """Read a whole number, 0 or more."""
    value = int(text)
    if value < 0:
        raise ValueError("expected a whole number, 0 or more")
    return value


def positive(text: str) -> int:
    """Read a whole number, 1 or more."""
    value = int(text)
    if value < 1:
        raise ValueError("expected a whole number, 1 or more")
    return value


def factor(text: str) -> float:
    """Read by how much each wait may be longer than the one before."""
    value = float(text)
    if not 1 <= value < float("inf"):
        raise ValueError("expected a number, 1 or more")
    return value


def share(text: str) -> float:
    """Read a share of the whole, from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError("expected a number from 0 to 1")
    return value


def _function(text: str) -> Any:
    raise ValueError("a function cannot be named by a variable: pass it as an argument of the call")


ENABLED = Setting(
    name="RETRY_ENABLED",
    default=True,
    read=boolean,
    option="retry_enabled",
    help="0 makes one attempt, whatever the other settings say",
)
MAX_RETRIES = Setting(
    name="MAX_RETRIES",
    default=3,
    read=count,
    option="max_retries",
    help="attempts after the first",
)
NUM_RETRIES: Setting[int | None] = Setting(
    name="NUM_RETRIES",
    default=None,
    read=count,
    option="num_retries",
    help="another name of max_retries, over which it wins",
)
MAX_ATTEMPTS: Setting[int | None] = Setting(
    name="RETRY_MAX_ATTEMPTS",
    default=None,
    read=positive,
    help="attempts, the first included; wins over SCILLM_MAX_RETRIES, not over arguments",
)
RETRY_AFTER = Setting(
    name="RETRY_AFTER",
    default=2.0,
    read=seconds,
    option="retry_after",
    help="seconds that the first wait takes at most; each further one may be twice as long",
)
BASE_S: Setting[float | None] = Setting(
    name="RETRY_BASE_S",
    default=None,
    read=seconds,
    help="another name of SCILLM_RETRY_AFTER, over which it wins",
)
MAX_S = Setting(
    name="RETRY_MAX_S",
    default=120.0,
    read=seconds,
    option="retry_max_s",
    help="seconds that a wait of our own choice takes at most",
)
TIME_BUDGET_S: Setting[float | None] = Setting(
    name="RETRY_TIME_BUDGET_S",
    default=None,
    read=budget,
    option="retry_time_budget_s",
    help="seconds that all attempts and waits may take up to the first piece of the answer;"
    " unset, 600, or the call's timeout where that is longer",
)
JITTER_PCT = Setting(
    name="RETRY_JITTER_PCT",
    default=1.0,
    read=share,
    help="share of each wait that is left to chance, from 0 to 1",
)
HONOR_RETRY_AFTER = Setting(
    name="HONOR_RETRY_AFTER",
    default=True,
    read=boolean,
    option="honor_retry_after",
    help="wait at least as long as the provider asks for",
)
TENACIOUS = Setting(
    name="TENACIOUS",
    default=False,
    read=boolean,
    option="tenacious",
    help="retry until SCILLM_MAX_WALL_TIME_S is over, without a limit on attempts",
)
MAX_WALL_TIME_S = Setting(
    name="MAX_WALL_TIME_S",
    default=21600.0,
    read=budget,
    option="max_wall_time_s",
    help="tenacious: the time budget in seconds",
)
BACKOFF_CAP_S = Setting(
    name="BACKOFF_CAP_S",
    default=300.0,
    read=seconds,
    option="backoff_cap_s",
    help="tenacious: seconds that a wait of our own choice takes at most",
)
BACKOFF_BASE = Setting(
    name="BACKOFF_BASE",
    default=2.0,
    read=factor,
    option="backoff_base",
    help="tenacious: the n-th wait takes at most this to the power of n, in seconds",
)
META = Setting(
    name="RETRY_META",
    default=False,
    read=boolean,
    option="retry_meta",
    help="note attempts and waits on an answer that took more than one attempt",
)
LOG_JSON = Setting(
    name="LOG_JSON",
    default=False,
    read=boolean,
    help="print a line of JSON on standard output for each retry, and for giving up",
)
LOG_EVERY = Setting(
    name="RETRY_LOG_EVERY",
    default=1,
    read=positive,
    help="of the retries of one call, print the first, and then each n-th",
)
ON_ATTEMPT: Setting[Any] = Setting(
    name="ON_ATTEMPT",
    default=None,
    read=_function,
    option="on_attempt",
    help="function that is told of each attempt that failed and will be repeated; only an argument",
)
ON_SUCCESS: Setting[Any] = Setting(
    name="ON_SUCCESS",
    default=None,
    read=_function,
    option="on_success",
    help="function that is told when the answer is complete; only an argument",
)
ON_GIVEUP: Setting[Any] = Setting(
    name="ON_GIVEUP",
    default=None,
    read=_function,
    option="on_giveup",
    help="function that is told when the error is raised to the caller; only an argument",
)

CALLBACKS = (ON_ATTEMPT, ON_SUCCESS, ON_GIVEUP)
SETTINGS: tuple[Setting[Any], ...] = (
    MAX_RETRIES,
    NUM_RETRIES,
    MAX_ATTEMPTS,
    RETRY_AFTER,
    BASE_S,
    MAX_S,
    TIME_BUDGET_S,
    JITTER_PCT,
    HONOR_RETRY_AFTER,
    ENABLED,
    TENACIOUS,
    MAX_WALL_TIME_S,
    BACKOFF_CAP_S,
    BACKOFF_BASE,
    META,
    LOG_JSON,
    LOG_EVERY,
    *CALLBACKS,
)
_BY_OPTION = {setting.option: setting for setting in SETTINGS if setting.option}
OPTIONS = frozenset(_BY_OPTION)
TIMED = frozenset(("retry_time_budget_s", "tenacious", "max_wall_time_s"))
"""Options that say how long the first attempt may take; the others are read when it has failed."""


def is_given(call: Call, setting: Setting[Any]) -> bool:
    """Return whether the call itself says what *setting* is; None says nothing."""
    return call.options.get(setting.option or "") is not None


def in_force(setting: Setting[T], call: Call) -> T:
    """Return the value of *setting* for *call*, read the same way wherever it comes from.

    Raises:
        BadRequestError: The call gives a value that a variable could not have either.
    """
    if not is_given(call, setting):
        return setting.value()
    given = call.options[setting.option or ""]
    try:
        return setting.read(str(given))
    except ValueError as error:
        raise BadRequestError(f"{setting.option}={given!r} is not valid: {error}") from None


def check(call: Call) -> None:
    """Tell a wrong argument before anything is sent; functions are looked at where they are used.

    Raises:
        BadRequestError: The call gives a value that a variable could not have either.
    """
    for name in call.options:
        setting = _BY_OPTION.get(name)
        if setting is not None and setting not in CALLBACKS:
            in_force(setting, call)

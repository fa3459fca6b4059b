"""Settings: argument, else ``SCILLM_X``, else legacy ``LITELLM_X``, else ``.env``, else default.

Each plugin lists its own in a ``SETTINGS`` table, so that ``scillm env`` can show all of
them. A setting is read when it is used, never at import. This is the one module that
reads ``os.environ``.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import Factory, field, frozen

from scillm.errors import SettingError

if TYPE_CHECKING:
    from scillm.calls import Call

T = TypeVar("T")

PREFIX, LEGACY = "SCILLM_", "LITELLM_"
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off", ""})


def boolean(text: str) -> bool:
    """Read a yes or no; anything else is an error, not a silent no."""
    word = text.strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError(f"expected one of {', '.join(sorted((_TRUE | _FALSE) - {''}))}")


_READERS: dict[type, Callable[[str], Any]] = {bool: boolean, int: int, float: float}


@frozen(kw_only=True)
class Setting(Generic[T]):
    """One knob: where it is read from, what it means, what it is if nobody says.

    Attributes:
        name: The variable without prefix, such as ``"LOCAL_IDLE_S"``; whole if *prefix* is empty.
        default: The value when nothing is set.
        read: Turns the text into a value, or raises ValueError; of itself it reads what
            *default* is: yes or no, a number, else text.
        help: One sentence, with the unit.
        option: The argument of ``completion()`` that beats the environment, if there is one.
        prefix: ``"SCILLM_"``, or ``""`` for a variable that belongs to somebody else.
        is_secret: Whether ``scillm env`` must not show the value.
    """

    name: str
    default: T
    read: Callable[[str], T] = field(
        default=Factory(lambda self: _READERS.get(type(self.default), str), takes_self=True)
    )
    help: str = ""
    option: str | None = None
    prefix: str = PREFIX
    is_secret: bool = False
    _names: tuple[str, ...] = field(init=False, repr=False, eq=False)
    _keys: tuple[bytes | str, ...] = field(init=False, repr=False, eq=False)

    @_names.default
    def _its_names(self) -> tuple[str, ...]:
        legacy = (LEGACY + self.name,) if self.prefix == PREFIX else ()
        return (self.variable, *legacy)

    @_keys.default
    def _names_as_the_system_has_them(self) -> tuple[bytes | str, ...]:
        return tuple(os.environ.encodekey(name) for name in self._names)

    @property
    def variable(self) -> str:
        """The environment variable's full name."""
        return self.prefix + self.name

    def value(self, call: Call | None = None) -> T:
        """Return the value in force, for *call* if one is given.

        Raises:
            SettingError: A variable is set to a text that *read* rejects.
        """
        if call is not None and self.option is not None and self.option in call.options:
            given: T = call.options[self.option]
            return given
        found = self.lookup()
        return self.default if found is None else self._parsed(*found)

    def lookup(self) -> tuple[str, str, str] | None:
        """Return ``(variable, text, source)`` of what is set, or None; *source* is a word."""
        file = dotenv()
        if self._is_unset() and not (file and any(name in file for name in self._names)):
            return None
        for source, known in (("environment", os.environ), (".env", file)):
            for name in self._names:
                if (text := known.get(name)) is not None:
                    if name != self.variable:
                        _warn_legacy(name, self.variable)
                    return name, text, source
        return None

    def _is_unset(self) -> bool:
        """Say fast what is true of nearly all of the ten settings that each call asks for."""
        known = getattr(os.environ, "_data", self._keys)  # CPython's own dict, of encoded names
        for key in self._keys:  # noqa: SIM110  # all() and its generator take twice as long
            if key in known:
                return False
        return True

    def _parsed(self, variable: str, text: str, source: str) -> T:
        try:
            return self.read(text)
        except ValueError as error:
            shown, why = ("***", "") if self.is_secret else (repr(text), f": {error}")
            raise SettingError(
                f"{variable}={shown} (from the {source}) is not valid{why}. Correct or unset it."
            ) from None


def _warn_legacy(legacy: str, variable: str) -> None:
    warn(f"{legacy} is legacy: set {variable} instead", DeprecationWarning)


def warn(message: str, category: type[Warning] = RuntimeWarning) -> None:
    """Warn at the line that called scillm: a default filter hides what a library's line did."""
    frame, level = sys._getframe(1), 2  # its own way out of libraries came with Python 3.12
    while frame.f_back and _is_ours(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in {"scillm", "pluggy"} or module.startswith("scillm_")


def variable(name: str, default: str | None = None) -> str | None:
    """Return somebody else's environment variable, such as ``OPENAI_API_KEY``, else *default*.

    A variable set to nothing counts as unset.
    """
    return os.environ.get(name) or dotenv().get(name) or default


def names_set() -> set[str]:
    """Return every ``SCILLM_X`` that the environment or ``.env`` sets."""
    return {name for name in (*os.environ, *dotenv()) if name.startswith(PREFIX)}


@lru_cache(maxsize=1)
def dotenv() -> Mapping[str, str]:
    """Return what the nearest ``.env`` says, from the working directory upward; read once.

    ``SCILLM_DOTENV`` names another file, or is ``0`` for none. Nothing is written to
    ``os.environ``, so a variable that is set there always wins.
    """
    named = os.environ.get("SCILLM_DOTENV")
    if named == "0":
        return {}
    path = named or _nearest_dotenv()
    if path is None:
        return {}
    if named and not os.path.isfile(named):  # noqa: PTH113  # pathlib would be loaded for this
        raise SettingError(f"SCILLM_DOTENV={named!r} names no file: correct it, or set it to 0")
    from dotenv import dotenv_values  # only a machine with a .env pays for this import

    try:
        values: dict[str, Any] = dotenv_values(path)
    except UnicodeDecodeError as error:
        raise SettingError(f"{path} is not UTF-8 text ({error}): save it as UTF-8") from None
    return {name: text for name, text in values.items() if text is not None}


def _nearest_dotenv() -> str | None:
    from pathlib import Path  # once per process, and slow to import

    here = Path.cwd()
    found = (folder / ".env" for folder in (here, *here.parents))
    return next((str(path) for path in found if path.is_file()), None)


DOTENV = Setting(name="DOTENV", default="", help="path of the .env file; 0 reads none")
MODEL = Setting(name="MODEL", default="", help="model that answers when a call names none")
TIMEOUT: Setting[float | None] = Setting(
    name="TIMEOUT",
    default=None,
    read=float,
    help="seconds that each request of a call may take when it names no timeout; unset, 600",
)
PLUGINS_BLOCK = Setting(
    name="PLUGINS_BLOCK", default="", help="names of plugins, comma separated, that are not loaded"
)


def enabling(plugin: str) -> Setting[bool]:
    """Return the switch of one plugin: ``SCILLM_ENABLE_<PLUGIN>``, on unless set to no."""
    name = "ENABLE_" + plugin.upper().replace("-", "_")
    return Setting(name=name, default=True, read=boolean, help=f"0 leaves {plugin} out")


def blocked_names() -> dict[str, str]:
    """Return the names in ``SCILLM_PLUGINS_BLOCK`` as they were written, by their plain form."""
    names = (name.strip() for name in PLUGINS_BLOCK.value().split(","))
    return {_plain(name): name for name in names if name}


def _plain(name: str) -> str:
    """Take ``My_Plugin``, ``my-plugin`` and ``scillm-my-plugin`` for the same."""
    return name.lower().replace("_", "-").removeprefix("scillm-")


def why_blocked(plugin: str) -> str:
    """Return why the plugin of this name is not to be loaded, or ``""``."""
    if _plain(plugin) in blocked_names():
        return f"blocked by {PLUGINS_BLOCK.variable}"
    switch = enabling(plugin)
    try:
        return "" if switch.value() else f"blocked by {switch.variable}=0"
    except ValueError as error:  # one variable must not take all plugins down
        return f"blocked: {error}"


KERNEL_SETTINGS: tuple[Setting[Any], ...] = (DOTENV, MODEL, PLUGINS_BLOCK, TIMEOUT)

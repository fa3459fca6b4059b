"""A module that says so when something is set on it that nobody reads."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # spelled so that importing typing and types is not paid for here
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any
else:
    ModuleType = type(sys)


class Litellm(ModuleType):
    """The type of the module ``litellm``: setting ``litellm.drop_params`` warns."""

    def __setattr__(self, name: str, value: object) -> None:
        """Set it, with a RuntimeWarning if it is one of litellm's global switches."""
        if name == "cache":
            _use_cache(value)
        elif not (name.startswith("_") or isinstance(value, ModuleType)):
            _warn_unread(name)
        super().__setattr__(name, value)


def _use_cache(value: Any) -> None:
    """Keep answers as this Cache says; None stops keeping them."""
    from importlib import import_module

    caching = import_module("scillm.extras.cache")
    if value is None:
        caching.disable_cache()
    else:
        caching.enable_cache(value)


def _warn_unread(name: str) -> None:
    from scillm_litellm_compat.names import served

    if name in served():
        return  # a test that puts its own `completion` here knows what it does
    import warnings

    warnings.warn(
        f"litellm.{name} has no effect: scillm has no global switches; pass it to the call, or "
        "set a variable that `scillm env` lists",
        RuntimeWarning,
        stacklevel=3,
    )

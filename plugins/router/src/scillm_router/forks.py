"""What a forked child must not inherit: locks that another thread held, requests under way."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """Something with a state that is its process's own."""

    def forked(self) -> None:
        """Begin anew, in the child."""


_all: weakref.WeakSet[Forked] = weakref.WeakSet()


def register(one: Forked) -> None:
    """Have ``forked`` called in each child, as long as *one* lives."""
    _all.add(one)


def _in_child() -> None:
    for one in list(_all):
        one.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)

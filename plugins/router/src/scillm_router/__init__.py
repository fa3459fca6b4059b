"""Several deployments behind one name.

Read ``plan`` first: one call, from a group's name to the deployment that answers. ``health``
says who may be asked, ``strategies`` who is, ``shared`` what other processes know of that,
``fan`` runs many calls. Nothing is loaded until it is asked for: every kernel looks here for
the variables that a Router reads, and most programs make none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scillm_router.budget import BudgetExceeded as BudgetExceeded
    from scillm_router.requests import RouterParallelRequest as RouterParallelRequest
    from scillm_router.results import Slot as Slot
    from scillm_router.router import Router as Router
    from scillm_router.strategies import hookimpl as hookimpl

_HOME = {
    "BudgetExceeded": "budget",
    "Router": "router",
    "RouterParallelRequest": "requests",
    "Slot": "results",
    "hookimpl": "strategies",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'scillm_router' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"scillm_router.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

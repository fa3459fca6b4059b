"""Several deployments behind one name.

Read ``plan`` first: one call, from a group's name to the deployment that answers. ``health``
says who may be asked, ``strategies`` who is, ``fan`` runs many calls.
"""

from scillm_router.budget import BudgetExceeded
from scillm_router.requests import RouterParallelRequest
from scillm_router.results import Slot
from scillm_router.router import Router
from scillm_router.strategies import hookimpl

__all__ = ["BudgetExceeded", "Router", "RouterParallelRequest", "Slot", "hookimpl"]

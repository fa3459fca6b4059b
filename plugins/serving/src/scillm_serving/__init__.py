"""What every HTTP server of SciLLM has; no server of its own.

``application(routes, rules)`` makes a Starlette app of typed routes. ``scillm_serving.openai``
has the routes of an OpenAI-compatible server. ``Server`` is what an entry point of the group
``scillm.servers`` names, so that ``scillm serve NAME`` finds it.
"""

from scillm_serving.refusals import Refused
from scillm_serving.routes import Asked, Events, Reply, Route, Server
from scillm_serving.rules import SETTINGS, Rules

__all__ = [
    "SETTINGS",
    "Asked",
    "Events",
    "Refused",
    "Reply",
    "Route",
    "Rules",
    "Server",
    "application",
]


def __getattr__(name: str) -> object:
    if name == "application":
        from scillm_serving.apps import application  # starlette: 0.1 s that servers pay

        return application
    raise AttributeError(f"module 'scillm_serving' has no attribute {name!r}")

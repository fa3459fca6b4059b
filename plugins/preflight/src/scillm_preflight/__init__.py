"""What hosts offer, known before a call: unknown ids fail at once, names are resolved if asked for.

Read ``names`` first: when two ids mean one model. ``resolving`` applies it to a catalogue,
``catalogs`` is what is known of each host, ``shelf`` the file that keeps it, ``checking`` what a
call does with it; ``api`` has the functions that users call.
"""

from scillm_preflight.errors import AmbiguousModelId, PreflightFailed, UnknownModelId
from scillm_preflight.plugin import Preflight

__all__ = ["AmbiguousModelId", "Preflight", "PreflightFailed", "UnknownModelId"]

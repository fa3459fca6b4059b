"""Answers from memory, disk or Redis; and whole programs recorded and replayed.

Read ``plugin`` first. ``entries`` is what is kept and by which key, ``stores`` and ``disk`` where,
``flights`` how identical calls share one, ``api`` the functions that switch it on, ``replay`` the
other plugin and ``tapes`` its files.
"""

from scillm_cache.plugin import Caching
from scillm_cache.replay import Replay

__all__ = ["Caching", "Replay"]

"""A second request when the first is late; the first success wins, the other is cancelled.

``plugin`` does it for one model, ``models`` for two.
"""

from scillm_hedge.plugin import Hedge

__all__ = ["Hedge"]

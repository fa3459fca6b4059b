"""A second request when the first is late; the first success wins, the other is cancelled."""

from scillm_hedge.models import hedged_acompletion
from scillm_hedge.plugin import Hedge

__all__ = ["Hedge", "hedged_acompletion"]

"""Chutes gateways: what the environment names, what they offer, how busy they are.

Calls themselves are made by the provider for OpenAI-compatible hosts; here lie the helpers
around it. Read ``settings``, then ``routers``. The one hook is in ``tools_endpoint``.
"""

from typing import Any

from scillm import Setting
from scillm_chutes.meta import EMBED_META
from scillm_chutes.settings import SETTINGS as OF_GATEWAYS
from scillm_chutes.tools_endpoint import OUTERMOST, TOOLS_ENDPOINT, prepare_request

ORDER = OUTERMOST
SETTINGS: tuple[Setting[Any], ...] = (*OF_GATEWAYS, TOOLS_ENDPOINT, EMBED_META)

__all__ = ["ORDER", "SETTINGS", "prepare_request"]

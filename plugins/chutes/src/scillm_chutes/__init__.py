"""Chutes gateways: what the environment names, what they offer, how busy they are.

Calls themselves are made by the provider for OpenAI-compatible hosts; here lie the helpers
around it. Read ``settings``, then ``routers``.
"""

from scillm_chutes.settings import SETTINGS

__all__ = ["SETTINGS"]

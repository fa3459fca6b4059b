"""How a key is sent: as a Bearer token, as ``x-api-key``, bare, or in a header of its own."""

from scillm_auth.choose import choose_auth
from scillm_auth.plugin import Auth

__all__ = ["Auth", "choose_auth"]

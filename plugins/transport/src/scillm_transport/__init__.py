"""What every HTTP transport of SciLLM shares. A library: no hook, no entry point.

A transport gives two functions: an ``Exchange``, which sends this and gives back status,
headers and blocks of bytes, and an ``Explain``, which names its errors. ``sender`` makes a Sender
of them, with framing, deadlines, limits and redirects; ``Pools`` keeps its clients per event loop;
``connection_for`` reads proxies and TLS.
"""

from __future__ import annotations

from scillm_transport.connection import CONNECTION_SETTINGS, Connection, connection_for, tls_context
from scillm_transport.exchange import Exchange, Explain, Outgoing, Reply, deadline, sender
from scillm_transport.pools import Pools
from scillm_transport.sse import Frames

__all__ = [
    "CONNECTION_SETTINGS",
    "Connection",
    "Exchange",
    "Explain",
    "Frames",
    "Outgoing",
    "Pools",
    "Reply",
    "connection_for",
    "deadline",
    "sender",
    "tls_context",
]

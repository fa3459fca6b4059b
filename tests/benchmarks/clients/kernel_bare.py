"""The kernel with a plugin that answers at once and no other."""

from __future__ import annotations

from . import kernel_alone


class Client(kernel_alone.Client):
    """As there, without idle plugins."""

    idle_plugins = 0

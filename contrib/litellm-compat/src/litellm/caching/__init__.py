"""``litellm.caching``: how answers are kept, by its names."""

from typing import Any

from scillm_litellm_compat.names import load_caching


def __getattr__(name: str) -> Any:
    """Load a name of the cache when it is first asked for."""
    return load_caching(name)

"""Choosing between headers that a caller already has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Style = Literal["x-api-key", "bearer", "none"]


def choose_auth(
    headers: Mapping[str, str],
    stream: bool = False,  # noqa: FBT001, FBT002  # the signature that users know
) -> tuple[dict[str, str], Style]:
    """Return *headers* with one of their two keys left, and which it is.

    Where both are there, a stream takes ``Authorization`` and everything else ``x-api-key``.

    Args:
        headers: Headers, names in any case.
        stream: Whether they are for a stream.
    """
    by_name = {name.lower(): name for name in headers}
    if "authorization" in by_name and "x-api-key" in by_name:
        dropped = by_name["x-api-key" if stream else "authorization"]
        kept = {name: value for name, value in headers.items() if name != dropped}
        return kept, "bearer" if stream else "x-api-key"
    if "x-api-key" in by_name:
        return dict(headers), "x-api-key"
    return dict(headers), "bearer" if "authorization" in by_name else "none"

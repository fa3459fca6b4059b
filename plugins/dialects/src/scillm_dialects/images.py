"""Images as parts of messages: by address, by path, or as bytes."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

from scillm import BadRequestError

MAX_IMAGE_BYTES = 20 * 1024 * 1024
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def image(source: str | os.PathLike[str] | bytes, *, detail: str | None = None) -> dict[str, Any]:
    """Make a part of a message out of an image.

    Args:
        source: An address (``https://``, ``http://``, ``data:``), which is sent as it is; else a
            path, whose file is read now; or the bytes of a PNG, JPEG, GIF or WebP of at most
            20 MiB.
        detail: OpenAI's ``"low"``, ``"high"`` or ``"auto"``; unset by default.

    Returns:
        A part: ``{"type": "image_url", "image_url": {"url": ...}}``.

    Raises:
        BadRequestError: It is none of these, or the file cannot be read, is too long, or has
            another format.
    """
    is_address = isinstance(source, str) and source.startswith(("https://", "http://", "data:"))
    url = source if is_address else _as_data_url(source)
    return {
        "type": "image_url",
        "image_url": {"url": url, **({"detail": detail} if detail else {})},
    }


def _as_data_url(source: str | os.PathLike[str] | bytes) -> str:
    if not isinstance(source, (bytes, str, os.PathLike)):
        raise BadRequestError(
            f"an image cannot be made of {source!r:.80}: give a path, an address or bytes"
        )
    content = source if isinstance(source, bytes) else _read(Path(source))
    if len(content) > MAX_IMAGE_BYTES:
        raise BadRequestError(
            f"the image has {len(content)} bytes, more than {MAX_IMAGE_BYTES}: shrink it"
        )
    return f"data:{_media_type(content)};base64,{base64.b64encode(content).decode()}"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_IMAGE_BYTES + 1)
    except OSError as error:
        raise BadRequestError(
            f"the image {str(path)!r} cannot be read: {error.strerror}; "
            "give a path, an address or bytes"
        ) from error


def _media_type(content: bytes) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    for magic, media_type in _MAGIC:
        if content.startswith(magic):
            return media_type
    raise BadRequestError(
        f"the image begins with {content[:8]!r}, which is no PNG, JPEG, GIF or WebP: "
        "convert it to one of these"
    )

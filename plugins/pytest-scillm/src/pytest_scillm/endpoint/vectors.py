"""Embeddings: vectors that depend on the text alone."""

from __future__ import annotations

import array
import base64
from collections.abc import Mapping

from .shapes import Json, JsonObject


def embeddings(request: Mapping[str, object]) -> JsonObject:
    """The answer of `POST /embeddings`: the same text has the same vector, of length 1.

    Args:
        request: `input`, and as OpenAI has them `dimensions` (default 8) and `encoding_format`.
    """
    given = request.get("input")
    texts = given if isinstance(given, list) and not _is_tokens(given) else [given]
    size = request.get("dimensions")
    count = size if isinstance(size, int) else 8
    is_base64 = request.get("encoding_format") == "base64"
    rows: list[Json] = []
    for index, text in enumerate(texts):
        vector = embedding_of(str(text), count)
        encoded = base64.b64encode(array.array("f", vector).tobytes()).decode()
        row: Json = encoded if is_base64 else vector
        rows.append({"object": "embedding", "index": index, "embedding": row})
    tokens = sum(len(str(text).split()) for text in texts)
    usage: JsonObject = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": rows, "model": "mock-embedding", "usage": usage}


def _is_tokens(given: list[object]) -> bool:
    """Whether an input is one text as token numbers rather than several texts."""
    return bool(given) and isinstance(given[0], int)


def embedding_of(text: str, size: int) -> list[float]:
    """A vector of length 1 that depends on the text alone, with exact 32-bit components."""
    total = sum((place + 1) * code for place, code in enumerate(text.encode()))
    vector = [float((total * (place + 3)) % 17 - 8) for place in range(size)]
    length = sum(value * value for value in vector) ** 0.5 or 1.0
    return list(array.array("f", [value / length for value in vector]))

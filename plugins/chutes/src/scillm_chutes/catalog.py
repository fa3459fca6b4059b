"""What a gateway offers: its models, and what each can do, kept for a while."""

from __future__ import annotations

import time
from collections.abc import Mapping
from threading import Lock
from typing import Any

import scillm
from scillm import Secret
from scillm_chutes.settings import Gateway, Kind

TTL_S = 300.0
_VISION = ("-vl-", "-vl", "vision", "llava", "internvl", "pixtral", "gemma-3", "moondream")
_OTHER = ("embed", "rerank", "whisper", "tts", "flux", "diffusion", "guard", "image", "audio")


class Catalog:
    """Lists of models by gateway; one per process, safe for threads."""

    def __init__(self) -> None:
        self._lists: dict[str, tuple[float, list[Mapping[str, Any]]]] = {}
        self._lock = Lock()

    def models(self, gateway: Gateway, ttl_s: float = TTL_S) -> list[Mapping[str, Any]]:
        """Return the models of a gateway, not older than *ttl_s* seconds.

        Raises:
            APIError: The gateway does not tell.
        """
        with self._lock:
            at, known = self._lists.get(gateway.base, (0.0, []))
        if known and time.monotonic() - at < ttl_s:
            return known
        listed = scillm.models(
            "openai_like", api_base=gateway.base, api_key=gateway.key, timeout=10.0
        )
        found: list[Mapping[str, Any]] = [model.to_dict() for model in listed.data]
        with self._lock:
            self._lists[gateway.base] = (time.monotonic(), found)
        return found

    def clear(self) -> None:
        """Forget all lists."""
        with self._lock:
            self._lists.clear()


CATALOG = Catalog()


def serves(model: Mapping[str, Any], kind: Kind, *, is_json: bool, has_tools: bool) -> bool:
    """Tell whether a model of a list is one for *kind*.

    What the gateway itself says (``input_modalities``, ``supported_features``) counts; where
    it says nothing, its name does for the kind, and features are taken to be there.
    """
    name = str(model.get("id", "")).lower()
    if any(word in name for word in _OTHER):
        return False
    inputs = model.get("input_modalities")
    is_visual = "image" in inputs if isinstance(inputs, list) else _looks_visual(name)
    if is_visual != (kind == "vlm"):
        return False
    features = model.get("supported_features")
    wanted = ["tools"] * (has_tools or kind == "tools") + ["json_mode"] * is_json
    return not isinstance(features, list) or all(feature in features for feature in wanted)


def _looks_visual(name: str) -> bool:
    return any(word in name for word in _VISION)


def key_of(entry: Mapping[str, Any]) -> Secret | None:
    """Return the key of an entry of a model list."""
    key = entry["litellm_params"].get("api_key")
    return Secret(key) if isinstance(key, str) and key else key or None

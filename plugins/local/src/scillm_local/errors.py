"""What can go wrong before the embedded model answers."""

from __future__ import annotations

from typing import Any

from scillm import APIConnectionError, BadRequestError, NotFoundError


class ModelMissingError(NotFoundError):
    """The model's file is not on this machine and could not be fetched."""


class ModelFileError(BadRequestError):
    """A file is there, but it is not the model, or more than the memory that it may have."""


class HostError(APIConnectionError):
    """The process that holds the model did not start, or not in time."""


def named(model: str) -> dict[str, Any]:
    """Return the arguments that tell an error which provider and model it is about."""
    return {"llm_provider": "local", "model": model}

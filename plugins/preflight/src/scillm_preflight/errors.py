"""What is raised: by the guard before anything is sent, and by a listing that failed.

::

    UnknownModelError (a NotFoundError) and ValueError
    └── UnknownModelId           the host does not list this id
        └── AmbiguousModelId     the name means several of its ids
    APIError and RuntimeError
    └── PreflightFailed          the host did not tell its models
"""

from __future__ import annotations

from scillm import APIError, UnknownModelError


class UnknownModelId(UnknownModelError, ValueError):
    """The host's catalogue has no such id; nothing was sent.

    Attributes:
        asked: The id that would have been sent.
        nearest: Ids of the catalogue that look most like it, the most alike first.
        catalog_age_s: How old the catalogue is, in seconds.
    """

    asked: str = ""
    nearest: tuple[str, ...] = ()
    catalog_age_s: float = 0.0


class AmbiguousModelId(UnknownModelId):
    """The name means several ids of the catalogue, and nothing says which; nothing was sent.

    Attributes:
        candidates: These ids.
    """

    candidates: tuple[str, ...] = ()


class PreflightFailed(APIError, RuntimeError):
    """A host did not tell its models; ``__cause__`` and ``failure`` say why."""

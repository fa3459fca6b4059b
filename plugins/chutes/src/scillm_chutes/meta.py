"""Who served an answer, and what it took, kept beside it or, if wished, inside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scillm import Response, Setting
from scillm.settings import boolean

EMBED_META = Setting(
    name="EMBED_META",
    default=False,
    read=boolean,
    help="1 puts scillm_meta also into what model_dump() and to_dict() of an answer return",
)


class Attributed(Response):
    """An answer with ``scillm_meta``, which is no part of the dump."""

    __slots__ = ("scillm_meta",)
    scillm_meta: Mapping[str, Any] | None

    def __init__(
        self,
        raw: Mapping[str, Any],
        served_by: Any = None,
        scillm_meta: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(raw, served_by)
        object.__setattr__(self, "scillm_meta", scillm_meta)

    def evolve(self, **changes: Any) -> Attributed:
        """Return a copy with these fields replaced, and the same ``scillm_meta``."""
        changed = super().evolve(**changes)
        return type(self)(changed.to_dict(), self.served_by, self.scillm_meta)

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.to_dict(), self.served_by, self.scillm_meta))


def attributed(response: Response, meta: Mapping[str, Any]) -> Response:
    """Return the answer with ``scillm_meta``."""
    if EMBED_META.value():
        return response.evolve(scillm_meta=meta)
    return Attributed(response.to_dict(), response.served_by, meta)

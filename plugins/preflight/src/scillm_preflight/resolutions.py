"""What ``resolve_models`` returns."""

from __future__ import annotations

from collections.abc import Iterable

from scillm import BadRequestError
from scillm.answers import View
from scillm_preflight.resolving import resolve
from scillm_preflight.shelf import Catalog


class ModelResolution(View, fields="input canonical distance exists source reason candidates"):
    """What one name means: ``canonical`` is None, and ``exists`` false, if that is not known."""

    __slots__ = ()
    input: str
    canonical: str | None
    distance: float
    exists: bool
    source: str
    reason: str
    candidates: list[str]


class ModelResolutions(
    View,
    fields="ok resolved missing catalog_size catalog_ts catalog_age_s",
    views={"resolved": ModelResolution},
):
    """What several names mean, to be read as attributes and as a mapping.

    ``ok`` says that every name means one id; ``resolved`` has an entry for each name, in order;
    ``missing`` are those that mean none, or several; ``catalog_ts`` is when the host told its
    models, in seconds since 1970, and ``catalog_age_s`` how long ago that is.
    """

    __slots__ = ()
    ok: bool
    resolved: tuple[ModelResolution, ...]
    missing: list[str]
    catalog_size: int
    catalog_ts: float
    catalog_age_s: float


def resolved(
    models: str | Iterable[str], catalog: Catalog, source: str, cutoff: float, age_s: float
) -> ModelResolutions:
    """Say what names mean in a catalogue.

    Raises:
        BadRequestError: A name that is no text.
    """
    names = [models] if isinstance(models, str) else list(models)
    for name in names:
        if not isinstance(name, str):
            raise BadRequestError(f"models has {name!r:.80}: a model's name is text")
    entries = [_entry(name, catalog, source, cutoff) for name in names]
    missing = [entry["input"] for entry in entries if not entry["exists"]]
    return ModelResolutions(
        {
            "ok": not missing,
            "resolved": entries,
            "missing": missing,
            "catalog_size": len(catalog.ids),
            "catalog_ts": catalog.read_at_s,
            "catalog_age_s": age_s,
        }
    )


def _entry(name: str, catalog: Catalog, source: str, cutoff: float) -> dict[str, object]:
    resolution = resolve(name, catalog.ids, cutoff)
    return {
        "input": name,
        "canonical": resolution.canonical,
        "distance": resolution.distance,
        "exists": resolution.canonical is not None,
        "source": source,
        "reason": resolution.reason,
        "candidates": list(resolution.candidates),
    }

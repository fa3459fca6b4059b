"""What users call: read a host's models once, and ask what names mean there."""

from __future__ import annotations

from collections.abc import Iterable

from scillm import Kernel, Secret
from scillm_preflight.errors import PreflightFailed
from scillm_preflight.host import LIVE, Host
from scillm_preflight.resolutions import ModelResolution, ModelResolutions, resolved
from scillm_preflight.settings import CUTOFF, checked_cutoff

__all__ = [
    "ModelResolution",
    "ModelResolutions",
    "PreflightFailed",
    "apreflight_models",
    "aresolve_models",
    "preflight_models",
    "resolve_models",
]
TIMEOUT_S = 10.0


def preflight_models(  # noqa: PLR0913  # the names that users know
    *,
    api_base: str,
    api_key: str | Secret | None = None,
    ttl_s: float | None = None,
    soft: bool = False,
    timeout_s: float = TIMEOUT_S,
    kernel: Kernel | None = None,
) -> set[str]:
    """Read the ids of a host's models, unless they are known, and keep them for a while.

    Args:
        api_base: The host's address, with or without ``/v1``.
        api_key: Its key.
        ttl_s: Seconds for which what is known counts; 0 asks anew. None takes
            ``SCILLM_MODEL_PREFLIGHT_TTL_S``.
        soft: Whether a failure is a warning in the log, and the answer what was known, however
            old, or nothing.
        timeout_s: Seconds that the host may take.
        kernel: Whose plugins ask, and for whose calls the ids count; None is the default one.

    Raises:
        PreflightFailed: The host did not tell; also a RuntimeError.
    """
    host = Host.of(api_base, api_key, timeout_s, kernel)
    if (fresh := host.fresh(ttl_s)) is not None:
        return set(fresh.ids)
    try:
        return set(host.read(ttl_s).ids)
    except PreflightFailed as error:
        return set(host.otherwise(error, is_soft=soft))


async def apreflight_models(  # noqa: PLR0913  # the names that users know
    *,
    api_base: str,
    api_key: str | Secret | None = None,
    ttl_s: float | None = None,
    soft: bool = False,
    timeout_s: float = TIMEOUT_S,
    kernel: Kernel | None = None,
) -> set[str]:
    """Do as ``preflight_models`` in async code; many at the same time are one question."""
    host = Host.of(api_base, api_key, timeout_s, kernel)
    if (fresh := host.fresh(ttl_s)) is not None:
        return set(fresh.ids)
    try:
        return set((await host.aread(ttl_s)).ids)
    except PreflightFailed as error:
        return set(host.otherwise(error, is_soft=soft))


def resolve_models(  # noqa: PLR0913  # the names that users know
    models: str | Iterable[str],
    *,
    api_base: str,
    api_key: str | Secret | None = None,
    cutoff: float | None = None,
    prefer_live: bool = True,
    allow_stale: bool = False,
    timeout_s: float = TIMEOUT_S,
    kernel: Kernel | None = None,
) -> ModelResolutions:
    """Say what names mean at a host: what calls with ``model_alias`` would be told.

    Args:
        models: One name, or several.
        api_base: The host's address, with or without ``/v1``.
        api_key: Its key.
        cutoff: How alike a name and its id must be, from 0 to 1; None takes
            ``SCILLM_MODEL_ALIAS_CUTOFF``, which is 0.55 unless set.
        prefer_live: Whether the host is asked even if its models are known; they count then if
            it does not answer. False asks only if nothing that counts is known.
        allow_stale: Whether what is known counts however old it is.
        timeout_s: Seconds that the host may take.
        kernel: Whose plugins ask, and for whose calls the ids count; None is the default one.

    Returns:
        ``ok``, ``resolved``, ``missing``, ``catalog_size``, ``catalog_ts``, ``catalog_age_s``; in
        each of ``resolved`` ``input``, ``canonical``, ``distance``, ``exists``, ``source``
        (``"live"``, ``"cache"`` or ``"stale"``), ``reason`` and ``candidates``.

    Raises:
        PreflightFailed: The host did not tell its models, and nothing that counts is known.
    """
    host = Host.of(api_base, api_key, timeout_s, kernel)
    limit = checked_cutoff(CUTOFF.value() if cutoff is None else cutoff)
    found = None if prefer_live else host.known(allow_stale=allow_stale)
    try:
        catalog, source = found or (host.read(), LIVE)
    except PreflightFailed as error:
        catalog, source = host.instead(error, allow_stale=allow_stale)
    return resolved(models, catalog, source, limit, host.catalogues.age_s(catalog))


async def aresolve_models(  # noqa: PLR0913  # the names that users know
    models: str | Iterable[str],
    *,
    api_base: str,
    api_key: str | Secret | None = None,
    cutoff: float | None = None,
    prefer_live: bool = True,
    allow_stale: bool = False,
    timeout_s: float = TIMEOUT_S,
    kernel: Kernel | None = None,
) -> ModelResolutions:
    """Do as ``resolve_models`` in async code."""
    host = Host.of(api_base, api_key, timeout_s, kernel)
    limit = checked_cutoff(CUTOFF.value() if cutoff is None else cutoff)
    found = None if prefer_live else host.known(allow_stale=allow_stale)
    try:
        catalog, source = found or (await host.aread(), LIVE)
    except PreflightFailed as error:
        catalog, source = host.instead(error, allow_stale=allow_stale)
    return resolved(models, catalog, source, limit, host.catalogues.age_s(catalog))

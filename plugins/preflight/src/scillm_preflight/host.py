"""One host as those who ask for its models see it: what is known of it, and how it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from attrs import frozen

import scillm
from scillm import APIError, Failure, FailureKind, Kernel, ModelList, ScillmError, Secret
from scillm_preflight.catalogs import Catalogues, in_words, place_of
from scillm_preflight.errors import PreflightFailed
from scillm_preflight.plugin import Preflight
from scillm_preflight.shelf import LOG, Catalog

PROVIDER = "openai_like"
LIVE, CACHE, STALE = "live", "cache", "stale"


@frozen(kw_only=True)
class Host:
    """One host, and a kernel that can ask it.

    Attributes:
        base: Its address, as it was given.
        key: Its key, or None.
        timeout_s: Seconds that it may take to tell its models.
        kernel: Whose plugins carry the question.
        catalogues: What that kernel knows.
        place: The address as catalogues are kept by.
    """

    base: str
    key: str | Secret | None
    timeout_s: float
    kernel: Kernel
    catalogues: Catalogues
    place: str

    @classmethod
    def of(
        cls, base: str, key: str | Secret | None, timeout_s: float, kernel: Kernel | None
    ) -> Host:
        """Return the host at an address.

        Raises:
            BadRequestError: There is no address.
            ScillmError: The kernel has no preflight.
        """
        place = place_of(base)
        inside = kernel or scillm.kernel()
        plugins = (p for p in inside.plugins.active() if isinstance(p, Preflight))
        plugin = next(plugins, None)
        if plugin is None:
            raise ScillmError(
                "this kernel has no plugin 'preflight', so nothing would come of it: unset "
                "SCILLM_ENABLE_PREFLIGHT, or take it out of SCILLM_PLUGINS_BLOCK"
            )
        return cls(
            base=base,
            key=key,
            timeout_s=timeout_s,
            kernel=inside,
            catalogues=plugin.checks.catalogues,
            place=place,
        )

    def fresh(self, ttl_s: float | None) -> Catalog | None:
        """Return what is known and not stale."""
        return self.catalogues.fresh(self.place, ttl_s)

    def known(self, *, allow_stale: bool) -> tuple[Catalog, str] | None:
        """Return what is known and counts, and by which right."""
        if (fresh := self.fresh(None)) is not None:
            return fresh, CACHE
        known = self.catalogues.known(self.place) if allow_stale else None
        return None if known is None else (known, STALE)

    def read(self, ttl_s: float | None = 0.0) -> Catalog:
        """Ask for the models and keep them; many at the same time are one question.

        Args:
            ttl_s: Seconds for which what another has read meanwhile counts.

        Raises:
            PreflightFailed: No list came, or an empty one.
        """

        def work() -> Catalog:
            if (fresh := self.fresh(ttl_s)) is not None:
                return fresh
            try:
                listed = self.kernel.models(PROVIDER, **self._arguments())
            except APIError as error:
                raise self._failed(error) from error
            return self.catalogues.keep(self.place, self._ids(listed))

        return self.catalogues.reading_sync.once_sync(self.place, work)

    async def aread(self, ttl_s: float | None = 0.0) -> Catalog:
        """Do as ``read`` in async code."""

        async def work() -> Catalog:
            if (fresh := self.fresh(ttl_s)) is not None:
                return fresh
            try:
                listed = await self.kernel.amodels(PROVIDER, **self._arguments())
            except APIError as error:
                raise self._failed(error) from error
            # In a thread: the file is locked and written.
            return await asyncio.to_thread(self.catalogues.keep, self.place, self._ids(listed))

        return await self.catalogues.reading.once(self.place, work)

    def _arguments(self) -> dict[str, Any]:
        known = {"api_base": self.base, "api_key": self.key, "timeout": self.timeout_s}
        is_cached = "cache" in self.kernel.plugins.options  # an old list is what is not wanted
        return {**known, "cache": False} if is_cached else known

    def _ids(self, listed: ModelList) -> frozenset[str]:
        # A model that is no object is none of ours to understand, but for a bare id.
        named = (each.get("id") if isinstance(each, Mapping) else each for each in listed.data)
        ids = frozenset(one for one in named if isinstance(one, str) and one)
        if not ids:  # by which every call would be refused
            raise self._failed(None)
        return ids

    def _failed(self, error: APIError | None) -> PreflightFailed:
        said = error.failure.detail if error else "its list is empty"
        known = self.catalogues.known(self.place)
        age = known and f"; an earlier list is {in_words(self.catalogues.age_s(known))} old"
        empty = Failure(kind=FailureKind.BAD_ANSWER, detail=said)
        return PreflightFailed(
            f"{self.place} did not tell its models: {said}{age or ''}",
            llm_provider=PROVIDER,
            failure=error.failure if error else empty,
        )

    def otherwise(self, error: PreflightFailed, *, is_soft: bool) -> frozenset[str]:
        """Return what counts as known after a failure, with a warning; raises it unless soft."""
        if not is_soft:
            raise error
        known = self.catalogues.known(self.place)
        LOG.warning("%s; going on with %s", error, "that" if known else "no models")
        return known.ids if known else frozenset()

    def instead(self, error: PreflightFailed, *, allow_stale: bool) -> tuple[Catalog, str]:
        """Return what is known and counts; raises the failure if there is none."""
        found = self.known(allow_stale=allow_stale)
        if found is None:
            raise error
        return found

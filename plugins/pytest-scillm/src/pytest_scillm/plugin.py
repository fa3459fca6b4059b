"""The pytest side: an isolated kernel, a scripted wire, a faulty endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_scillm.endpoint import Endpoint
    from pytest_scillm.redis import RedisServer
    from pytest_scillm.wire import Wire
    from scillm import Kernel


@pytest.fixture
def wire() -> Wire:
    """A transport that answers from a script: ``wire.fail(503).reply({...})``."""
    from pytest_scillm.wire import Wire  # nothing of scillm is loaded for tests that do not use it

    return Wire()


@pytest.fixture
def scillm_kernel(wire: Wire) -> Callable[..., Kernel]:
    """Make a kernel of exactly these plugins and the wire; nothing installed is discovered."""
    from scillm import Kernel

    def make(*plugins: Any) -> Kernel:
        return Kernel.of(wire, *plugins)

    return make


@pytest.fixture(scope="session")
def endpoint() -> Iterator[Endpoint]:
    """A faulty OpenAI-compatible endpoint; ``endpoint.url(...)`` chooses what it does."""
    from pytest_scillm.endpoint import Endpoint

    with Endpoint() as started:
        yield started


@pytest.fixture(scope="session")
def tls_endpoint() -> Iterator[Endpoint]:
    """The same behind TLS, with a certificate that nobody knows; ``ca_path`` is its authority."""
    from pytest_scillm.endpoint import Endpoint

    with Endpoint(tls=True) as started:
        yield started


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A real Redis of this test's own, which ``kill()`` and ``start()`` end and bring back."""
    from pytest_scillm.redis import RedisServer

    with RedisServer() as started:
        yield started

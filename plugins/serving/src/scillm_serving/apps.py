"""An app of typed routes, for ``scillm serve`` and for plain uvicorn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from scillm_serving import openapi
from scillm_serving.answering import Endpoint
from scillm_serving.edge import Edge
from scillm_serving.metrics import CONTENT_TYPE, Metrics
from scillm_serving.refusals import Refused
from scillm_serving.routes import Asked, Reply, Route
from scillm_serving.rules import Rules


def application(
    routes: Iterable[Route],
    rules: Rules | None = None,
    *,
    title: str,
    version: str = "0.1.0",
    close: Callable[[], Awaitable[None]] | None = None,
) -> Starlette:
    """Return an app that answers *routes*, ``/openapi.json``, and ``/metrics`` if the rules say so.

    Args:
        routes: What it answers.
        rules: What it allows; by default what the environment sets.
        title: Its name, for the OpenAPI document.
        version: Its version, for the same.
        close: Awaited when the server ends.
    """
    rules = rules or Rules.set_by_environment()
    known = list(routes)
    document = openapi.document(known, title=title, version=version, has_token=bool(rules.token))
    metrics = Metrics() if rules.has_metrics else None
    known += _own(document, metrics)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        if close is not None:
            await close()

    open_paths = {path for route in known if route.is_open for path in route.paths}
    app = Starlette(
        routes=[each for route in known for each in _starlette(route, rules)],
        middleware=[Middleware(Edge, rules, open_paths, metrics)],
        exception_handlers={HTTPException: _refuse},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def _starlette(route: Route, rules: Rules) -> Iterable[StarletteRoute]:
    endpoint = Endpoint(route, rules)
    for path in route.paths:
        made = StarletteRoute(path, endpoint)
        made.methods = {"GET", "HEAD"} if route.method == "GET" else {route.method}
        yield made


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer what starlette refuses: an address or a method that there is not."""
    assert isinstance(error, HTTPException)
    known = {404: "not_found", 405: "method_not_allowed"}
    said = {
        404: f"there is no {request.url.path!r:.200} here: /openapi.json lists what there is",
        405: f"{request.url.path!r:.200} does not take {request.method}",
    }
    raise Refused(
        error.status_code,
        said.get(error.status_code, error.detail),
        code=known.get(error.status_code),
        headers=error.headers,
    )


def _own(document: dict[str, Any], metrics: Metrics | None) -> Iterable[Route]:
    async def described(asked: Asked[None]) -> Any:
        return document

    async def counted(asked: Asked[None]) -> Any:
        assert metrics is not None
        return Reply(metrics.text().encode(), headers={"content-type": CONTENT_TYPE})

    yield Route(path="/openapi.json", method="GET", answer=described)
    if metrics is not None:
        yield Route(path="/metrics", method="GET", answer=counted)

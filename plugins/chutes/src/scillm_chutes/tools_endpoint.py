"""Calls with tools, sent to the path of a gateway that takes them."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from attrs import evolve

from scillm import Setting, hookimpl
from scillm_chutes.settings import MODE, bare, gateways

if TYPE_CHECKING:
    from scillm import Call, Request, Route

OUTERMOST = 240
"""Outside of whatever else changes a chat's body: the last word on how it is spelt."""


def _path(text: str) -> str:
    path = text.strip()
    if path and (not path.startswith("/") or "//" in path or "?" in path or "#" in path):
        raise ValueError("expected a path, as in /v1/responses")
    return path


TOOLS_ENDPOINT = Setting(
    name="CHUTES_TOOLS_ENDPOINT",
    default="",
    read=_path,
    prefix="",
    help="path of a gateway to which calls with tools go, as /v1/responses; unset, the usual one",
)


@hookimpl(wrapper=True)
def prepare_request(call: Call, route: Route) -> Generator[None, Request | None, Request | None]:
    """Send a call with tools elsewhere; a path that ends with /responses in that dialect."""
    request = yield
    if request is None or not call.params.get("tools"):
        return request
    path = TOOLS_ENDPOINT.value()
    if not path or not _is_gateway(route):
        return request
    base, mark, query = route.base_url.partition("?")
    url = bare(base) + path + mark + query
    if path.rstrip("/").endswith("/responses"):
        from scillm_dialects import openai_responses  # only who speaks it pays for it

        return openai_responses.at(request, url)
    return evolve(request, url=url)


def _is_gateway(route: Route) -> bool:
    if route.provider == "chutes" or MODE.value():
        return True
    try:
        return bare(route.base_url) in {bare(gateway.base) for gateway in gateways()}
    except RuntimeError:
        return False  # the environment names none

"""How to connect: through which proxy, trusting whom."""

from __future__ import annotations

import ssl
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import frozen

from scillm import BadRequestError, Setting
from scillm.settings import variable

if TYPE_CHECKING:
    from scillm import Call


def _verify(text: str) -> bool | str:
    return {"0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}.get(
        text.strip().lower(), text
    )


PROXY: Setting[str | None] = Setting(
    name="PROXY",
    default=None,
    option="proxy",
    help="address of the proxy for every request; else HTTPS_PROXY and its like",
)
SSL_VERIFY: Setting[bool | str] = Setting(
    name="SSL_VERIFY",
    default=True,
    read=_verify,
    option="ssl_verify",
    help="true, false, or the path of a bundle of CA certificates",
)
CONNECTION_SETTINGS: tuple[Setting[Any], ...] = (PROXY, SSL_VERIFY)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PROXY_VARIABLES = ("https_proxy", "http_proxy", "all_proxy", "no_proxy")


@frozen
class Connection:
    """What tells one pool of connections from another.

    Attributes:
        proxy: Address of the proxy, or None.
        verify: True, False, or the path of a CA bundle.
    """

    proxy: str | None = None
    verify: bool | str = True


_DIRECT = Connection()


def connection_for(call: Call, url: str) -> Connection:
    """Return how to connect for *call* to *url*: arguments, else settings, else the environment.

    The environment is read again once a second: its ten variables cost as much as the rest
    of a call.
    """
    told = _environment(int(time.monotonic()))
    verify = call.options.get("ssl_verify", told.verify)
    proxy = call.options.get("proxy")
    if not proxy and (told.proxy or told.proxies):
        proxy = _proxy_for(url, told)
    if not proxy and verify is True:
        return _DIRECT
    return Connection(_checked(proxy or None), verify)


@frozen
class _Environment:
    proxy: str | None
    verify: bool | str
    proxies: tuple[str | None, ...]


@lru_cache(maxsize=1)
def _environment(second: int) -> _Environment:
    proxies = tuple(variable(name) or variable(name.upper()) for name in _PROXY_VARIABLES)
    return _Environment(PROXY.value(), SSL_VERIFY.value(), proxies if any(proxies) else ())


def reread_environment() -> None:
    """Forget what the environment said of proxies and TLS; the next call reads it again."""
    _environment.cache_clear()


def _checked(proxy: str | None) -> str | None:
    if proxy is not None and urlsplit(proxy).scheme not in ("http", "https"):
        raise BadRequestError(
            f"the proxy {_without_password(proxy)!r} (argument proxy, SCILLM_PROXY or HTTPS_PROXY) "
            "is not an address of an HTTP proxy: write http://host:port"
        )
    return proxy


@lru_cache(maxsize=256)
def _proxy_for(url: str, told: _Environment) -> str | None:
    from urllib.request import (  # type: ignore[attr-defined]  # only who has a proxy pays for it
        proxy_bypass_environment,
    )

    parts = urlsplit(url)
    if parts.hostname in _LOOPBACK:
        return None  # a proxy has another loopback than we
    if told.proxy or not told.proxies:
        return told.proxy
    https, http, every, exempt = told.proxies
    if exempt and proxy_bypass_environment(parts.netloc.rpartition("@")[2], {"no": exempt}):
        return None
    return (https if parts.scheme == "https" else http) or every


def _without_password(address: str) -> str:
    scheme, separator, rest = address.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]


@lru_cache(maxsize=16)
def tls_context(verify: bool | str) -> ssl.SSLContext:  # noqa: FBT001  # a bool or a path
    """Return the process's TLS context for *verify*; making one costs tens of milliseconds.

    Raises:
        BadRequestError: *verify* names no readable bundle.
    """
    if verify is False:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=verify if isinstance(verify, str) else _bundle())
    except (OSError, ssl.SSLError) as error:
        raise BadRequestError(
            f"ssl_verify={verify!r} is no readable bundle of CA certificates ({error}): "
            "give the path of a PEM file"
        ) from error


def _bundle() -> str | None:
    """Return certifi's bundle, unless the environment names one, which OpenSSL reads by itself."""
    if variable("SSL_CERT_FILE") or variable("SSL_CERT_DIR"):
        return variable("SSL_CERT_FILE")
    import certifi

    return certifi.where()

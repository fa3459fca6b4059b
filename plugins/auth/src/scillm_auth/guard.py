"""Keys that cannot be right, told before they are sent; what they are is never shown."""

from __future__ import annotations

import re
from functools import lru_cache

from scillm import BadRequestError, Request, Secret

HEADERS = ("authorization", "x-api-key", "api-key")
# `Digest username="x"`: a scheme of its own, whose parameters are nobody's key.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9-]*[ \t]+(?=\S)")
_BEARER = re.compile(r"Bearer[ \t]", re.IGNORECASE)
_MISTAKES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"""^\s*["'\u201c\u201d\u2018\u2019`].*|.*["'\u201c\u201d\u2018\u2019`]\s*$""",
            re.DOTALL,
        ),
        "is in quotes: leave them out",
    ),
    (
        re.compile(r"^\s*(export\s+)?[A-Za-z_][A-Za-z0-9_]*=.*[^=]", re.DOTALL),
        "looks like NAME=value: give the value alone",
    ),
    (re.compile(r"^\s*Bearer\s", re.IGNORECASE), 'begins with "Bearer": give the key alone'),
    (re.compile(r"^\s|\s$|.*[\r\n]", re.DOTALL), "has a space or a line break at an end"),
    (re.compile(r"^\$\{?[A-Za-z_]"), "is the name of a variable that nobody put in"),
)


def check(request: Request) -> None:
    """Look at the keys that a request carries.

    Raises:
        BadRequestError: One of them cannot be right; says what to mend.
    """
    for header in HEADERS:
        value = request.headers.get(header)
        if value is None:
            continue
        text = value.reveal() if isinstance(value, Secret) else value
        key = _key(text) if header == "authorization" else text
        if key is None or key.isalnum() or (mistake := _mistake(key)) is None:
            continue
        raise BadRequestError(
            f"the key in {header!r} {mistake}. It was not sent; check the argument or variable "
            "that it comes from",
            llm_provider=request.route.provider,
            model=request.route.model,
        )


def _key(text: str) -> str | None:
    """Return the key in an Authorization header; None for a scheme that is not ours to judge."""
    if bearer := _BEARER.match(text):
        return text[bearer.end() :]
    return None if _SCHEME.match(text) and not text.lower().startswith("export ") else text


@lru_cache(maxsize=16)
def _mistake(key: str) -> str | None:
    return next((said for pattern, said in _MISTAKES if pattern.match(key)), None)

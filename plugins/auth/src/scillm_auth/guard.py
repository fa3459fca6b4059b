"""Keys that cannot be right, told before they are sent; what they are is never shown."""

from __future__ import annotations

import re

from scillm import BadRequestError, Request, Secret

HEADERS = ("authorization", "x-api-key")
_MISTAKES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"""^\s*["'].*|.*["']\s*$""", re.DOTALL), "is in quotes: leave them out"),
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
        key = text[7:] if header == "authorization" and text[:7] == "Bearer " else text
        if key.isalnum() or (mistake := _mistake(key, header)) is None:
            continue
        raise BadRequestError(
            f"the key in {header!r} {mistake}. It was not sent; check the argument or variable "
            "that it comes from",
            llm_provider=request.route.provider,
            model=request.route.model,
        )


def _mistake(key: str, header: str) -> str | None:
    for pattern, said in _MISTAKES:
        if pattern.match(key) and not (header == "authorization" and key.startswith("Basic ")):
            return said
    return None

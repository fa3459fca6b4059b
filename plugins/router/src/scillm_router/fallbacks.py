"""Whom to ask when a group has nobody left, or does not take what it is asked."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scillm import BadRequestError, FailureKind, Setting

if TYPE_CHECKING:
    from scillm import APIError

LOG = logging.getLogger("scillm.router")
Fallbacks = Mapping[str, Sequence[str]]


def _option(name: str, meaning: str) -> Setting[Any]:
    return Setting(name=name.upper(), default=None, option=name, help=meaning)


FALLBACKS = _option("fallbacks", "groups to ask when a group has nobody left")
CONTEXT_WINDOW = _option("context_window_fallbacks", "groups to ask when messages are too long")
CONTENT_POLICY = _option("content_policy_fallbacks", "groups to ask when content is refused")
DISABLE = _option("disable_fallbacks", "true leaves all of these out")
_BY_KIND = {
    FailureKind.CONTEXT_WINDOW: CONTEXT_WINDOW,
    FailureKind.CONTENT_POLICY: CONTENT_POLICY,
}


def setting_for(error: APIError | None) -> Setting[Any]:
    """Return the table that is for *error*; for None, which is nobody to ask, the general one."""
    return FALLBACKS if error is None else _BY_KIND.get(error.failure.kind, FALLBACKS)


def read_fallbacks(value: Any, name: str, groups: Iterable[str] = ()) -> Fallbacks:
    """Read ``[{"a": ["b", "c"]}]`` or ``{"a": ["b", "c"]}``; ``"*"`` stands for every group.

    Args:
        value: What to read.
        name: The argument that it is of.
        groups: Names that there are; none if they are not known.

    Raises:
        BadRequestError: It is something else, or it sends to what is neither a group nor written
            ``provider/model``.
    """
    merged: dict[str, Sequence[str]] = {}
    for each in [value] if isinstance(value, Mapping) else value or ():
        if not isinstance(each, Mapping):
            raise BadRequestError(f"{name} has {each!r:.80}: write {{'group': ['another']}}")
        for group, others in each.items():
            merged[group] = [others] if isinstance(others, str) else list(others)
    known = set(groups)
    for other in (other for others in merged.values() for other in others):
        if known and other not in known and "/" not in str(other):
            raise BadRequestError(f"{name} names {_stranger(other, known)}")
    return merged


def warn_of_strangers(table: Fallbacks, name: str, groups: Iterable[str]) -> None:
    """Log what a table has for a group that there is not.

    It is no error: a call that names its provider apart has a name that is no group.
    """
    known = set(groups)
    for group in table if known else ():
        if group != "*" and group not in known and "/" not in str(group):
            LOG.warning("%s are for %s", name, _stranger(group, known))


def _stranger(name: Any, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), known, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return (
        f"{name!r}, which is no group: {hint}there are {', '.join(sorted(known))}; or name a "
        "provider, as in 'provider/model'"
    )

"""Which of litellm's names are served, and by what of ours."""

from __future__ import annotations

TYPE_CHECKING = False  # spelled so that importing typing is not paid for here
if TYPE_CHECKING:
    from typing import Any

ERRORS = frozenset(
    [
        "APIConnectionError",
        "APIError",
        "APIResponseValidationError",
        "AuthenticationError",
        "BadRequestError",
        "ConflictError",
        "ContentPolicyViolationError",
        "ContextWindowExceededError",
        "InternalServerError",
        "NotFoundError",
        "PermissionDeniedError",
        "RateLimitError",
        "ServiceUnavailableError",
        "Timeout",
        "UnprocessableEntityError",
        "UnsupportedParamsError",
    ]
)
"""The names of ``litellm.exceptions``."""

RENAMED = {
    "APIResponseValidationError": "InvalidResponse",
    "CustomStreamWrapper": "Stream",
    "ModelResponse": "Response",
    "ModelResponseStream": "Chunk",
}
"""litellm's name to ours, where they differ; every other name is the same."""

MODULES = frozenset({"caching", "exceptions", "experimental_mcp_client", "extras"})
"""The modules below ``litellm`` that there are."""


def load(name: str) -> Any:
    """Return what ``litellm.<name>`` stands for.

    Raises:
        AttributeError: Neither scillm nor an installed plugin has it; says who would.
    """
    if name.startswith("_"):
        raise AttributeError(f"module 'litellm' has no attribute {name!r}", name=name)
    from importlib import import_module

    if name in MODULES:
        return import_module(f"litellm.{name}")
    try:
        return getattr(import_module("scillm"), RENAMED.get(name, name))
    except AttributeError as error:
        raise AttributeError(missing(name), name=name) from error


def load_error(name: str) -> Any:
    """Return what ``litellm.exceptions.<name>`` stands for.

    Raises:
        AttributeError: scillm raises no such error.
    """
    if name in ERRORS:
        return load(name)
    raise AttributeError(
        f"module 'litellm.exceptions' has no attribute {name!r}: scillm raises "
        + ", ".join(sorted(ERRORS)),
        name=name,
    )


CACHING = frozenset({"Cache", "LiteLLMCacheType", "disable_cache", "enable_cache"})
"""The names of ``litellm.caching``."""


def load_caching(name: str) -> Any:
    """Return what ``litellm.caching.<name>`` stands for.

    Raises:
        AttributeError: There is no such name.
        ImportError: The plugin that keeps answers is not installed; says which it is.
    """
    if name not in CACHING:
        raise AttributeError(
            f"module 'litellm.caching' has no attribute {name!r}: there are "
            + ", ".join(sorted(CACHING)),
            name=name,
        )
    from importlib import import_module

    return getattr(import_module("scillm.extras.cache"), name)


def load_agent(module: str, name: str) -> Any:
    """Return what a module below ``litellm.experimental_mcp_client`` has of this name.

    Args:
        module: The module of ``scillm.extras`` that stands behind it.
        name: The name there.

    Raises:
        AttributeError: There is no such name.
        ImportError: The agent is not installed; says which distribution brings it.
    """
    from importlib import import_module

    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(import_module(f"scillm.extras.{module}"), name)


def missing(name: str) -> str:
    """Say that ``litellm.<name>`` is not served, and which distribution would bring it."""
    from importlib import import_module

    try:
        import_module(f"scillm.{name}")
    except ImportError as error:  # scillm itself knows what to say of a name that is not there
        why = str(error)
    else:
        why = f"'scillm.{name}' is a module of scillm's own: import it from there"
    return f"'litellm.{name}' is not served by scillm-litellm-compat: {why}"


def served() -> set[str]:
    """Return every public name that ``litellm`` has: litellm's, scillm's and what plugins lend."""
    import scillm

    theirs = {name for name in dir(scillm) if not name.startswith("_")}
    return theirs | ERRORS | MODULES | set(RENAMED)

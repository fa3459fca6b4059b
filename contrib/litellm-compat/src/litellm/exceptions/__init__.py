"""litellm's errors: those that scillm raises, under the names that litellm gives them."""

from scillm_litellm_compat import names

TYPE_CHECKING = False
if TYPE_CHECKING:  # what tools see; at run time __getattr__ below does the same, late
    from typing import Any

    from scillm import APIConnectionError as APIConnectionError
    from scillm import APIError as APIError
    from scillm import AuthenticationError as AuthenticationError
    from scillm import BadRequestError as BadRequestError
    from scillm import ConflictError as ConflictError
    from scillm import ContentPolicyViolationError as ContentPolicyViolationError
    from scillm import ContextWindowExceededError as ContextWindowExceededError
    from scillm import InternalServerError as InternalServerError
    from scillm import InvalidResponse as _InvalidResponse
    from scillm import NotFoundError as NotFoundError
    from scillm import PermissionDeniedError as PermissionDeniedError
    from scillm import RateLimitError as RateLimitError
    from scillm import ServiceUnavailableError as ServiceUnavailableError
    from scillm import Timeout as Timeout
    from scillm import UnprocessableEntityError as UnprocessableEntityError
    from scillm import UnsupportedParamsError as UnsupportedParamsError

    APIResponseValidationError = _InvalidResponse


def __getattr__(name: str) -> "Any":
    """Load an error when it is first asked for."""
    return names.load_error(name)


def __dir__() -> "list[str]":
    return sorted({*globals(), *names.ERRORS})

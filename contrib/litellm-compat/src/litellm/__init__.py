"""litellm's import names, served by scillm. Only re-exports: nothing is implemented here.

Nothing is loaded until it is asked for. What is served, and what is not, stands in the README
of the distribution scillm-litellm-compat.
"""

import sys

from scillm_litellm_compat import finder, names, switches

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:  # what tools see; at run time __getattr__ below does the same, late
    from typing import Any

    from scillm import APIConnectionError as APIConnectionError
    from scillm import APIError as APIError
    from scillm import AuthenticationError as AuthenticationError
    from scillm import BadRequestError as BadRequestError
    from scillm import Chunk as _Chunk
    from scillm import ConflictError as ConflictError
    from scillm import ContentPolicyViolationError as ContentPolicyViolationError
    from scillm import ContextWindowExceededError as ContextWindowExceededError
    from scillm import EmbeddingResponse as EmbeddingResponse
    from scillm import InternalServerError as InternalServerError
    from scillm import InvalidResponse as _InvalidResponse
    from scillm import NotFoundError as NotFoundError
    from scillm import PermissionDeniedError as PermissionDeniedError
    from scillm import RateLimitError as RateLimitError
    from scillm import Response as _Response
    from scillm import ServiceUnavailableError as ServiceUnavailableError
    from scillm import Stream as _Stream
    from scillm import Timeout as Timeout
    from scillm import UnprocessableEntityError as UnprocessableEntityError
    from scillm import UnsupportedParamsError as UnsupportedParamsError
    from scillm import acompletion as acompletion
    from scillm import aembedding as aembedding
    from scillm import completion as completion
    from scillm import embedding as embedding

    APIResponseValidationError = _InvalidResponse
    CustomStreamWrapper = _Stream
    ModelResponse = _Response
    ModelResponseStream = _Chunk

finder.install()
sys.modules[__name__].__class__ = switches.Litellm


def __getattr__(name: str) -> "Any":
    """Load a name of scillm's, or one that a plugin lends, when it is first asked for."""
    value = names.load(name)
    globals()[name] = value
    return value


def __dir__() -> "list[str]":
    return sorted({*globals(), *names.served()})

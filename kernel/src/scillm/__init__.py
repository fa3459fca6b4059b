"""scillm: call any language model, and check what it says; everything else is a plugin.

Nothing is loaded until it is asked for: ``import scillm`` costs two modules.
"""

from scillm import _exports

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:  # what tools see; at run time __getattr__ below does the same, late
    from typing import Any

    from scillm.answers import Chunk as Chunk
    from scillm.answers import EmbeddingResponse as EmbeddingResponse
    from scillm.answers import Event as Event
    from scillm.answers import ModelList as ModelList
    from scillm.answers import Response as Response
    from scillm.api import aclose as aclose
    from scillm.api import acompletion as acompletion
    from scillm.api import aembedding as aembedding
    from scillm.api import amodels as amodels
    from scillm.api import close as close
    from scillm.api import completion as completion
    from scillm.api import embedding as embedding
    from scillm.api import kernel as kernel
    from scillm.api import models as models
    from scillm.calls import Call as Call
    from scillm.calls import Request as Request
    from scillm.calls import Route as Route
    from scillm.calls import Sender as Sender
    from scillm.calls import Timeouts as Timeouts
    from scillm.errors import APIConnectionError as APIConnectionError
    from scillm.errors import APIError as APIError
    from scillm.errors import AuthenticationError as AuthenticationError
    from scillm.errors import BadRequestError as BadRequestError
    from scillm.errors import ConflictError as ConflictError
    from scillm.errors import ContentPolicyViolationError as ContentPolicyViolationError
    from scillm.errors import ContextWindowExceededError as ContextWindowExceededError
    from scillm.errors import InternalServerError as InternalServerError
    from scillm.errors import InvalidResponse as InvalidResponse
    from scillm.errors import NotFoundError as NotFoundError
    from scillm.errors import PermissionDeniedError as PermissionDeniedError
    from scillm.errors import PluginError as PluginError
    from scillm.errors import RateLimitError as RateLimitError
    from scillm.errors import ScillmError as ScillmError
    from scillm.errors import ServiceUnavailableError as ServiceUnavailableError
    from scillm.errors import SettingError as SettingError
    from scillm.errors import StatusError as StatusError
    from scillm.errors import Timeout as Timeout
    from scillm.errors import UnknownModelError as UnknownModelError
    from scillm.errors import UnprocessableEntityError as UnprocessableEntityError
    from scillm.errors import UnsupportedParamsError as UnsupportedParamsError
    from scillm.failures import Failure as Failure
    from scillm.failures import FailureKind as FailureKind
    from scillm.folding import Fold as Fold
    from scillm.folding import fold as fold
    from scillm.folding import unfold as unfold
    from scillm.hookspecs import hookimpl as hookimpl
    from scillm.pipeline import Kernel as Kernel
    from scillm.pipeline import Stream as Stream
    from scillm.secrets import Secret as Secret
    from scillm.settings import Setting as Setting

_HOMES = {
    "answers": "Chunk EmbeddingResponse Event ModelList Response",
    "api": "aclose acompletion aembedding amodels close completion embedding kernel models",
    "calls": "Call Request Route Sender Timeouts",
    "errors": "APIConnectionError APIError AuthenticationError BadRequestError ConflictError "
    "ContentPolicyViolationError ContextWindowExceededError InternalServerError InvalidResponse "
    "NotFoundError PermissionDeniedError PluginError RateLimitError ScillmError "
    "ServiceUnavailableError SettingError StatusError Timeout UnknownModelError "
    "UnprocessableEntityError UnsupportedParamsError",
    "failures": "Failure FailureKind",
    "folding": "Fold fold unfold",
    "hookspecs": "hookimpl",
    "pipeline": "Kernel Stream",
    "secrets": "Secret",
    "settings": "Setting",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
_MODULES = {*_HOMES, "doors", "plugins"}
__all__ = [*_HOME]  # noqa: PLE0604  # the names of the table above

_exports.install()


def __getattr__(name: str) -> "Any":
    """Import the kernel's own names, and names that plugins lend, when first asked for."""
    if home := _HOME.get(name):
        from importlib import import_module

        value = getattr(import_module(f"scillm.{home}"), name)
    elif name in _MODULES:
        raise AttributeError(name)  # of which an import makes sure before it loads a module
    else:
        value = _exports.load(name)
    globals()[name] = value
    return value


def __dir__() -> "list[str]":
    return sorted({*globals(), *_HOME, *(name for name in _exports.lent() if "." not in name)})

"""What comes back: read-only views over plain dicts in OpenAI's shape.

An answer is kept as it was received and wrapped when looked at, so that nothing is lost
and a stream of thousands of chunks costs little. Every view can be read three ways,
``message.content``, ``message["content"]`` and ``message.get("content")``; a declared field
that did not come is None; a field that nobody declared is kept.

Source: https://platform.openai.com/docs/api-reference/chat/object, November 2026.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from typing import TypeAlias

    from scillm.calls import Route

    Wrap: TypeAlias = Callable[[dict[str, Any]], "View"]  # of one object of a field

V = TypeVar("V", bound="View")
NOTES = "additional_kwargs"


class View(Mapping[str, Any]):
    """A read-only view over one JSON object; a mapping, and attributes."""

    __slots__ = ("_raw",)
    _raw: dict[str, Any]
    _fields: ClassVar[Mapping[str, None]] = {}
    _views: ClassVar[Mapping[str, Wrap]] = {}

    def __init_subclass__(cls, fields: str = "", views: Mapping[str, Wrap] | None = None) -> None:
        """Declare the names of a shape, and which of them hold shapes of their own.

        A class that declares none has those of the class that it extends.
        """
        if fields:
            cls._fields, cls._views = dict.fromkeys(fields.split()), dict(views or {})
            for name in cls._fields:
                setattr(cls, name, _field(name, cls._views.get(name)))

    def __init__(self, raw: Mapping[str, Any]) -> None:
        _set_raw(self, raw)

    def __getattr__(self, name: str) -> Any:
        if name in self._fields or name in self._raw:
            return self[name]
        raise AttributeError(f"{type(self).__name__} has no field {name!r}")

    def __getitem__(self, name: str) -> Any:
        value = self._raw.get(name)
        if value is None:
            if name in self._fields or name in self._raw:
                return None
            raise KeyError(name)
        view = self._views.get(name)
        return value if view is None else _viewed(view, value)

    def __iter__(self) -> Iterator[str]:
        yield from self._fields
        yield from (name for name in self._raw if name not in self._fields)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is read-only: use .evolve({name}=...)")

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={self[name]!r}" for name in self)
        return f"{type(self).__name__}({inside})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, View):
            return self.model_dump() == other.model_dump()
        return isinstance(other, Mapping) and self.to_dict() == dict(other)

    __hash__ = None  # type: ignore[assignment]  # mutable parts below, as with any mapping

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self._raw,))

    def evolve(self: V, **changes: Any) -> V:
        """Return a copy with these fields replaced; views among *changes* are unwrapped."""
        return type(self)({**self._raw, **{name: plain(new) for name, new in changes.items()}})

    def model_dump(self, *, exclude_none: bool = False) -> dict[str, Any]:
        """Return plain dicts and lists, declared fields that did not come as None."""
        dumped = {name: _dumped(self[name], exclude_none=exclude_none) for name in self}
        return {k: v for k, v in dumped.items() if v is not None} if exclude_none else dumped

    def model_dump_json(self, *, indent: int | None = None, exclude_none: bool = False) -> str:
        """Return ``model_dump()`` as JSON text."""
        return json.dumps(self.model_dump(exclude_none=exclude_none), indent=indent)

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts and lists with what was received, and no more."""
        copied: dict[str, Any] = plain(self)
        return copied

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return ``to_dict()`` as JSON text."""
        return json.dumps(self.to_dict(), indent=indent)


_set_raw = vars(View)["_raw"].__set__  # past the __setattr__ that refuses


def _field(name: str, view: Wrap | None) -> property:
    """Return the attribute of a declared field: ``self[name]``, found in a third of the time."""

    def field(self: View) -> Any:
        value = self._raw.get(name)
        return value if value is None or view is None else _viewed(view, value)

    return property(field)


def _viewed(view: Wrap, value: Any) -> Any:
    if type(value) is dict:
        return view(value)
    if isinstance(value, (list, tuple)):
        return tuple([view(item) if isinstance(item, dict) else item for item in value])
    return value


def _dumped(value: Any, *, exclude_none: bool) -> Any:
    if isinstance(value, View):
        return value.model_dump(exclude_none=exclude_none)
    if isinstance(value, tuple):
        return [_dumped(item, exclude_none=exclude_none) for item in value]
    return plain(value)


def plain(value: Any) -> Any:
    """Return *value* with every view, tuple and mapping in it copied to dicts and lists."""
    if isinstance(value, View):
        value = value._raw
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


class Function(View, fields="arguments name"):
    """The function of a tool call: its name and its arguments as JSON text."""

    __slots__ = ()
    name: str
    arguments: str


class ToolCall(View, fields="id function type", views={"function": Function}):
    """One call that the model wants made; in a chunk, a fragment of one, told by ``index``."""

    __slots__ = ()
    id: str
    type: str
    function: Function


class Custom(View, fields="input name"):
    """The name and the free text that a custom tool is called with."""

    __slots__ = ()


class CustomToolCall(View, fields="id custom type", views={"custom": Custom}):
    """One call of a tool whose input is free text."""

    __slots__ = ()


def _tool_call(raw: Mapping[str, Any]) -> View:
    return CustomToolCall(raw) if raw.get("type") == "custom" else ToolCall(raw)


class ToolCallDelta(ToolCall, fields="index id function type", views={"function": Function}):
    """A fragment of a tool call."""

    __slots__ = ()
    index: int


class TopLogprob(View, fields="token bytes logprob"):
    """One alternative to a token."""

    __slots__ = ()


class TokenLogprob(
    View, fields="token bytes logprob top_logprobs", views={"top_logprobs": TopLogprob}
):
    """One token with its log probability."""

    __slots__ = ()


class Logprobs(
    View, fields="content refusal", views={"content": TokenLogprob, "refusal": TokenLogprob}
):
    """Log probabilities of the tokens of a choice."""

    __slots__ = ()


class Audio(View, fields="id data expires_at transcript"):
    """A spoken answer."""

    __slots__ = ()


class UrlCitation(View, fields="end_index start_index title url"):
    """The page that a span of the text is drawn from."""

    __slots__ = ()


class Annotation(View, fields="type url_citation", views={"url_citation": UrlCitation}):
    """A mark on a span of the text."""

    __slots__ = ()


class Message(
    View,
    fields="content refusal role annotations audio function_call tool_calls",
    views={
        "function_call": Function,
        "tool_calls": _tool_call,
        "audio": Audio,
        "annotations": Annotation,
    },
):
    """What the model says: text, tool calls, a refusal."""

    __slots__ = ()
    content: str | None
    refusal: str | None
    role: str
    tool_calls: tuple[ToolCall, ...] | None
    function_call: Function | None

    @property
    def reasoning_text(self) -> str | None:
        """The model's reasoning, under whichever name the provider sends it."""
        return reasoning_of(self._raw)


class Delta(
    View,
    fields="audio content function_call refusal role tool_calls",
    views={"function_call": Function, "tool_calls": ToolCallDelta, "audio": Audio},
):
    """What a chunk adds to a message."""

    __slots__ = ()
    content: str | None
    refusal: str | None
    role: str | None
    tool_calls: tuple[ToolCallDelta, ...] | None

    @property
    def reasoning_text(self) -> str | None:
        """The piece of reasoning in this chunk, under whichever name the provider sends it."""
        return reasoning_of(self._raw)


def reasoning_of(raw: Mapping[str, Any]) -> str | None:
    """Return the reasoning text of a message or delta: ``reasoning_content`` or ``reasoning``."""
    text = raw.get("reasoning_content")
    if text is None:
        text = raw.get("reasoning")
    return text if isinstance(text, str) else None


class Choice(
    View,
    fields="finish_reason index logprobs message",
    views={"message": Message, "logprobs": Logprobs},
):
    """One of the ``n`` answers."""

    __slots__ = ()
    finish_reason: str | None
    index: int
    logprobs: Logprobs | None
    message: Message

    @property
    def tool_calls(self) -> tuple[ToolCall, ...] | None:
        """The message's tool calls, also readable here."""
        return self.message.tool_calls


class ChunkChoice(
    View, fields="delta index finish_reason logprobs", views={"delta": Delta, "logprobs": Logprobs}
):
    """What a chunk adds to one of the ``n`` answers."""

    __slots__ = ()
    delta: Delta
    finish_reason: str | None
    index: int
    logprobs: Logprobs | None


class CompletionTokensDetails(
    View,
    fields="accepted_prediction_tokens audio_tokens reasoning_tokens "
    "rejected_prediction_tokens text_tokens",
):
    """What the answer's tokens were spent on."""

    __slots__ = ()


class PromptTokensDetails(
    View, fields="audio_tokens cache_write_tokens cached_tokens image_tokens text_tokens"
):
    """What the prompt's tokens were."""

    __slots__ = ()


class Usage(
    View,
    fields="completion_tokens prompt_tokens total_tokens completion_tokens_details "
    "prompt_tokens_details",
    views={
        "completion_tokens_details": CompletionTokensDetails,
        "prompt_tokens_details": PromptTokensDetails,
    },
):
    """Tokens billed for one answer, as the provider counts them."""

    __slots__ = ()
    completion_tokens: int
    prompt_tokens: int
    total_tokens: int


class Answer(View):
    """What all answers of a provider have: who gave it, and what plugins noted on it."""

    __slots__ = ("served_by",)
    served_by: Route | None

    def __init__(self, raw: Mapping[str, Any], served_by: Route | None = None) -> None:
        _set_raw(self, raw)
        _set_served_by(self, served_by)

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self._raw, self.served_by))

    def evolve(self: A, **changes: Any) -> A:
        """Return a copy with these fields replaced; views among *changes* are unwrapped."""
        new = {name: plain(value) for name, value in changes.items()}
        return type(self)({**self._raw, **new}, self.served_by)

    def served(self: A, route: Route) -> A:
        """Return the same answer, saying who gave it."""
        return type(self)(self._raw, route)

    @property
    def is_final(self) -> bool:
        """Whether the answer, or a choice of it, ends here; so it is for a whole answer."""
        return True

    @property
    def cost(self) -> float | None:
        """What it cost in USD, if a plugin or the provider says so."""
        cost: float | None = self._raw.get("cost")
        return cost

    @property
    def additional_kwargs(self) -> Mapping[str, Any]:
        """What plugins noted on this answer, by plugin name."""
        notes: Mapping[str, Any] = self._raw.get(NOTES) or {}
        return notes

    @property
    def _hidden_params(self) -> Mapping[str, Any]:
        """Return the notes of all plugins in one mapping, where users of other clients look."""
        return {
            name: note for notes in self.additional_kwargs.values() for name, note in notes.items()
        }

    def with_notes(self: A, plugin: str, notes: Mapping[str, Any]) -> A:
        """Return a copy whose ``additional_kwargs[plugin]`` holds *notes* too."""
        old = self.additional_kwargs
        return self.evolve(**{NOTES: {**old, plugin: {**old.get(plugin, {}), **notes}}})


A = TypeVar("A", bound=Answer)
_set_served_by = vars(Answer)["served_by"].__set__


class Response(
    Answer,
    fields="id choices created model object metadata moderation service_tier "
    "system_fingerprint usage",
    views={"choices": Choice, "usage": Usage},
):
    """A whole answer, in the shape of OpenAI's ``chat.completion``.

    ``served_by`` is the route that answered; ``additional_kwargs`` holds what plugins noted,
    by plugin name.
    """

    __slots__ = ()
    id: str
    choices: tuple[Choice, ...]
    created: int
    model: str
    usage: Usage | None

    @property
    def text(self) -> str:
        """The content of the first choice, ``""`` if it has none."""
        return (self.choices[0].message.content or "") if self.choices else ""


class Chunk(
    Answer,
    fields="id choices created model object moderation obfuscation service_tier "
    "system_fingerprint usage",
    views={"choices": ChunkChoice, "usage": Usage},
):
    """A piece of an answer, in the shape of OpenAI's ``chat.completion.chunk``."""

    __slots__ = ()
    id: str
    choices: tuple[ChunkChoice, ...]
    created: int
    model: str
    usage: Usage | None

    @property
    def text(self) -> str:
        """The text that this chunk adds to the first choice, ``""`` if none."""
        first = next((c.delta for c in self.choices or () if not c.index), None)
        content = first.content if first else None
        return content if isinstance(content, str) else ""

    @property
    def is_final(self) -> bool:
        """Whether a choice ends in this chunk."""
        for choice in self._raw.get("choices") or ():  # noqa: SIM110  # any() takes twice as long
            if choice.get("finish_reason"):
                return True
        return False


class Embedding(View, fields="embedding index object"):
    """One vector."""

    __slots__ = ()
    embedding: list[float]
    index: int


class EmbeddingUsage(View, fields="prompt_tokens total_tokens"):
    """Tokens billed for embeddings."""

    __slots__ = ()


class EmbeddingResponse(
    Answer, fields="data model object usage", views={"data": Embedding, "usage": EmbeddingUsage}
):
    """Vectors, in the shape of OpenAI's ``CreateEmbeddingResponse``."""

    __slots__ = ()
    data: tuple[Embedding, ...]


class Model(View, fields="id created object owned_by shutdown_date"):
    """One model that a provider offers."""

    __slots__ = ()
    id: str


class ModelList(Answer, fields="data object", views={"data": Model}):
    """The models that a provider offers, in the shape of OpenAI's list."""

    __slots__ = ()
    data: tuple[Model, ...]


Event: TypeAlias = Answer
"""What a Sender yields: a Chunk, which is a piece, or a whole answer at once."""

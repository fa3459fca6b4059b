"""From pieces to the whole, and back: every answer is a stream, a whole one its fold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scillm.answers import NOTES, Answer, Chunk, Event, Response, plain
from scillm.errors import InvalidResponse, PluginError

_FIRST_WINS = frozenset({"role", "id", "type", "object"})  # told once, at times repeated
_PER_CHUNK = frozenset({"choices", "object", "obfuscation"})  # say nothing about the whole


def fold(events: Iterable[Event]) -> Answer:
    """Assemble the whole answer from its events; pure.

    Args:
        events: What a Sender yielded, in order: chunks, or one whole answer.
    """
    folding = Fold()
    for event in events:
        folding.add(event)
    return folding.answer()


def no_event(event: object) -> PluginError:
    """Return the error for what a Sender yielded and should not have."""
    return PluginError(
        f"a Sender yielded {event!r:.80}, which is no event of a chat: yield a Chunk or a Response"
    )


class Fold:
    """An answer being assembled: ``add`` events in order, then ask for the ``answer``."""

    def __init__(self) -> None:
        self._whole: Answer | None = None
        self._top: dict[str, Any] = {}
        self._choices: dict[int, _Folding] = {}
        self._first: Chunk | None = None

    def add(self, event: Event) -> None:
        """Take the next event into account.

        Raises:
            InvalidResponse: Its parts are not of the types that OpenAI's shape has.
        """
        if not isinstance(event, Chunk):
            if not isinstance(event, Answer):
                raise no_event(event)
            self._whole = event
            return
        if self._first is None:
            self._first = event
        try:
            self._add(event._raw)
        except (TypeError, AttributeError, ValueError, RecursionError) as error:
            raise InvalidResponse(
                f"a piece of the answer cannot be put together: {error}"
            ) from error

    def _add(self, raw: Mapping[str, Any]) -> None:
        top = self._top
        for name, value in raw.items():
            if value is None:
                top.setdefault(name, None)
            elif name == NOTES:  # several plugins may note, each on the chunk that it can
                top[NOTES] = _noted(top.get(NOTES) or {}, value)
            else:
                top[name] = value
        for choice in raw.get("choices") or ():
            index = choice.get("index") or 0
            if (folding := self._choices.get(index)) is None:
                folding = self._choices[index] = _Folding(index)
            folding.add(choice)

    def answer(self) -> Answer:
        """Return what the events so far amount to."""
        if self._whole is not None:
            return self._whole
        choices = [self._choices[index].whole() for index in sorted(self._choices)]
        top = {name: value for name, value in self._top.items() if name not in _PER_CHUNK}
        raw = {**top, "object": "chat.completion", "choices": choices}
        return Response(raw, self._first.served_by if self._first else None)


def _noted(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {**old, **{plugin: {**old.get(plugin, {}), **notes} for plugin, notes in new.items()}}


class _Folding:
    """One choice being assembled. Texts are joined once, at the end: adding up is quadratic."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._texts: defaultdict[str, list[str]] = defaultdict(list)
        self._message: dict[str, Any] = {}
        self._rest: dict[str, Any] = {}

    def add(self, choice: Mapping[str, Any]) -> None:
        for name, value in choice.items():
            if name == "delta":
                self._add_delta(value or {})
            elif name == "index":
                continue
            elif value is None:
                self._rest.setdefault(name, None)
            elif name == "logprobs":
                _merge(self._rest, {name: value})
            else:
                self._rest[name] = plain(value)

    def _add_delta(self, delta: Mapping[str, Any]) -> None:
        for name, value in delta.items():
            if isinstance(value, str) and name not in _FIRST_WINS:
                self._texts[name].append(value)
            else:
                _merge(self._message, {name: value})

    def whole(self) -> dict[str, Any]:
        texts = {name: "".join(parts) for name, parts in self._texts.items()}
        message = {"role": "assistant", "content": None, **plain(self._message), **texts}
        for call in message.get("tool_calls") or ():
            call.pop("index", None)
        return {"index": self._index, "message": message, "finish_reason": None, **self._rest}


def _merge(into: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, new in delta.items():
        old = into.get(name)
        if new is None:
            into.setdefault(name, None)
        elif isinstance(new, list) and isinstance(old, (list, type(None))):
            into[name] = _extended(old or [], new)
        elif isinstance(old, dict) and isinstance(new, Mapping):
            _merge(old, new)
        elif isinstance(old, str) and isinstance(new, str):
            into[name] = _text(name, old, new)
        else:
            into[name] = plain(new)


def _text(name: str, old: str, new: str) -> str:
    if name in _FIRST_WINS:
        return old or new
    if name == "name" and new in ("", old):  # some providers repeat it in each fragment
        return old
    return old + new


def _extended(items: list[Any], new: list[Any]) -> list[Any]:
    """Merge *new* into *items*: by ``index`` where there is one, else one after another."""
    for item in new:
        target = _same(items, item) if isinstance(item, Mapping) else None
        if target is None:
            items.append(plain(item))
        else:
            _merge(target, {name: value for name, value in item.items() if name != "index"})
    return items


def _same(items: list[Any], item: Mapping[str, Any]) -> dict[str, Any] | None:
    """Find the entry that *item* continues; a tool call without index continues the last."""
    index = item.get("index")
    for old in reversed(items):
        if index is not None and old.get("index") == index:
            found: dict[str, Any] = old
            return found
    if index is None and "function" in item and not item.get("id") and items:
        last: dict[str, Any] = items[-1]
        return last
    return None


def unfold(response: Response) -> Iterator[Chunk]:
    """Cut a whole answer into chunks that fold to it: one per choice, then the ends."""
    top = {name: value for name, value in response._raw.items() if name not in _PER_CHUNK}
    usage = top.pop("usage", None)
    identity = {name: top[name] for name in top if name in ("id", "created", "model")}
    choices = response._raw.get("choices") or ()
    for choice in choices:
        yield _chunk(top, [_opening(choice)], response)
        top = identity  # the rest of the top level is told once
    ends = [
        {"index": choice.get("index", 0), "delta": {}, "finish_reason": choice.get("finish_reason")}
        for choice in choices
    ]
    yield _chunk(top, ends, response)
    if usage is not None:
        yield _chunk({**identity, "usage": usage}, [], response)


def _chunk(top: Mapping[str, Any], choices: list[Any], response: Response) -> Chunk:
    raw = {**top, "object": "chat.completion.chunk", "choices": choices}
    return Chunk(raw, response.served_by)


def _opening(choice: Mapping[str, Any]) -> dict[str, Any]:
    delta = dict(choice.get("message") or {})
    if delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": i, **c} for i, c in enumerate(delta["tool_calls"])]
    rest = {k: v for k, v in choice.items() if k not in ("message", "finish_reason")}
    return {**rest, "delta": delta, "finish_reason": None}

"""One question, one answer: asked, printed as it comes, checked, and told who gave it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from scillm_cli.schemas import NonconformingError, Schema
from scillm_cli.terminal import one_line, tell, visible, write

if TYPE_CHECKING:
    from scillm import Kernel, Response


@frozen(kw_only=True)
class Asking:
    """How to ask and what to show; the same for every turn of a conversation.

    Attributes:
        arguments: Arguments of ``completion()``, all but the messages.
        schema: What the answer must conform to, or None.
        is_streamed: Whether the text is printed as it comes.
        is_raw: Whether the whole answer is printed as JSON.
        has_usage: Whether a last line tells who answered, with how many tokens, how fast.
    """

    arguments: Mapping[str, Any] = field(factory=dict)
    schema: Schema | None = None
    is_streamed: bool = True
    is_raw: bool = False
    has_usage: bool = False

    def answer(self, kernel: Kernel, messages: Sequence[Mapping[str, Any]]) -> Response:
        """Ask, and print the answer on stdout; notes go to stderr.

        Raises:
            APIError: The call failed.
            NonconformingError: The answer is not what the schema asks for; it is then on stderr.
        """
        begun_s = time.monotonic()
        can_show_pieces = self.is_streamed and self.schema is None and not self.is_raw
        response = (_streamed if can_show_pieces else _whole)(kernel, messages, self.arguments)
        if not can_show_pieces:
            self._print(response)
        _remark(response)
        if self.has_usage:
            tell(usage(response, time.monotonic() - begun_s))
        return response

    def _print(self, response: Response) -> None:
        text = response.to_json() if self.is_raw else response.text
        if self.schema is not None:
            try:
                self.schema.check(response.text)
            except NonconformingError:
                tell(f"answer: {response.text}")  # a pipe gets what conforms, or nothing
                _remark(response)
                raise
        _line(text)
        if not self.is_raw:
            _print_calls(response)


def _streamed(
    kernel: Kernel, messages: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any]
) -> Response:
    last = ""
    try:
        with kernel.completion(messages=messages, stream=True, **arguments) as stream:
            for chunk in stream:
                if text := chunk.text:
                    last = text
                    write(text)
    finally:
        if last and not last.endswith("\n"):
            write("\n")
    response: Response = stream.response
    _print_calls(response)
    return response


def _whole(
    kernel: Kernel, messages: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any]
) -> Response:
    response: Response = kernel.completion(messages=messages, **arguments)
    return response


def _line(text: str) -> None:
    if text:
        write(text if text.endswith("\n") else f"{text}\n")


def _print_calls(response: Response) -> None:
    """Print what an answer holds besides text: tool calls as JSON lines, or a refusal."""
    for choice in response.choices[:1]:
        for call in choice.message.tool_calls or ():
            _line(json.dumps(call.to_dict()))
        _line(choice.message.refusal or "")


def _remark(response: Response) -> None:
    """Say what the text alone does not: that it is cut, or one of several."""
    if len(response.choices) > 1:
        tell(f"note: the first of {len(response.choices)} answers; --raw prints all")
    for choice in response.choices[:1]:
        if choice.finish_reason == "length":
            tell("note: the answer is cut, since it reached the limit of tokens")
        elif choice.finish_reason == "content_filter":
            tell("note: the provider withheld the answer, or a part of it")


def usage(response: Response, taken_s: float) -> str:
    """Return who answered, with how many tokens, in how many seconds, as one line."""
    served, used = response.served_by, response.usage
    who = f"{served.provider}/{served.model}" if served else "unknown"
    if response.model and served and response.model != served.model:
        who += f" (says it is {response.model})"
    tokens = "tokens not told"
    if used is not None:
        tokens = f"{used.prompt_tokens} + {used.completion_tokens} tokens"
    return visible(one_line(f"{who}: {tokens}, {taken_s:.2f} s"))

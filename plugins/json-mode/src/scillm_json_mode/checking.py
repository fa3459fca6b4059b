"""What a call wants its answer to be, and whether it is that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from scillm import InvalidResponse, Response
from scillm_json_mode.reading import CLEAN, REPAIRED, NotJSON, Reading, read
from scillm_json_mode.schemas import complaint, instance

if TYPE_CHECKING:
    from scillm.answers import Choice


class InvalidJSON(InvalidResponse):
    """An answer that was to be JSON and is not, or does not fit its schema.

    ``partial`` is the answer as it came, ``raw`` its text.
    """

    raw: str = ""


@frozen
class Wish:
    """What a call wants its answer to be.

    Attributes:
        schema: The JSON Schema that it must fit, or None.
        kind: The attrs class that an instance is wanted of, or None.
    """

    schema: Mapping[str, Any] | None = None
    kind: type[Any] | None = None


class Parsed(Response):
    """An answer with ``parsed``: the instance of the class, or what fits the schema."""

    __slots__ = ("parsed",)
    parsed: Any

    def __init__(self, raw: Mapping[str, Any], served_by: Any = None, parsed: Any = None) -> None:
        super().__init__(raw, served_by)
        object.__setattr__(self, "parsed", parsed)

    def evolve(self, **changes: Any) -> Parsed:
        """Return a copy with these fields replaced; the instance stays."""
        return Parsed(super().evolve(**changes).to_dict(), self.served_by, self.parsed)

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.to_dict(), self.served_by, self.parsed))


def checked(answer: Response, wish: Wish, *, repairs_cut: bool) -> Response:
    """Return the answer, cleaned where it was not JSON alone.

    Raises:
        InvalidJSON: It is not what the call wants it to be.
    """
    readings = [
        _read(answer, choice, wish, repairs_cut=repairs_cut) for choice in answer.choices or ()
    ]
    found = [reading for reading in readings if reading is not None]
    if any(reading.how != CLEAN for reading in found):
        answer = _cleaned(answer, readings)
    first = next(iter(readings), None)
    if first is None or (wish.kind is None and wish.schema is None):
        return answer if wish.kind is None else Parsed(answer.to_dict(), answer.served_by)
    parsed = first.value if wish.kind is None else _instance(answer, first, wish.kind)
    return Parsed(answer.to_dict(), answer.served_by, parsed)


def _read(answer: Response, choice: Choice, wish: Wish, *, repairs_cut: bool) -> Reading | None:
    """Return the reading of a choice; None for one that has no text, such as a tool call."""
    content = choice.message.content
    if content is None and (choice.tool_calls or choice.message.refusal):
        return None
    try:
        reading = read(content or "")
    except NotJSON as error:
        raise _invalid(answer, content, str(error)) from None
    is_cut = reading.is_cut or choice.finish_reason == "length"
    if reading.how == REPAIRED and is_cut and not repairs_cut:
        raise _invalid(
            answer,
            content,
            "the JSON is cut short, and closing it would make up data: give more max_tokens, or "
            "json_repair_truncated=True",
        )
    if wish.schema is not None and (wrong := complaint(reading.value, wish.schema)):
        raise _invalid(answer, content, f"the JSON does not fit its schema {wrong}")
    return reading


def _instance(answer: Response, reading: Reading, kind: type[Any]) -> Any:
    try:
        return instance(reading.value, kind)
    except ValueError as error:
        raise _invalid(answer, reading.text, f"it makes no {kind.__name__}: {error}") from None


def _cleaned(answer: Response, readings: list[Reading | None]) -> Response:
    choices = []
    for choice, reading in zip(answer.choices, readings, strict=True):
        if reading is not None and reading.how != CLEAN:
            message = choice.message.evolve(content=reading.text)
            choices.append(choice.evolve(message=message))
        else:
            choices.append(choice)
    notes = {
        "json_sanitized": True,
        "json_sanitizer": "clean_json_string",
        "json_repaired": any(r is not None and r.how == REPAIRED for r in readings),
        "json_raw": [choice.message.content for choice in answer.choices],
    }
    return answer.evolve(choices=choices).with_notes("json", notes)


def _invalid(answer: Response, content: str | None, why: str) -> InvalidJSON:
    served = answer.served_by
    error = InvalidJSON(
        f"{served.provider}/{served.model}: {why}" if served else why,
        llm_provider=served.provider if served else "",
        model=served.model if served else "",
        partial=answer,
    )
    error.raw = content or ""
    return error

"""A prompt out of the columns of a table."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from scillm_batch.items import BatchError

_HOW = "write {column} for a column, and {{ or }} for a brace"


@frozen
class Template:
    """A text with ``{column}`` in it, which each row fills.

    Only names of columns can stand in braces: no attribute, index, conversion or format, since
    the rows are other people's data. Two braces are one.

    Attributes:
        text: The template.
        columns: The names in it.
    """

    text: str
    columns: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Template:
        """Read a template.

        Raises:
            BatchError: Something else than a name stands in braces.
        """
        names = []
        try:
            for _, name, form, conversion in string.Formatter().parse(text):
                if name is not None:
                    how = (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
                    names.append(name + how)
        except ValueError as error:
            raise BatchError(f"the prompt template is not valid: {error}; {_HOW}") from None
        for name in names:
            if not name.replace("_", "").isalnum():
                raise BatchError(f"the prompt template has {{{name}}}, no column's name; {_HOW}")
        return cls(text, tuple(dict.fromkeys(names)))

    def fill(self, row: Mapping[str, Any]) -> str:
        """Return the text with the values of *row* in it.

        Raises:
            KeyError: A column that the row does not have.
        """
        return self.text.format_map(_Texts(row))


class _Texts(dict[str, str]):
    """The values as texts; a missing one is an empty text if the row has its column."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        super().__init__({name: "" if v is None else str(v) for name, v in row.items()})

"""JSON Schemas of answers: read from a file, sent along, and checked when the answer is there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn

from attrs import field, frozen

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME = 64


class NonconformingError(ValueError):
    """An answer that is not JSON, or not what its schema asks for."""


@frozen
class Schema:
    """A JSON Schema that an answer must conform to.

    Args:
        name: What the provider is told; at most 64 letters, digits, ``_`` and ``-``.
        schema: The schema itself.

    Raises:
        ValueError: It is no JSON Schema, or refers to one elsewhere.
    """

    name: str
    schema: Any
    _validator: Any = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        import jsonschema_rs  # as slow to import as all the rest, and seldom needed

        try:
            made = jsonschema_rs.validator_for(self.schema, retriever=_refuse)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            first = str(error).partition("\n")[0]
            raise ValueError(f"{self.name!r} is not a usable JSON Schema: {first}") from None
        object.__setattr__(self, "_validator", made)

    @classmethod
    def read(cls, path: Path) -> Schema:
        """Read a schema from a file; its name is the file's.

        Raises:
            ValueError: The file holds no JSON, or no schema.
            OSError: It cannot be read.
        """
        name = _NOT_IN_NAMES.sub("_", path.stem)[:_LONGEST_NAME] or "answer"
        try:
            schema = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{str(path)!r} is not JSON: {error}") from None
        return cls(name, schema)

    @property
    def response_format(self) -> dict[str, Any]:
        """What tells a provider to answer in this schema."""
        return {"type": "json_schema", "json_schema": {"name": self.name, "schema": self.schema}}

    def check(self, text: str) -> Any:
        """Return the value that *text* holds.

        Raises:
            NonconformingError: It is not JSON, or does not conform; says where and why.
        """
        try:
            value = json.loads(text, parse_constant=_no_json)
        except (ValueError, RecursionError) as error:
            raise NonconformingError(f"the answer is not JSON: {error}") from None
        for found in self._validator.iter_errors(value):
            place = "".join(f"[{step!r}]" for step in found.instance_path)
            where = f"at {place} " if place else ""
            raise NonconformingError(
                f"the answer does not conform to the schema {self.name!r}: {where}{found.message}"
            )
        return value


def _refuse(uri: str) -> NoReturn:
    """Fetch nothing: a schema must not make this machine open files or addresses."""
    raise ValueError(f"it refers to {uri!r}, and nothing is fetched: put that part into $defs")


def _no_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON value")

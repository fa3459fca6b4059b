"""A list of finished records in a file, for loops that are not a batch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from scillm_batch.items import BatchError
from scillm_batch.output import Output


class JsonlCheckpoint:
    """Records that are finished, one a line; each is on the disk before ``append`` returns.

    Half a line that a crash left is cut off when it is opened::

        with JsonlCheckpoint("done.jsonl", "item_id") as done:
            for item in items:
                if item["item_id"] not in done:
                    done.append({**item, "answer": work(item)})

    Args:
        path: The file; made if it is not there.
        id_key: The field that names a record.

    Raises:
        BatchError: The file has a line that is no record with that field.
    """

    def __init__(self, path: str | PathLike[str], id_key: str = "item_id") -> None:
        self.path, self.id_key = Path(path), id_key
        self._output = Output(self.path)
        self._ids = {self._id(record) for record in self}

    def __contains__(self, id: object) -> bool:  # noqa: A002  # what it is
        return id in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the records, read from the file."""
        for start, line in self._output.lines():
            try:
                record = json.loads(line)
            except ValueError:
                raise BatchError(f"{self.path} has no JSON at byte {start}") from None
            yield record

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record.

        Raises:
            BatchError: It has no name, or could not be written.
        """
        name = self._id(record)
        self._output.append(json.dumps(record).encode() + b"\n")
        self._ids.add(name)

    def close(self) -> None:
        """Close the file."""
        self._output.close()

    def __enter__(self) -> JsonlCheckpoint:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _id(self, record: Mapping[str, Any]) -> Any:
        try:
            return record[self.id_key]
        except (KeyError, TypeError):
            raise BatchError(f"a record of {self.path} has no {self.id_key!r}") from None

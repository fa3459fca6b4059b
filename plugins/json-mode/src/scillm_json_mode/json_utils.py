"""Small functions around JSON, by the names that users know."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

from scillm_json_mode.reading import NotJSON, read, strictly

LOG = logging.getLogger("scillm.json")


def clean_json_string(
    x: str | dict[str, Any] | list[Any],
    return_dict: bool = False,  # noqa: FBT001, FBT002  # the signature that users know
) -> Any:
    """Return the JSON that a text holds: out of fences, prose, reasoning; repaired at the worst.

    Args:
        x: A text; a dict or list is taken for what was read.
        return_dict: Whether to return the object or array instead of its text.

    Returns:
        JSON text, unchanged if it is JSON already. With *return_dict* the object or array,
        ``{}`` and a logged warning if there is none.

    Raises:
        NotJSON: There is no JSON in it; a ValueError.
        TypeError: *x* is neither text nor a dict or list.
    """
    if isinstance(x, (dict, list)):
        return x if return_dict else json.dumps(x, ensure_ascii=False, allow_nan=False)
    if not isinstance(x, str):
        raise TypeError(f"clean_json_string takes text, a dict or a list, not {type(x).__name__}")
    try:
        reading = read(x)
    except NotJSON as error:
        if not return_dict:
            raise
        LOG.warning("clean_json_string returns {}: %s", error)
        return {}
    return reading.value if return_dict else reading.text


def parse_json(text: str) -> Any:
    """Parse JSON, and nothing but JSON.

    Raises:
        ValueError: It is not JSON; NaN and infinities are not.
    """
    return strictly(text)


class PathEncoder(json.JSONEncoder):
    """An encoder that writes paths as text."""

    def default(self, o: Any) -> Any:
        """Return what to write for an object that JSON does not know."""
        return str(o) if isinstance(o, os.PathLike) else super().default(o)


def json_serialize(
    data: Any,
    handle_paths: bool = False,  # noqa: FBT001, FBT002  # the signature that users know
    **options: Any,
) -> str:
    """Return *data* as JSON text; with *handle_paths* paths in it become text."""
    encoder = PathEncoder if handle_paths else None
    return json.dumps(
        data, **{"cls": encoder, "ensure_ascii": False, "allow_nan": False, **options}
    )


def load_json_file(path: str | os.PathLike[str]) -> Any:
    """Return what a JSON file holds; None and a logged warning if there is no such file.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return strictly(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        LOG.warning("there is no file %s", path)
        return None


def save_json_to_file(data: Any, path: str | os.PathLike[str]) -> None:
    """Write *data* as JSON, whole or not at all; folders are made, paths in it become text."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = json_serialize(data, handle_paths=True, indent=2)
    # Not by `tempfile`, whose files nobody else may read.
    part = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def load_jsonl(path: str | os.PathLike[str]) -> list[Any]:
    """Return the values of a file with one JSON text per line; empty lines are passed over.

    Raises:
        ValueError: A line is not JSON; says which.
    """
    # Not by `splitlines`, which also cuts at the line separators that a JSON text may hold.
    lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    return [_line(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _line(path: str | os.PathLike[str], number: int, line: str) -> Any:
    try:
        return strictly(line)
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: {error}") from None

"""Whether the arguments of a tool call fit the tool's JSON Schema."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

_LONGEST_COMPLAINT = 500


def complaint(arguments: Any, schema: Mapping[str, Any]) -> str | None:
    """Return what is wrong with *arguments*, None if nothing is.

    Nothing is fetched: a schema that refers to an address cannot be used, and says so.
    """
    try:
        validator = _validator(json.dumps(schema, sort_keys=True))
        error = next(iter(validator.iter_errors(arguments)), None)
    except (ValueError, TypeError, RecursionError) as wrong:
        return f"the tool's own schema cannot be used: {wrong}"[:_LONGEST_COMPLAINT]
    if error is None:
        return None
    path = "".join(f"[{step!r}]" for step in error.instance_path)
    where = f"at {path}: " if path else ""
    return f"{where}{error.message}"[:_LONGEST_COMPLAINT]


@functools.lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    import jsonschema_rs  # compiled, and only a run with tools needs it

    return jsonschema_rs.validator_for(json.loads(schema), retriever=_refused)


def _refused(uri: str) -> Any:
    raise ValueError(f"it refers to {uri}, which is not fetched")

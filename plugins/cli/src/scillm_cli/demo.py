"""The first minute with scillm, without a key and without an account.

``python -m scillm_cli.demo`` shows each line of Python before it runs it, and what it gives.
Exits with 1 if a call fails or if the JSON is not what was asked for.
"""
# ruff: noqa: T201  # it talks by printing, and shows its own lines as they stand here

from __future__ import annotations

import inspect
import sys
import textwrap
import time
from collections.abc import Callable
from pprint import pformat
from typing import Any

from scillm import Response, ScillmError, close, completion
from scillm_cli.group import INTERRUPTED
from scillm_cli.schemas import Schema
from scillm_cli.terminal import one_line, tell, visible

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 40},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
NEXT = """\
What to type next (in a checkout, scillm is .venv/bin/scillm)

    scillm chat "Write a line about the sea."     ask from a shell
    scillm chat                                   converse; /quit leaves
    scillm plugins                                what is installed
    scillm env                                    every setting, and where its value comes from

With a key of your own, any provider:

    export OPENAI_API_KEY=...
    scillm chat -m openai/gpt-4o-mini "Write a line about the sea."

The documentation begins in docs/index.md.
"""


def whole() -> Response:
    """A whole answer."""
    return completion(
        messages=[{"role": "user", "content": "Say hello to a new programmer."}],
        max_tokens=40,
        temperature=0,
    )


def streamed() -> Response:
    """A stream, printed as it comes."""
    stream = completion(
        messages=[{"role": "user", "content": "List three fruits."}],
        max_tokens=40,
        temperature=0,
        stream=True,
    )
    for chunk in stream:
        print(visible(chunk.text), end="", flush=True)
    return stream.response


def structured() -> Response:
    """JSON in a schema, checked."""
    return completion(
        messages=[{"role": "user", "content": "Ada is 36 years old. Give name and age as JSON."}],
        max_tokens=80,
        temperature=0,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "person", "schema": PERSON},
        },
    )


def main() -> int:
    """Run the demonstration; return the exit code."""
    try:
        _show()
    except (ScillmError, ValueError) as error:  # an answer that does not conform is a ValueError
        print(flush=True)
        tell(f"Error: the demo stopped: {error}")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        close()
    print(NEXT, end="")
    return 0


def _show() -> None:
    print(f"1. {_head(whole)}print(response.text)")
    print(f"\n{visible(whole().text)}\n")
    print(f"2. {_head(streamed).rstrip()}\n", flush=True)
    streamed()
    print(f"\n\n3. {_head(structured)}json.loads(response.text)")
    print(textwrap.indent(f"PERSON = {pformat(PERSON, width=90, sort_dicts=False)}", "    # "))
    begun_s = time.monotonic()
    response = structured()
    taken_s = time.monotonic() - begun_s
    print(f"\n{one_line(Schema('person', PERSON).check(response.text))}  (checked: it conforms)\n")
    print("4. Who answered, with how many tokens, in how many seconds\n")
    print(f"    response.served_by  {response.served_by}")
    print(f"    response.model      {response.model!r}")
    print(f"    response.usage      {response.usage.to_dict() if response.usage else None}")
    print(f"    seconds             {taken_s:.1f}\n")


def _head(step: Callable[[], Response]) -> str:
    """Return a step's title and its lines as a user would write them, ready for one line more."""
    lines = textwrap.dedent(inspect.getsource(step).partition('"""\n')[2])
    lines = lines.replace("return ", "response = ").replace("visible(chunk.text)", "chunk.text")
    title = (step.__doc__ or "").rstrip(".")
    return f"{title}\n\n{textwrap.indent(lines, '    ')}    "


if __name__ == "__main__":
    sys.exit(main())

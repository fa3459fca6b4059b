"""A batch in a minute, without a key: begun, interrupted, resumed, and shown.

``python -m scillm_batch.demo`` asks the model of this machine for JSON in a schema, 24 times.
Exits with 1 if an item is not answered.
"""
# ruff: noqa: T201  # it talks by printing

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from scillm import close
from scillm_batch.api import run_batch
from scillm_batch.progress import line
from scillm_batch.report import write
from scillm_batch.run import BatchRun, Summary
from scillm_batch.status import status, told

FOLDER = Path("scillm-demo")
PLANETS = ("Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune")
QUESTIONS = ("how hot it is", "how big it is", "how far away it is")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "planet": {"enum": list(PLANETS)},
        "answer": {"type": "string", "minLength": 1, "maxLength": 60},
    },
    "required": ["planet", "answer"],
    "additionalProperties": False,
}
INTERRUPTED_AT = 8
MODEL = "local/smollm2-135m"


def items() -> list[dict[str, Any]]:
    """Return the input: two dozen questions."""
    return [
        {
            "item_id": f"{planet.lower()}-{number}",
            "messages": [{"role": "user", "content": f"Say of the planet {planet} {question}."}],
        }
        for planet in PLANETS
        for number, question in enumerate(QUESTIONS, 1)
    ]


def main() -> int:
    """Run the demonstration; return the exit code."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    source, schema, out = (FOLDER / name for name in ("in.jsonl", "schema.json", "out.jsonl"))
    source.write_text("".join(json.dumps(item) + "\n" for item in items()), encoding="utf-8")
    schema.write_text(json.dumps(SCHEMA, indent=2), encoding="utf-8")
    command = f"scillm batch run {source} --out {out} -m {MODEL} --schema {schema} --concurrency 2"
    try:
        print(f"5. A batch of {len(items())} items, interrupted after {INTERRUPTED_AT}\n")
        print(f"    {command}\n", flush=True)
        asyncio.run(_shown(_run(source, out, schema), INTERRUPTED_AT))
        print(f"\n6. Resumed: nothing is asked twice\n\n    {command} --resume\n", flush=True)
        summary = asyncio.run(_shown(_run(source, out, schema, resume=True), None))
    finally:
        close()
    print(f"\n    scillm batch status {out}\n\n{_indented(told(status(out)))}\n")
    write(out, out.with_suffix(".html"))
    print(f"    scillm batch report {out}\n\n    {out.with_suffix('.html').resolve()}\n")
    return 0 if summary.ok == len(items()) else 1


def _run(source: Path, out: Path, schema: Path, *, resume: bool = False) -> BatchRun:
    return run_batch(
        source,
        out,
        model=MODEL,
        schema=schema,
        concurrency=2,
        resume=resume,
        max_tokens=80,
        temperature=0,
    )


async def _shown(run: BatchRun, stop_at: int | None) -> Summary:
    """Run, with a line a second, and stop after so many rows."""
    last_s, rows = 0.0, 0
    async for _ in run:
        rows += 1
        if rows == stop_at:
            run.stop("the demo interrupts it")
        if time.monotonic() - last_s > 1:
            last_s = time.monotonic()
            print(f"    {line(run.progress())}", flush=True)
    print(f"    {line(run.progress())}")
    assert run.summary is not None
    return run.summary


def _indented(text: str) -> str:
    return "\n".join(f"    {each}" for each in text.splitlines())


if __name__ == "__main__":
    sys.exit(main())

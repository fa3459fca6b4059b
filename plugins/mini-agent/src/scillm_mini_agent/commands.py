"""``scillm mini-agent``: look at a trace."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

_SHOWN_CHARS = 200


@click.group()
def mini_agent() -> None:
    """Look at what the agent did."""


@mini_agent.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--run", "number", type=int, default=-1, help="Which one, 1 the first; else the last."
)
@click.option("--list", "is_list", is_flag=True, help="One line for each run instead.")
def trace(file: Path, number: int, is_list: bool) -> None:  # noqa: FBT001  # click passes options by name
    """Show a run out of a file of traces (MINI_AGENT_STORE_PATH)."""
    with file.open(encoding="utf-8") as lines:
        runs = [_read(line, place) for place, line in enumerate(lines, 1)]
    if is_list:
        for place, run in enumerate(runs, 1):
            click.echo(f"{place} {_headline(run)}")
        return
    place = number - 1 if number > 0 else number
    if not runs or number == 0 or not -len(runs) <= place < len(runs):
        raise click.ClickException(f"{file} holds {len(runs)} runs, and no run {number}")
    for line in _told(runs[place]):
        click.echo(line)


@mini_agent.command()
@click.option("--base", metavar="URL", default="http://127.0.0.1:8788", show_default=True)
@click.option("--local", "is_local", is_flag=True, help="Start one, in echo mode, and ask that.")
@click.option("--port", type=int, default=8789, show_default=True, help="Where that one listens.")
@click.pass_context
def verify(ctx: click.Context, base: str, is_local: bool, port: int) -> None:  # noqa: FBT001  # as above
    """Ask a mini-agent for /ready and for a run.

    Prints [ok] or [fail] for each. Exits with 2 if one fails.
    """
    from scillm_mini_agent.verifying import findings, local

    with local(port) if is_local else nullcontext(base.rstrip("/").removesuffix("/v1")) as address:
        for is_ok, said in findings(address):
            click.echo(f"[{'ok' if is_ok else 'fail'}] {said}")
            if not is_ok:
                ctx.exit(2)


@mini_agent.command()
@click.option("--model", metavar="MODEL", help="Who is asked; else SCILLM_MODEL, or the default.")
@click.option("--port", type=int, help="Serve over HTTP there, on loopback; else over stdio.")
def mcp(model: str | None, port: int | None) -> None:
    """Offer the agent to other programs as an MCP server, with one tool: run_agent."""
    from scillm_mini_agent.mcp_server import serve

    serve(model, port)


def _read(line: str, place: int) -> Mapping[str, Any]:
    try:
        run = json.loads(line)
    except ValueError as error:
        raise click.ClickException(f"line {place} is not JSON: {error}") from None
    if not isinstance(run, dict):
        raise click.ClickException(f"line {place} is no trace of a run")
    return run


def _headline(run: Mapping[str, Any]) -> str:
    metrics = run.get("metrics") or {}
    took = f"{metrics.get('iterations', 0)} turns, {metrics.get('ttotal_ms', 0) / 1000:.2f} s"
    said = _short(run.get("final_answer_preview") or run.get("stopped_detail") or "")
    return f"{run.get('at', '')} {run.get('stopped_reason', '')} ({took}): {said}"


def _told(run: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that tell of a run: what was asked, each turn, the end."""
    yield _headline(run)
    asked = [m for m in run.get("messages") or () if m.get("role") == "user"]
    if asked:
        yield f"asked: {_short(asked[0].get('content'))}"
    for place, turn in enumerate((run.get("trace") or {}).get("iterations") or (), 1):
        took = f"{turn.get('router_call_ms', 0):.0f} ms"
        yield f"turn {place}: {turn.get('model')} ({took}, {turn.get('finish_reason')})"
        if turn.get("content"):
            yield f"  said: {_short(turn['content'])}"
        if turn.get("error"):
            yield f"  failed: {_short(turn['error'])}"
        for call in turn.get("tool_invocations") or ():
            state = "ok" if call.get("ok") else "failed"
            yield f"  {call.get('name')}({_short(call.get('arguments_raw'))})"
            yield f"    {state}, {call.get('t_ms', 0):.0f} ms: {_short(call.get('result'))}"
    if run.get("final_answer") is not None:
        yield f"answer: {run['final_answer']}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(text.split())
    printable = "".join(char if char.isprintable() else "?" for char in line)
    return printable if len(printable) <= _SHOWN_CHARS else printable[:_SHOWN_CHARS] + "..."

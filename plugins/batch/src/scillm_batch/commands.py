"""``scillm batch``: long runs from the command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from scillm import ScillmError

F = TypeVar("F", bound=Callable[..., Any])
STOPPED, FAILED = 3, 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SIGNALLED = {"you interrupted it": 130, "it was terminated": 143}
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def batch() -> None:
    """Make many calls from a file, so that every item comes back."""


def _options(command: F) -> F:
    """Options that a run is described by; ``retry`` takes them from the journal."""
    option = click.option
    for add in reversed(
        (
            option("-m", "--model", help="Whom every item asks; else each item names its own."),
            option("--schema", type=_FILE, help="JSON Schema that each answer must fit."),
            option(
                "--max-repairs",
                type=int,
                default=1,
                show_default=True,
                metavar="N",
                help="How often an answer that does not fit is asked for again.",
            ),
            option(
                "--exact-model",
                is_flag=False,
                flag_value="",
                metavar="[NAME]",
                help="Nobody but the model may answer, however long it takes; NAME is what "
                "its provider calls it, if that is another name.",
            ),
            option(
                "--router",
                type=_FILE,
                metavar="FILE",
                help="JSON of a Router's arguments, such as model_list.",
            ),
            option("--prompt", help="Template of the user's message: {column}."),
            option("--system", help="Template of a message before it."),
            option("--id-column", metavar="NAME", help="Column that names an item."),
            option(
                "--format",
                "output_format",
                type=click.Choice(["scillm", "openai"]),
                default="scillm",
                show_default=True,
                help="Shape of the output's lines.",
            ),
            option(
                "--changed",
                "on_changed",
                type=click.Choice(["error", "rerun", "keep"]),
                default="error",
                show_default=True,
                help="What becomes of a finished item that asks something else now.",
            ),
            option("--api-base", help="Address of the provider."),
        )
    ):
        command = add(command)
    return command


def _limits(command: F) -> F:
    """Options that may differ from one run on an output to the next."""
    option = click.option
    for add in reversed(
        (
            option(
                "--concurrency",
                type=click.IntRange(1),
                default=8,
                show_default=True,
                metavar="N",
                help="The most calls under way.",
            ),
            option(
                "--fixed-concurrency",
                is_flag=True,
                help="Keep as many under way also while the gateway refuses some.",
            ),
            option("--max-requests", type=int, metavar="N", help="Stop after so many requests."),
            option("--max-tokens", type=int, metavar="N", help="Stop after so many tokens."),
            option("--max-cost", type=float, metavar="USD", help="Stop at such a cost."),
            option(
                "--max-wall-time",
                "max_wall_time_s",
                type=float,
                metavar="S",
                help="Stop after so many seconds.",
            ),
            option(
                "--option",
                "pairs",
                multiple=True,
                metavar="NAME=VALUE",
                help="Argument of every call, as JSON or text; such as temperature=0.",
            ),
            option("--engine", default="local", show_default=True, help="Who makes the calls."),
            option(
                "--engine-option",
                "engine_pairs",
                multiple=True,
                metavar="NAME=VALUE",
                help="What the engine is told.",
            ),
            option(
                "--json",
                "is_json",
                is_flag=True,
                help="Progress as lines of JSON on standard error, the summary on standard output.",
            ),
        )
    ):
        command = add(command)
    return command


@batch.command()
@click.argument("source", metavar="INPUT")
@click.option("--out", required=True, type=_FILE, help="The output, JSONL.")
@click.option("--resume", is_flag=True, help="Go on with an output that has lines.")
@click.option("--overwrite", is_flag=True, help="Begin such an output anew.")
@click.option(
    "--retry",
    type=click.Choice(["failed", "retryable"]),
    help="Go on, and ask items again that failed.",
)
@_options
@_limits
def run(source: str, out: Path, **given: Any) -> None:
    """Ask every item of INPUT (JSONL, CSV, Parquet, or - for standard input).

    Ctrl-C once finishes what is under way and stops, twice stops now; run again with
    --resume to go on. Exits with 0 if every item has an answer, 1 if some failed, 3 if a limit
    stopped it. A signal to terminate (SIGTERM) is as Ctrl-C.
    """
    with _errors():
        settings = _settings(given)
        how = {name: given[name] for name in ("resume", "overwrite", "retry")}
        _go({"source": source, **settings}, out, given, **how)


@batch.command()
@click.argument("out", metavar="OUTPUT", type=_FILE)
@click.option(
    "--only",
    type=click.Choice(["failed", "retryable"]),
    default="failed",
    show_default=True,
    help="Which items are asked again.",
)
@_limits
def retry(out: Path, only: str, **given: Any) -> None:
    """Ask the items of OUTPUT again that failed, as the run that wrote it asked them.

    Their old lines go to OUTPUT.superseded.
    """
    from scillm_batch.items import BatchError
    from scillm_batch.status import SETTINGS_NOTE, note

    with _errors():
        settings = json.loads(note(out, SETTINGS_NOTE) or "null")
        if settings is None:
            raise BatchError(
                f"the journal of {out} is gone, so what the run asked is not known: use "
                "`scillm batch run INPUT --out ... --resume` with --retry"
            )
        _go(settings, out, given, retry=only)


@batch.command()
@click.argument("out", metavar="OUTPUT", type=_FILE)
@click.option("--json", "is_json", is_flag=True, help="As JSON.")
def status(out: Path, **given: bool) -> None:
    """Show what is done of OUTPUT: failures by reason, rate, cost, who served."""
    from scillm_batch.status import status as status_of
    from scillm_batch.status import told

    with _errors():
        found = status_of(out)
        click.echo(json.dumps(found) if given["is_json"] else told(found))


@batch.command()
@click.argument("out", metavar="OUTPUT", type=_FILE)
@click.option("--html", "page", type=_FILE, help="Where to; else OUTPUT with .html at its end.")
def report(out: Path, page: Path | None) -> None:
    """Write a page about OUTPUT: latency, throughput, failures, routes, tokens and cost."""
    from scillm_batch.report import write

    with _errors():
        where = page or out.with_suffix(".html")
        write(out, where)
        click.echo(str(where))


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what describes a run, as it is kept in the journal: no key is among it."""
    names = ("model", "max_repairs", "prompt", "system", "id_column", "output_format", "on_changed")
    settings = {name: given[name] for name in names}
    exact = given["exact_model"]
    return {
        **settings,
        "exact_model": False if exact is None else exact or True,
        "schema": str(given["schema"].resolve()) if given["schema"] else None,
        "router": str(given["router"].resolve()) if given["router"] else None,
        "arguments": {"api_base": given["api_base"]} if given["api_base"] else {},
    }


def _go(settings: Mapping[str, Any], out: Path, given: Mapping[str, Any], **how: Any) -> None:
    """Run, show how far it has come, and leave with the code that tells how it ended."""
    from scillm_batch.api import run_batch
    from scillm_batch.progress import shown

    settings = dict(settings)
    source, router = settings.pop("source"), settings.pop("router")
    arguments = {**settings.pop("arguments"), **_arguments(given["pairs"])}
    kept = {name: value for name, value in arguments.items() if not _is_secret(name)}
    limits = ("max_requests", "max_tokens", "max_cost", "max_wall_time_s")
    work = run_batch(
        source,
        out,
        **settings,
        **arguments,
        **how,
        concurrency=given["concurrency"],
        engine=given["engine"],
        limits={name: given[name] for name in limits},
        router=None if router is None else _router(Path(router)),
        is_adaptive=not given["fixed_concurrency"],
        engine_options=_pairs(given["engine_pairs"]),
        notes={
            "settings": json.dumps(
                {"source": _absolute(source), "arguments": kept, "router": router, **settings}
            )
        },
    )
    summary = asyncio.run(_interruptible(work, shown(work, is_json=given["is_json"])))
    click.echo(_summed(summary, out, is_json=given["is_json"]))
    stopped = STOPPED if summary.stopped else FAILED if summary.failed else 0
    raise SystemExit(_SIGNALLED.get(summary.stopped, stopped))


async def _interruptible(run: Any, running: Any) -> Any:
    """Let Ctrl-C stop a run after what is under way, and a second one at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(running)

    def signalled(why: str) -> None:
        if run.stopped in _SIGNALLED:
            task.cancel()
            return
        run.stop(why)
        click.echo("finishing what is under way; Ctrl-C once more stops now", err=True)

    for number, why in zip(_SIGNALS, _SIGNALLED, strict=True):
        loop.add_signal_handler(number, signalled, why)
    try:
        return await task
    except asyncio.CancelledError:
        click.echo("stopped; what was answered is written, --resume goes on", err=True)
        raise SystemExit(_SIGNALLED[run.stopped]) from None
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _summed(summary: Any, out: Path, *, is_json: bool) -> str:
    import attrs

    from scillm_batch.progress import duration, reasons

    if is_json:
        return json.dumps({"event": "end", "out": str(out), **attrs.asdict(summary)})
    cost = "" if summary.cost is None else f", ${summary.cost:.4f}"
    lines = [
        f"{summary.done} items in {out}: {summary.ok} answered, {summary.failed} failed",
        (
            f"this run: {summary.asked} asked, {summary.skipped} were there, "
            f"{summary.requests} requests, {duration(summary.seconds)}; "
            f"{summary.tokens} tokens{cost}"
        ),
    ]
    if summary.errors:
        lines.append(f"failed: {reasons(summary.errors)} (scillm batch retry {out})")
    if summary.stopped:
        lines.append(f"stopped because {summary.stopped}; --resume goes on")
    return "\n".join(lines)


def _arguments(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Read arguments of every call.

    Raises:
        BatchError: One is of the run, for which there is another option.
    """
    import inspect

    from scillm_batch.api import run_batch
    from scillm_batch.items import BatchError

    found = _pairs(pairs)
    if taken := found.keys() & inspect.signature(run_batch).parameters.keys():
        raise BatchError(
            f"--option {min(taken)}=...: that is of the run, not of its calls; see "
            "`scillm batch run --help`"
        )
    return found


def _pairs(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Read ``name=value``; a value that is JSON is taken as that, else as text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{pair!r} is no NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _router(path: Path) -> dict[str, Any]:
    from scillm_batch.items import BatchError

    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BatchError(f"the Router's file {str(path)!r} cannot be read: {error}") from None
    if not isinstance(read, dict):
        raise BatchError(
            f"the Router's file {str(path)!r} is no JSON object: write {{'model_list'...}}"
        )
    return read


def _is_secret(name: str) -> bool:
    """Say what is not kept for `retry`: keys, and headers that may carry one."""
    return any(word in name for word in ("key", "headers", "token", "secret"))


def _absolute(source: str) -> str:
    return source if source == "-" else str(Path(source).resolve())


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except ScillmError as error:
        raise click.ClickException(str(error)) from None

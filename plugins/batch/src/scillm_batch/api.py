"""``run_batch``: the arguments of a user, made into a run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing, nullcontext
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from attrs import fields, frozen

from scillm_batch.budget import Limits
from scillm_batch.engines import Engine, engine_for
from scillm_batch.items import BatchError, Entry, Item
from scillm_batch.lines import Reading
from scillm_batch.rows import FORMATS, Format
from scillm_batch.run import BatchRun, Plan
from scillm_batch.sources import count, entries
from scillm_batch.store import FAILED, RETRYABLE, Changed, Store
from scillm_batch.templates import Template
from scillm_batch.work import Job

RETRIES = {"failed": FAILED, "retryable": RETRYABLE}


def run_batch(  # noqa: PLR0913  # the arguments of a user, by name
    requests: Any,
    out: str | PathLike[str] | None = None,
    *,
    model: str | None = None,
    concurrency: int = 8,
    is_adaptive: bool = True,
    schema: Any = None,
    max_repairs: int = 1,
    exact_model: bool | str = False,
    router: Any = None,
    prompt: str | None = None,
    system: str | None = None,
    id_column: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    retry: str | None = None,
    on_changed: Changed = "error",
    output_format: Format = "scillm",
    is_ordered: bool = True,
    limits: Limits | Mapping[str, Any] | None = None,
    engine: str | Engine = "local",
    engine_options: Mapping[str, Any] | None = None,
    notes: Mapping[str, str] | None = None,
    **arguments: Any,
) -> BatchRun:
    """Make a long run of calls, of which every item comes back, and which can be resumed.

    Nothing begins until it is awaited (for its ``Summary``) or iterated (for its rows, each
    once its line is on the disk)::

        summary = await run_batch("prompts.jsonl", "answers.jsonl", model="openai/gpt-4o-mini")

        async for row in run_batch(requests, "answers.jsonl", concurrency=32):
            print(row.item_id, row.content)

    Args:
        requests: A path of JSONL (``{"item_id", "messages", ...}``, or lines of OpenAI's Batch
            API), CSV, TSV or Parquet; ``"-"`` for standard input; or an iterable, sync or
            async, of mappings or ``Item`` values. Read as needed.
        out: The output, JSONL, a line for each item; None writes none.
        model: Whom every item asks; None leaves it to the items.
        concurrency: The most calls under way.
        is_adaptive: Whether fewer are under way while a gateway refuses some.
        schema: JSON Schema, a path of one, or an attrs class, that each answer must fit.
        max_repairs: How often an answer that does not fit is asked for again, with what was
            wrong.
        exact_model: Whether nobody but the named model may answer, however long it takes; a text
            is the provider's own name of it, where that is another.
        router: A ``Router``, or a mapping of its arguments.
        prompt: Template of the user's message, for records without messages: ``{column}``.
        system: Template of a message before it.
        id_column: The column that names an item; else ``item_id``, ``custom_id`` or ``id``, else
            its place.
        resume: Whether to go on with an output that has lines.
        overwrite: Whether to begin such an output anew.
        retry: ``"failed"`` or ``"retryable"``: lines of items that failed are taken out first.
        on_changed: What becomes of a finished item that asks something else now: ``"error"``,
            ``"rerun"`` or ``"keep"``.
        output_format: ``"scillm"``, or ``"openai"`` for lines of OpenAI's Batch API.
        is_ordered: Whether a complete output is put into the order of the input.
        limits: What may be spent: ``max_requests``, ``max_tokens``, ``max_cost`` in USD,
            ``max_wall_time_s``. A run that stopped at a limit can be resumed. With ``max_cost``
            every call is asked for its cost, and one of unknown cost stops the run.
        engine: Who makes the calls: ``"local"``, the name of a plugin's, or an engine.
        engine_options: What that is told.
        notes: Texts to keep in the journal, by name.
        **arguments: Arguments of ``completion`` for every item that does not say otherwise.

    Raises:
        BatchError: An argument that cannot be understood; when it runs, an output that is
            not empty, or is another run's.
    """
    reading = Reading(
        prompt=None if prompt is None else Template.of(prompt),
        system=None if system is None else Template.of(system),
        id_column=id_column,
    )
    permitted = _limits(limits)
    job = Job(
        model=model,
        defaults=arguments if permitted.max_cost is None else {**_costed(), **arguments},
        router=router,
        schema=_schema(schema),
        max_repairs=max_repairs,
        exact_model=exact_model,
        concurrency=_count("concurrency", concurrency),
        is_adaptive=is_adaptive,
    )
    if output_format not in FORMATS:
        raise BatchError(f"output_format={output_format!r}: there are {' and '.join(FORMATS)}")
    if retry is not None and retry not in RETRIES:
        raise BatchError(f"retry={retry!r}: there are {' and '.join(RETRIES)}")
    plan = Plan(
        read=partial(_entries, requests, reading),
        job=job,
        engine=engine_for(engine, engine_options or {}),
        open_store=_Opening(
            path=None if out is None else Path(out),
            form=output_format,
            on_changed=on_changed,
            is_resumed=resume or retry is not None,
            is_anew=overwrite,
            condition=RETRIES[retry] if retry else None,
            notes=notes or {},
        ),
        form=output_format,
        limits=permitted,
        is_ordered=is_ordered,
        total=partial(count, requests),
    )
    return BatchRun(plan)


def _entries(requests: Any, reading: Reading) -> Any:
    if isinstance(requests, AsyncIterable):
        return _of_async(requests, reading)
    return entries(requests, reading)


async def _of_async(requests: AsyncIterable[Any], reading: Reading) -> AsyncIterator[Entry]:
    index = 0
    async with aclosing(requests) if isinstance(requests, AsyncGenerator) else nullcontext():
        async for request in requests:
            if isinstance(request, Item):
                yield request
            else:
                yield reading.given(request, index=index)
            index += 1


@frozen(kw_only=True)
class _Opening:
    """How the output of a run is opened; called in the thread that will use it."""

    path: Path | None
    form: Format
    on_changed: Changed
    is_resumed: bool
    is_anew: bool
    condition: str | None
    notes: Mapping[str, str]

    def __call__(self) -> Store:
        store = Store(self.path, self.form, self.on_changed)
        try:
            self._prepare(store)
        except BaseException:
            store.close()
            raise
        return store

    def _prepare(self, store: Store) -> None:
        if not store.is_empty and self.is_anew:
            store.take_out("1")
        elif not store.is_empty and not self.is_resumed:
            raise BatchError(
                f"the output {self.path} has lines of an earlier run: say --resume (resume=True) "
                "to go on with it, or --overwrite (overwrite=True) to begin anew"
            )
        if self.condition is not None:
            store.take_out(self.condition)
        for name, text in self.notes.items():
            store.note(name, text)


def _limits(limits: Limits | Mapping[str, Any] | None) -> Limits:
    if isinstance(limits, Limits):
        return limits
    names = [each.name for each in fields(Limits)]
    if unknown := [name for name in limits or () if name not in names]:
        raise BatchError(f"limits has {unknown[0]!r}; there are {', '.join(names)}")
    for name, value in (limits or {}).items():
        if value is not None and not value > 0:
            raise BatchError(f"{name}={value!r} must be more than 0")
    return Limits(**(limits or {}))


def _costed() -> dict[str, Any]:
    """Return what makes answers tell their cost, for a limit of it.

    Raises:
        BatchError: No plugin knows costs.
    """
    import scillm

    if "cost" not in scillm.kernel().plugins.options:
        raise BatchError(
            "max_cost needs a plugin that knows what answers cost, and none is active: "
            "pip install 'scillm-telemetry[prices]', and see `scillm plugins`"
        )
    return {"cost": True}


def _schema(schema: Any) -> Mapping[str, Any] | None:
    if schema is None or isinstance(schema, Mapping):
        return schema
    if isinstance(schema, type):
        from scillm.extras import schema_of  # whoever reads attrs classes lends it

        found: Mapping[str, Any] = schema_of(schema)
        return found
    return _schema_file(Path(schema))


def _schema_file(path: Path) -> Mapping[str, Any]:
    import json

    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BatchError(f"the schema {str(path)!r} cannot be read: {error}") from None
    if not isinstance(read, dict):
        raise BatchError(f"the schema {str(path)!r} is no JSON object")
    return read


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BatchError(f"{name}={value!r} must be a whole number, 1 or more")
    return value

"""The run of a map, put together from the arguments of ``client.map``; a batch is one, too."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from anyfast_async._core.errors.failures import KINDS, OWN_STOPPERS
from anyfast_async._core.journal.row_ids import asked_for, check_source, id_of
from anyfast_async._core.journal.send_again import SendAgain
from anyfast_async._core.prompt_template import PromptTemplate
from anyfast_async._http.settings import headers_of, whole_in
from anyfast_async._map.deduplicated import DedupedItems, DedupedRecordedItems, DedupedRun
from anyfast_async._map.early_end import Ending
from anyfast_async._map.items import Items, RunPlan, Texts
from anyfast_async._map.map_run import MapRun
from anyfast_async._map.progress_bar import shown_progress
from anyfast_async._map.recorded_items import RecordedItems
from anyfast_async._map.result import Progress, Result
from anyfast_async._map.table_rows import rows_of
from anyfast_async._structured.repair import MOST
from anyfast_async.errors import ConfigurationError, FieldError, RequestValidationError, escaped
from anyfast_async.requests import ChatRequest, prompt_of

if TYPE_CHECKING:
    from anyfast_async._client.calls import Calls
    from anyfast_async._limits.reservation import Witness
    from anyfast_async._map.media_columns import MediaTemplate
    from anyfast_async._map.twins import Shelf
    from anyfast_async.messages import Prompt

T = TypeVar("T")
_NAMED: Final = 40
"""Fields that are named."""


def plan_of(
    calls: Calls,
    options: Mapping[str, Any],
    *,
    request: Callable[[Any], Prompt | ChatRequest] | None,
    concurrency: int,
    id_: Callable[[Any], Any] | str | None = None,
    into: type[Any] | None = None,
    template: PromptTemplate | MediaTemplate | None = None,
    repair: int = 0,
    deadline: float | None = None,
    give_up_after: float | None = None,
    is_looked_into: bool = False,
) -> RunPlan[Any]:
    """Return what a map does with each item; its arguments are those of ``client.map``.

    Raises:
        ConfigurationError: one of them cannot be.
        RequestValidationError: an option is wrong.

    """
    if template is not None:
        if request is not None:
            message = "request= and template= both make the prompt of an item; give one of them"
            raise ConfigurationError(message)
        request = functools.partial(filled, template)
    default = calls.setup.model
    # Options that are wrong for every item are wrong before the first one is pulled.
    calls.request("x", {**options, "model": options.get("model") or default or "named by the item"}, into)
    calls.timeouts_of(options)
    headers_of("extra_headers", options.get("extra_headers"))
    calls.warn_of_concurrency(concurrency)
    ending = Ending(calls.of, deadline=deadline, give_up_after=give_up_after)

    def texts() -> Texts | None:
        shared = None if is_looked_into else calls.plan_of_run(options, into)
        return None if shared is None else Texts(shared, calls.planned)

    return RunPlan(
        prompt_of=None if request is None else functools.partial(prompt_of, request=request),
        request_of=lambda prompt: calls.request(prompt, options, into),
        send=lambda asked, body, witness: calls.complete(asked, options, body=body, ending=ending, witness=witness),
        spending=calls.shared.spending,
        scope_of=lambda asked: calls.scope_of(asked.model or ""),
        id_of=id_of if id_ is None else asked_for(id_),
        ending=ending,
        stream=bool(options.get("via_stream")),
        into=into,
        texts=texts,
        repair=_repair(repair, into),
    )


def _repair(repair: int, into: type[Any] | None) -> int:
    if repair and into is None:
        message = "repair= is for answers that are parsed; give into= too"
        raise ConfigurationError(message)
    return whole_in("repair", repair, 0, MOST)


def template_of(
    text: str | None,
    image: str | None = None,
    document: str | None = None,
    files_under: str | os.PathLike[str] | None = None,
) -> PromptTemplate | MediaTemplate | None:
    """Return the template in the argument ``template``, with the columns of files beside it.

    Raises:
        ConfigurationError: it is none.

    """
    has_files = image is not None or document is not None
    if text is None and not has_files and files_under is None:
        return None
    try:
        if isinstance(text, str) and has_files:
            from anyfast_async._map.media_columns import MediaTemplate  # noqa: PLC0415 - with the first such map

            prompt = PromptTemplate.parse(text, may_be_same=True)
            return MediaTemplate(prompt, image, document, None if files_under is None else Path(files_under))
        if isinstance(text, str) and files_under is None:
            return PromptTemplate.parse(text)
        if text is None or files_under is not None:
            message = "image=, document= and files_under= go with template=, and files_under= with one of the others"
            raise ConfigurationError(message)
        problem = f"must be text such as 'Good or bad? {{text}}', not {type(text).__name__}"
    except ValueError as error:
        problem = str(error)
    message = f"template= {problem}"
    raise ConfigurationError(message) from None


def filled(template: PromptTemplate | MediaTemplate, item: Any) -> Prompt:
    """Return the prompt that *template* makes of an item: of a row by its columns, of a text as ``{text}``.

    Raises:
        RequestValidationError: the item does not have what is named there, or nothing stands in any of it.

    """
    row = _row(template, item)
    if missing := template.lacks(row):
        names = ", ".join(escaped(str(name), 80) for name in list(row)[:_NAMED]) or "no fields"
        problem = f"has no {', '.join(escaped(name, 80) for name in missing)}; it has {names}"
    else:
        try:
            prompt = template.fill(row)
        except TypeError as error:
            problem = str(error)
        else:
            if prompt is not None:
                return prompt
            problem = f"nothing stands in {', '.join(escaped(name, 80) for name in template.columns)}"
    raise RequestValidationError.of([FieldError("item", problem)])


def _row(template: PromptTemplate | MediaTemplate, item: Any) -> Mapping[str, Any]:
    if isinstance(item, Mapping):
        return item
    if isinstance(item, str) or item is None:
        return {"text": item}
    names = [name.partition(".")[0] for name in template.columns]
    return {name: getattr(item, name) for name in names if not name.startswith("_") and hasattr(item, name)}


def run_of(
    source: Iterable[Any] | AsyncIterable[Any],
    plan: RunPlan[T],
    *,
    template: PromptTemplate | MediaTemplate | None = None,
    id_: Callable[[Any], Any] | str | None = None,
    stop_on: Iterable[str],
    concurrency: int,
    ordered: bool = False,
    journal: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], None] | bool = False,
    retry: Iterable[str] | str | None = None,
    changed: bool = False,
    dedupe: bool = False,
    shelf: Shelf | None = None,
    witness_of: Callable[[Any], Witness] | None = None,
    record: Callable[[Result[T]], Awaitable[None]] | None = None,
) -> MapRun[T]:
    """Return the run of a map; its arguments are those of ``client.map``, and more for who keeps a journal of his own.

    ``id_`` and *template* are for a table, whose columns are known before. ``witness_of`` returns who is told of the
    requests of an item; ``record`` is awaited with each result of an item before that is counted and given out. *shelf*
    is where it is looked up what became of equal requests; None: in memory.

    Raises:
        ConfigurationError: *source* or its columns, *stop_on*, *concurrency* or *retry* cannot be, or *retry* is given
            without a journal.

    """
    if template is not None:
        used = (*template.columns, id_) if isinstance(id_, str) else template.columns
        rows = rows_of(source, used)
        source = source if rows is None else rows
    check_source(source)
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        message = f"concurrency must be a whole number from 1 up, not {concurrency!r}"
        raise ConfigurationError(message)
    stops = kinds_of(stop_on) | OWN_STOPPERS
    around: list[AbstractAsyncContextManager[object]] = []
    again = None if retry is None else SendAgain.of(retry)
    items: Items[T]
    deduped: DedupedItems[T] | None = None
    if journal is not None:
        recorded: RecordedItems[T]
        kind = functools.partial(DedupedRecordedItems if dedupe else RecordedItems, plan)
        items = recorded = kind(path=Path(journal), stop_on=stops, again=again, changed=changed)
        deduped = recorded if isinstance(recorded, DedupedRecordedItems) else None
        record = recorded.record
        around.append(recorded)
    elif dedupe:
        items = deduped = DedupedItems(plan, witness_of, shelf=shelf, record=record)
        record = deduped.record
    else:
        items = Items(plan, witness_of)
    if journal is None and (again is not None or changed):
        message = "retry= and changed= are for what a journal holds; give journal= too"
        raise ConfigurationError(message)
    if progress is True:
        shown = shown_progress()
        around.append(shown)
        progress = shown.show
    made = MapRun if deduped is None else functools.partial(DedupedRun, deduped.twins)
    return made(
        source,
        items.call,
        concurrency=concurrency,
        ordered=ordered,
        stop_on=stops,
        progress=progress or None,
        around=around,
        ending=plan.ending,
        unsent=items.unsent,
        record=record,
    )


def kinds_of(stop_on: Iterable[str]) -> frozenset[str]:
    """Return the kinds of errors in the argument ``stop_on``.

    Raises:
        ConfigurationError: one is no kind of error.

    """
    kinds = frozenset([stop_on] if isinstance(stop_on, str) else stop_on)
    unknown = sorted(kinds - KINDS, key=str)
    if unknown:
        message = f"stop_on takes kinds of errors ({', '.join(sorted(KINDS))}), not {unknown[0]!r}"
        raise ConfigurationError(message)
    return kinds

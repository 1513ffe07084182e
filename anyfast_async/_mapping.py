"""The run of a map, put together from the arguments of ``client.map``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, TypeVar

from anyfast_async._core.again import Again
from anyfast_async._core.journal import KINDS
from anyfast_async._core.rows import check_source
from anyfast_async._items import Items, Plan
from anyfast_async._map import MapRun
from anyfast_async._progress import shown_progress
from anyfast_async._recorded import RecordedItems
from anyfast_async._result import Progress
from anyfast_async.errors import ConfigurationError

T = TypeVar("T")


OWN_STOPPERS: Final = frozenset({"budget", "configuration", "state"})
"""Kinds of errors of this side that end every run: a spent budget, a key that cannot be had, a closed client."""


def run_of(
    source: Iterable[Any] | AsyncIterable[Any],
    plan: Plan[T],
    *,
    journal: str | os.PathLike[str] | None,
    progress: Callable[[Progress], None] | bool,
    stop_on: Iterable[str],
    concurrency: int,
    ordered: bool,
    retry: Iterable[str] | str | None = None,
    changed: bool = False,
) -> MapRun[T]:
    """Return the run of a map; its arguments are those of ``client.map``.

    Raises:
        ConfigurationError: *source*, *stop_on*, *concurrency* or *retry* cannot be, or *retry* is given without a
            journal.

    """
    check_source(source)
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        message = f"concurrency must be a whole number from 1 up, not {concurrency!r}"
        raise ConfigurationError(message)
    stops = kinds_of(stop_on) | OWN_STOPPERS
    around: list[AbstractAsyncContextManager[object]] = []
    again = None if retry is None else Again.of(retry)
    recorded = None
    items: Items[T] = Items(plan)
    if journal is not None:
        items = recorded = RecordedItems(plan, path=Path(journal), stop_on=stops, again=again, changed=changed)
        around.append(recorded)
    elif again is not None or changed:
        message = "retry= and changed= are for what a journal holds; give journal= too"
        raise ConfigurationError(message)
    if progress is True:
        shown = shown_progress()
        around.append(shown)
        progress = shown.show
    run = MapRun(
        source,
        items.call,
        concurrency=concurrency,
        ordered=ordered,
        stop_on=stops,
        progress=progress or None,
        around=around,
        ending=plan.ending,
        unsent=items.unsent,
    )
    run.items = items
    if recorded is not None:
        run.before_giving = recorded.record
    return run


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

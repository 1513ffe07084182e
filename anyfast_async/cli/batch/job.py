"""What one ``anyfast batch`` is to do, and a run of it in front of somebody."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from anyfast_async._core.usage import Used
from anyfast_async.batch import BatchFiles, BatchLine, BatchRun, RowDone, Survey
from anyfast_async.batch.counts import Census
from anyfast_async.batch.run_header import header_for
from anyfast_async.cli.batch.options import Options
from anyfast_async.cli.display.figures import Spend
from anyfast_async.cli.display.money import spent_in_words
from anyfast_async.cli.display.progress import BatchProgress, progress_on
from anyfast_async.cli.signals import on_ending
from anyfast_async.prices import Prices

if TYPE_CHECKING:
    from anyfast_async.client import AnyFast
    from anyfast_async.scale.sharded_run import ShardedRun

GRACE: Final = 60.0
"""Seconds that what is in flight gets after the first Ctrl-C, unless told otherwise."""


@attrs.frozen(kw_only=True)
class BatchJob:
    """What the options come to."""

    survey: Survey
    options: Options
    fields: Mapping[str, Any]
    """Of the request; they win over those of the rows."""
    model: str | None
    """Of rows that name none."""
    prices: Prices | None
    command: str
    """The command that goes on."""
    argv: Sequence[str] = ()
    """The words of the command."""

    @property
    def header(self) -> dict[str, Any]:
        """What must be the same for going on."""
        found = header_for(self.survey, model=self.model, system=self.options.system, fields=self.fields)
        return found if self.options.schema is None else found | {"schema": self.options.schema.header}

    def run(
        self, client: AnyFast, files: BatchFiles, todo: Iterable[BatchLine], *, total: int, census: Census | None
    ) -> BatchRun:
        """Return the run of the rows *todo*; without a *census* it is of a sample of the input."""
        return BatchRun(
            client,
            todo,
            files,
            total=total,
            already=0 if census is None else census.already,
            before=None if census is None else census.counts,
            bad=() if census is None else self.survey.bad.values(),
            concurrency=self.options.limits.most_in_flight,
            max_failures=self.options.max_failures,
            system=self.options.system,
            via_stream=self.options.via_stream,
            timeout=self.options.timeout,
            give_up_after=self.options.give_up_after,
            dedupe=self.options.dedupe,
            into=None if self.options.schema is None else self.options.schema.kind,
            **self.fields,
        )

    def asking(self, again: str, **other: str | None) -> str:
        """Return the command that sends rows with a result again: those that ``--retry-failed`` *again* says."""
        return self.options.going_on(self.argv, retry_failed=again, **other)

    def with_budget(self, most: str) -> str:
        """Return the command that goes on with another ceiling where there is one."""
        options = self.options
        given = {"budget_tokens": options.budget_tokens, "budget_usd": options.budget_usd}
        return options.going_on(self.argv, **{name: most for name, value in given.items() if value is not None})

    def model_of(self, named: str | None) -> str:
        """Return the model that a row which names one, or none, is sent to."""
        return self.fields.get("model") or named or self.model or ""

    @property
    def models(self) -> Mapping[str, int]:
        """The rows by the model that they are sent to."""
        counts = Counter[str]()
        for named, number in self.survey.models.items():
            counts[self.model_of(named)] += number
        return counts

    def cost(self, model: str, used: Used) -> float:
        """Return what a row of *model* costs; 0 without prices."""
        price = self.prices.price(model) if self.prices is not None else None
        return 0.0 if price is None else price.cost(used)

    @property
    def spend(self) -> Spend | None:
        """What tells the money spent; None without prices."""
        prices = self.prices
        return None if prices is None else lambda tally: spent_in_words(prices, tally.spent)


async def supervised(
    run: BatchRun | ShardedRun,
    progress: BatchProgress | None = None,
    *,
    on_row: Callable[[RowDone], None] | None = None,
    grace: float = GRACE,
) -> int | None:
    """Make the run, show how it gets on, and end it on SIGINT or SIGTERM; return the signal's number, if any.

    Args:
        run: not begun.
        progress: shows it; else a view of its counts.
        on_row: called after each line that was written, too.
        grace: seconds that what is in flight gets after the first signal; after the second it is left.

    """
    received: list[int] = []
    with progress or progress_on(sys.stderr, run.tally) as shown:

        def ending(number: int) -> None:
            received.append(number)
            first = len(received) == 1
            run.stop(grace if first else 0.0)
            if first and grace:
                shown.note(f"stopping: what is in flight gets up to {grace:g} s; once more to leave it")

        def row(event: RowDone) -> None:
            shown.row(event)
            if on_row is not None:
                on_row(event)

        with on_ending(ending, then_deaf=True):
            await run.run(row)
    return received[0] if received else None


__all__ = ["GRACE", "BatchJob", "supervised"]

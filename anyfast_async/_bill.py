"""What a journal knows of money: which rows may be billed without an answer, and what its file has cost so far."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from anyfast_async._budget import Earlier, Need
from anyfast_async._core.journal import completion_in
from anyfast_async._core.reserved import unknown
from anyfast_async._core.usage import used_by

if TYPE_CHECKING:
    from anyfast_async._budget import Spending
    from anyfast_async._journal import Journal
    from anyfast_async._records import Records
    from anyfast_async.prices import Prices


class RowWitness:
    """Writes down in a journal what becomes of the requests of one row."""

    def __init__(self, journal: Journal, custom_id: str) -> None:
        self._journal = journal
        self._custom_id = custom_id

    def goes_out(self, need: Need) -> None:
        """Take in that a request is about to be sent."""
        self._journal.started(self._custom_id, need)

    def refused(self) -> None:
        """Take in that nothing that was sent is billed."""
        self._journal.unsent(self._custom_id)

    def unknown(self, need: Need, *, answered: bool) -> None:
        """Take in that nothing says what a request used."""
        self._journal.counted(self._custom_id)
        if any(need) or not answered:  # else its answer shows it
            with suppress(OSError):  # that the disk is full shows with the next line that matters
                self._journal.note("spent", unknown(self._custom_id, need, answered=answered))


def charge(journal: Journal, spending: Spending) -> None:
    """Count in *spending* what earlier runs have spent on a journal's files, if it has a budget.

    Reads all of the answers then.
    """
    spending.charge(journal.records.answers, lambda: _earlier(journal.records, spending.prices))


def _earlier(records: Records, prices: Prices | None) -> Earlier:
    """Return what the answers say that they used, and what was reserved for requests that do not.

    An answer that does not say it, and a request of a run without a budget, are taken for an average one.
    """
    past, found, known, unknown = records.past, Earlier(), 0, 0
    for line in records.paid_lines():
        completion = completion_in(line)
        used = used_by(completion.usage) if completion is not None else None
        if completion is None or used is None:
            unknown += 1
            continue
        known += 1
        found.tokens += used.tokens
        price = prices.price(completion.model or "") if prices is not None else None
        found.cost += price.cost(used) if price is not None else 0.0
    unknown = max(0, unknown - past.bill.covered) + past.bill.uncounted
    if known:
        found.tokens *= (known + unknown) / known
        found.cost *= (known + unknown) / known
    found.tokens += past.bill.tokens
    found.cost += past.bill.cost
    found.requests = known + unknown
    return found

"""What a journal knows of money: which rows may be billed without an answer, and what its file has cost so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from anyfast_async._core.journal.journal_lines import completion_in, twin_in
from anyfast_async._core.journal.reserved_money import unknown
from anyfast_async._core.usage import Used, used_by
from anyfast_async._limits.budget import Earlier, Need

if TYPE_CHECKING:
    from anyfast_async._journal.journal import Journal
    from anyfast_async._journal.records import Records
    from anyfast_async._limits.budget import Spending
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


def named(journal: Journal, answered: str | None, asked: str | None) -> None:
    """Write down, once, by which name the gateway calls in an answer the model that was *asked*.

    Raises:
        OSError: it cannot be written.

    """
    known = journal.records.past.models.setdefault(answered or "", set())
    if (asked or "") not in known:
        known.add(asked or "")
        journal.note("model", [answered or "", asked or ""])


def charge(journal: Journal, spending: Spending) -> None:
    """Count in *spending* what earlier runs have spent on a journal's files, if it has a budget.

    Reads all of the answers then.
    """
    spending.charge(journal.records.answers, lambda: earlier_spending(journal.records, spending.prices))


def earlier_spending(records: Records, prices: Prices | None) -> Earlier:
    """Return what the answers say that they used, and what was reserved for requests that do not.

    An answer that does not say it, or names a model without a price, and a request of a run without a budget, are taken
    for an average one; where several models may have been asked, the dearest counts.
    """
    past, found, known, unknown, priced = records.past, Earlier(), 0, 0, 0
    usual = _models(past.header or {})
    for line in records.paid_lines():
        if (twin := twin_in(line)) is not None and twin.same_as is not None:
            continue  # it was not sent
        completion = completion_in(line)
        used = used_by(completion.usage) if completion is not None else None
        if completion is None or used is None:
            unknown += 1
            continue
        known += 1
        found.tokens += used.tokens
        costs = _costs(prices, past.asked_for(completion.model or ""), used) or _costs(prices, usual, used)
        priced += len(costs) > 0
        found.cost += max(costs, default=0.0)
    unknown = max(0, unknown - past.bill.covered) + past.bill.uncounted
    if known:
        found.tokens *= (known + unknown) / known
    if priced:
        found.cost *= (known + unknown) / priced
    found.tokens += past.bill.tokens
    found.cost += past.bill.cost
    found.requests = known + unknown
    return found


def _costs(prices: Prices | None, models: Iterable[str], used: Used) -> list[float]:
    """Return what an answer costs if one of *models* gave it, for those that have a price."""
    found = map(prices.price, models) if prices is not None else ()
    return [price.cost(used) for price in found if price is not None]


def _models(header: Mapping[str, Any]) -> set[str]:
    """Return the models that a batch with this header asks."""
    given, fields = header.get("input"), header.get("fields")
    named = given.get("models", ()) if isinstance(given, Mapping) else ()
    set_for_all = fields.get("model") if isinstance(fields, Mapping) else None
    return {name or header.get("model") or "" for name in ([set_for_all] if set_for_all else named)}

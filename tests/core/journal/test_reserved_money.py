"""What a log says of money."""

from __future__ import annotations

import pytest

from anyfast_async._core.journal.reserved_money import Amount, Bill, lost, opened, read_opened, unknown


@pytest.mark.parametrize("amount", [None, Amount(), Amount(10), Amount(0, 0.5), Amount(10, 0.5)])
def test_what_is_reserved_comes_back(amount: Amount | None) -> None:
    """An id at work is read as it was written, with nothing, something, or what is counted already."""
    assert read_opened(opened("a", amount)) == ("a", amount)


def test_an_id_without_a_reservation_is_itself() -> None:
    """So the logs of runs without a budget are those of earlier versions."""
    assert (opened("a", Amount()), read_opened("a")) == ("a", ("a", Amount()))


def test_a_bill_adds_up() -> None:
    """Reserved amounts are summed; what nobody reserved anything for, and answers among it, are counted."""
    bill = Bill()
    bill.add(unknown("a", Amount(100, 0.5), answered=False))
    bill.add(unknown("b", Amount(10), answered=True))
    bill.add(unknown("c", Amount(), answered=False))
    bill.add(lost([Amount(1000, 0.25), Amount(), None]))

    assert bill == Bill(1110, 0.75, 2, 1)

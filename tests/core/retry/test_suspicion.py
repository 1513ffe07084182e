"""A row that was refused although it went first: two that were sent later decide."""

from __future__ import annotations

from anyfast_async._core.retry.suspicion import Suspicion, Trial


def test_two_that_were_sent_later_strike_the_row() -> None:
    """Those before it are no witnesses; the verdict is told."""
    row, told = Suspicion(on_trial=True), []
    row.on_verdict = lambda: told.append(row.strikes)
    trial = Trial(row, 5)

    assert [trial.hear(number) for number in (4, 5, 6, 3, 7)] == [False, False, False, False, True]
    assert (row.strikes, row.on_trial, told) == (1, False, [1])


def test_acquittal_leaves_no_strike() -> None:
    """It is told as well: the row waits for it."""
    row, told = Suspicion(on_trial=True), []
    row.on_verdict = lambda: told.append(row.strikes)
    row.judge(guilty=False)

    assert (row.strikes, row.on_trial, told) == (0, False, [0])


def test_answers_of_others_while_it_waits_are_no_strike() -> None:
    """It did not go first; they show that others are answered."""
    row = Suspicion()
    trial = Trial(row, 5, is_fair=False)

    assert [trial.hear(number) for number in (6, 7)] == [False, True]
    assert (row.strikes, row.outdone) == (0, True)

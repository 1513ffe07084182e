"""Whose fault is a refusal: the row's, or the limiter's?"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import attrs

from anyfast_async._values.bases import Shown


def nothing() -> None:
    """Do nothing: nobody waits for the verdict."""


@attrs.define(eq=False, repr=False)
class Suspicion(Shown):
    """What is held against one row that was refused."""

    strikes: int = 0
    """Refusals that are its own fault: it went first after a hold, and two that were sent later were answered."""
    goes_first: bool = False
    """Whether it is the one to go first after the hold that its refusal began."""
    apart: bool = False
    """Whether it has to wait for as long as the server said, and others have not."""
    outdone: bool = False
    """Whether two that were sent after such a refusal were answered while it waited."""
    on_trial: bool = False
    """Whether it went first and was refused all the same, and nobody knows yet whose fault that is."""
    on_verdict: Callable[[], None] = nothing
    """Called when that is known, or nobody will know."""

    def judge(self, *, guilty: bool) -> None:
        """End the trial."""
        self.on_trial = False
        self.strikes += guilty
        self.on_verdict()


class Trial:
    """A row that was refused although it went first after a hold: is it the row, or the limiter?"""

    __slots__ = ("answered", "is_fair", "number", "row")

    WITNESSES: ClassVar[int] = 2

    def __init__(self, row: Suspicion, number: int, *, is_fair: bool = True) -> None:
        self.row: Suspicion = row
        self.number: int = number
        """Of its request."""
        self.is_fair: bool = is_fair
        """Whether it went first, so that their answers are a strike."""
        self.answered: int = 0
        """Requests that were sent later and taken."""

    def hear(self, number: int) -> bool:
        """Take in that the request of *number* was taken; return whether that ends the trial."""
        if number <= self.number:
            return False
        self.answered += 1
        if self.answered < self.WITNESSES:
            return False
        if self.is_fair:
            self.row.judge(guilty=True)
        else:
            self.row.outdone = True
        return True

"""One budget as a store keeps it."""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from anyfast_async._core.limits.budget_amounts import Amounts
from anyfast_async._core.limits.shared_budget import CHOOSY, KEPT, RETELL, Draw, DrawReply, SharedBudget

LEASE = 15_000_000


def asked(client: str, number: int, tokens: int = 0, **fields: Any) -> Draw:
    """What a client asks of a budget of 100 tokens."""
    values: dict[str, Any] = {"limits": (100, -1, -1), "least": (tokens, 0, 0), "want": (tokens, 0, 0), **fields}
    return Draw(client=client, number=number, **values)


def test_all_draw_from_one() -> None:
    """What one has drawn nobody else gets; what it gives back others do; what is left and may come back is told."""
    budget = SharedBudget()
    first = budget.ask(1, asked("a", 1, 70))
    second = budget.ask(2, asked("b", 1, 40))
    assert (first.granted, first.left) == ((70, 0, 0), (30, 0, 0))
    assert (second.granted, second.others, second.outstanding) == ((0, 0, 0), 1, (70, 0, 0))

    told = budget.ask(3, asked("a", 2, total=(20, 0, 0), held=(5, 0, 0)))
    assert told.short
    assert (told.left, budget.ask(4, asked("b", 2, 40)).outstanding) == ((80, 0, 0), (5, 0, 0))
    assert budget.drawn == (60, 0, 0)
    assert not budget.ask(4 + CHOOSY, asked("a", 3, total=(20, 0, 0))).short


def test_more_than_the_first_needs_is_given_as_far_as_it_goes() -> None:
    """What is wanted beyond it may be less; a dimension without a limit is given as wanted."""
    budget = SharedBudget()
    draw = asked("a", 1, limits=(100, -1, 5), least=(10, 0, 1), want=(300, 7, 9))
    assert budget.ask(1, draw).granted == (100, 7, 5)
    assert budget.ask(2, asked("b", 1, limits=(100, -1, 5), want=(0, 0, 0), least=(0, 0, 0))).left == (0, 0, 0)


def test_the_dead_give_nothing_back() -> None:
    """What a client had drawn stays drawn, and is not hoped for any more; it may come back, and goes on."""
    budget = SharedBudget()
    budget.ask(1, asked("a", 1, 70))
    later = budget.ask(LEASE + 1, asked("b", 1, 40))
    assert (later.granted, later.others, later.outstanding) == ((0, 0, 0), 0, (0, 0, 0))

    assert budget.ask(LEASE + 2, asked("a", 2, total=(70, 0, 0), held=(70, 0, 0))).left == (30, 0, 0)
    assert budget.ask(3 * LEASE + KEPT, asked("b", 2)).left == (30, 0, 0)
    assert set(budget.clients) == {"b"}


def test_a_question_that_comes_late_changes_nothing() -> None:
    """One that was given up, and is read after the next one."""
    budget = SharedBudget()
    budget.ask(1, asked("a", 2, 10))
    late = budget.ask(2, asked("a", 1, 50))
    assert (late.granted, budget.drawn) == ((0, 0, 0), (10, 0, 0))


def test_an_answer_that_was_lost_costs_nothing() -> None:
    """Who did not hear of what it was given does not count it, and that puts it back."""
    budget = SharedBudget()
    budget.ask(1, asked("a", 1, 60))
    assert budget.ask(2, asked("a", 2, 60)).granted == (60, 0, 0)
    assert budget.drawn == (60, 0, 0)


def test_memory_that_was_lost_is_told_again() -> None:
    """Nothing is given until all could say what they drew; from an older copy only the difference counts."""
    budget = SharedBudget()
    born = budget.ask(1, asked("a", 1, 60)).born
    copy = SharedBudget.load(json.loads(json.dumps(budget.dump())))
    budget = SharedBudget()
    assert budget.ask(5, asked("a", 2, 30, total=(60, 0, 0), born=born)).born == 5
    reply = budget.ask(6, asked("a", 3, 30, total=(60, 0, 0), born=5))
    assert (reply.opens, reply.granted, reply.left) == (5 + RETELL - 6, (0, 0, 0), (40, 0, 0))
    assert budget.ask(5 + RETELL, asked("a", 4, 30, total=(60, 0, 0), born=5)).granted == (30, 0, 0)

    assert copy.ask(9, asked("a", 3, total=(90, 0, 0), born=born)).left == (10, 0, 0)


def test_clock_that_begins_anew() -> None:
    """After a start of the machine nobody is taken for alive, and nothing is closed."""
    budget = SharedBudget()
    budget.ask(10**12, asked("a", 1, 60))
    budget.ask(10**12, asked("b", 1, 60))
    reply = budget.ask(7, asked("c", 1, 30))
    assert (reply.granted, reply.others, reply.short) == ((30, 0, 0), 0, False)


amount = st.integers(0, 60)


@settings(max_examples=200 if os.environ.get("ANYFAST_LONG") else 15)
@given(st.lists(st.tuples(st.sampled_from("abc"), amount, amount, amount, st.booleans(), st.integers(0, 2 * LEASE))))
def test_never_more_than_the_whole(steps: list[tuple[str, int, int, int, bool, int]]) -> None:
    """Whoever draws, gives back, loses answers and dies: what clients may spend together is within the budget."""
    budget, limits, now = SharedBudget(), (100, 10**15, 7), 1
    mine: dict[str, Amounts] = {}
    numbers: dict[str, int] = {}
    for client, least, more, back, is_lost, passed in steps:
        now += passed
        had = mine.get(client, (0, 0, 0))
        total = (max(0, had[0] - back), had[1], max(0, had[2] - back % 2))
        numbers[client] = numbers.get(client, 0) + 1
        draw = Draw(
            client=client,
            number=numbers[client],
            limits=limits,
            total=total,
            least=(least, 10**14, 1),
            want=(least + more, 10**14, 2),
        )
        reply: DrawReply = budget.ask(now, draw)
        given = (0, 0, 0) if is_lost else reply.granted
        mine[client] = (total[0] + given[0], total[1] + given[1], total[2] + given[2])
        sums = [sum(values) for values in zip(*mine.values(), strict=True)]
        assert all(spent <= drawn <= limit for spent, drawn, limit in zip(sums, budget.drawn, limits, strict=True))
        assert reply.granted == (0, 0, 0) or reply.granted[0] >= least

"""What a journal knows of money."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anyfast_async import AssistantMessage, Budget, ChatCompletion, Choice, Price, Prices, Usage
from anyfast_async._core.journal import journal_lines
from anyfast_async._journal.bill import RowWitness, charge, named
from anyfast_async._journal.journal import Journal, open_journal
from anyfast_async._journal.records import log_of
from anyfast_async._limits.budget import Need, Spending

STEM = "0" * 24
PRICES = Prices("USD", {"m": Price(1, 10), "dear": Price(10, 100)})


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Journal]:
    """Open one journal again and again; with a header, a new one each time."""

    def journal_of(header: dict[str, Any] | None = None) -> Journal:
        name = "out" if header is None else f"out{len([*tmp_path.iterdir()])}"
        return open_journal(tmp_path / f"{name}.jsonl", header=header)

    return journal_of


def answer(custom_id: str, usage: Usage | None = None, model: str = "m") -> bytes:
    choice = Choice(message=AssistantMessage("x"))
    return journal_lines.answer_line(
        custom_id, ChatCompletion(choices=(choice,), model=model or None, usage=usage), stem=STEM
    )


def usage(prompt: int, completion: int) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def earlier(one: Journal, **budget: Any) -> tuple[float, float, int]:
    spending = Spending(Budget(**(budget or {"tokens": 10**6})), PRICES)
    charge(one, spending)
    found = spending.earlier
    return found.tokens, round(found.cost, 6), found.requests


def test_answers_say_what_they_cost(opened: Callable[[], Journal]) -> None:
    """Also those of runs without a budget; nothing is read where there is none."""
    with opened() as one:
        for number in range(3):
            one.started(f"r{number}")
            one.answered(f"r{number}", answer(f"r{number}", usage(100, 10)))
    with opened() as one:
        assert earlier(one) == (330, round(3 * 200e-6, 6), 3)
        spending = Spending(None)
        charge(one, spending)
        assert spending.earlier.tokens == 0


@pytest.mark.parametrize("name", ["vendor/m-001", "m", "", "dear"])
def test_a_model_that_answers_by_another_name_costs_what_was_asked(opened: Callable[[], Journal], name: str) -> None:
    """What the gateway calls a model in its answers has no say in what it costs."""
    with opened() as one:
        named(one, name or None, "m")
        named(one, name or None, "m")
        one.answered("a", answer("a", usage(100, 10), model=name))
    assert log_of(one.records.answers).read_bytes().count(b'"model"') == 1
    with opened() as one:
        assert earlier(one) == (110, 200e-6, 1)
        named(one, name or None, "dear")
        assert earlier(one) == (110, 2000e-6, 1)  # either may have been asked: the ceiling must hold


def test_answers_of_a_log_that_names_no_models(opened: Callable[..., Journal]) -> None:
    """They cost what the models of the input do, or an average answer; the dearest of several."""
    models = {"input": {"models": {"": 1, "dear": 2}}, "model": "m", "fields": {}}
    for header, cost in ((models, 2000e-6), (models | {"fields": {"model": "m"}}, 200e-6), ({}, 0.0)):
        with opened(header) as one:
            one.answered("a", answer("a", usage(100, 10), model="unknown"))
            assert earlier(one)[1] == cost
            one.answered("b", answer("b", usage(50, 5)))
            assert earlier(one)[1] == (round(cost + 100e-6, 6) if header else 200e-6)


def test_lost_requests_count_as_reserved(opened: Callable[[], Journal]) -> None:
    """What was in flight at a kill counts as it was reserved, once, however often the file is opened."""
    one = opened()
    RowWitness(one, "a").goes_out(Need(1000, 0.5))
    RowWitness(one, "b").goes_out(Need(2000, 0.25))
    RowWitness(one, "b").refused()
    _kill(one)

    for _ in range(3):
        with opened() as again:
            assert earlier(again) == (1000, 0.5, 0)
            assert again.maybe_billed == ("a",)


def test_lost_second_answers_count_as_reserved(opened: Callable[[], Journal]) -> None:
    """A row that is asked again costs what it did, and if its second answer is lost what was reserved for that one."""
    with opened() as one:
        RowWitness(one, "a").goes_out(Need(1000, 0.5))
        one.answered("a", answer("a", usage(100, 10)))
    one = opened()
    RowWitness(one, "a").goes_out(Need(1000, 0.5))
    _kill(one)

    for _ in range(2):
        with opened() as again:
            assert earlier(again) == (1110, round(0.5 + 200e-6, 6), 1)
            assert again.maybe_billed == ("a",)


def test_broken_attempts_count_once(opened: Callable[[], Journal]) -> None:
    """An attempt that may have been billed is written down, and not counted again when its row is found at work."""
    one = opened()
    row = RowWitness(one, "a")
    row.goes_out(Need(1000))
    row.unknown(Need(1000), answered=False)
    _kill(one)
    with opened() as again:
        assert earlier(again)[0] == 1000

        row = RowWitness(again, "a")
        row.goes_out(Need(1000))
        row.unknown(Need(1000), answered=False)
        row.goes_out(Need(1000))
    with opened() as again:
        assert earlier(again)[0] == 3000


def test_answers_without_usage_count_as_reserved(opened: Callable[[], Journal]) -> None:
    """Where a budget had reserved something for them; else as an average answer."""
    with opened() as one:
        for name, need in (("a", Need(1000)), ("b", Need())):
            row = RowWitness(one, name)
            row.goes_out(need)
            row.unknown(need, answered=True)
            one.answered(name, answer(name))
        one.started("c")
        one.answered("c", answer("c", usage(100, 10)))
    with opened() as one:
        assert earlier(one)[0] == 1000 + 2 * 110


def test_broken_attempts_of_a_run_without_a_budget_are_average_ones(opened: Callable[[], Journal]) -> None:
    """Nothing was reserved for them, and they may have been billed: a later budget counts them like the others."""
    with opened() as one:
        row = RowWitness(one, "a")
        for _ in range(2):
            row.goes_out(Need())
            row.unknown(Need(), answered=False)
        one.started("c")
        one.answered("c", answer("c", usage(100, 10)))
    with opened() as one:
        assert earlier(one) == (330, 600e-6, 3)


def test_refused_rows_are_not_open(opened: Callable[[], Journal]) -> None:
    """A row is at work from the moment its request goes out until it is answered or refused, not before."""
    with opened() as one:
        row = RowWitness(one, "a")
        assert [*one.open] == []
        row.goes_out(Need())
        row.goes_out(Need())
        assert [*one.open] == ["a"]
        row.refused()
        row.refused()
        assert [*one.open] == []
    with opened() as one:
        assert one.maybe_billed == ()


def _kill(one: Journal) -> None:
    """Leave the files as a killed process does."""
    one.abandon()
    assert one._held is not None
    os.close(one._held)
    one._held = None

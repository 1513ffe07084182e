"""Answers that do not fit are sent back: in ``parse`` and in ``map``, what it costs, and what is told of it."""

from __future__ import annotations

import json
import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from anyfast_async import (
    AnyFast,
    Budget,
    BudgetExceeded,
    ConfigurationError,
    InternalServerError,
    OutputError,
    RetryPolicy,
    Timeouts,
)
from anyfast_async.simulator import Simulator

KEY = "k" * 20
WRONG = {"name": "Paris"}
RIGHT = {"name": "Paris", "inhabitants": 2}
AGAIN = "does not fit the JSON schema"


@attrs.frozen
class City:
    name: str
    inhabitants: int


PARIS = City("Paris", 2)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        simulator.reply(json=WRONG)
        simulator.reply(json=RIGHT, when=AGAIN)
        yield simulator


def _client(sim: Simulator, **options: Any) -> AnyFast:
    return AnyFast(KEY, base_url=sim.base_url, model="gemini-2.5-flash", **options)


async def test_second_try(sim: Simulator) -> None:
    """Both calls are counted, with the tokens of both; without ``repair`` nothing is sent again."""
    async with _client(sim) as client:
        assert await client.parse("x", City, repair=1) == PARIS
        assert client.stats().requests == 2
        tokens = client.stats().tokens_used
        with pytest.raises(OutputError) as caught:
            await client.parse("x", City)
        assert len(sim.requests) == 3
        assert [one.outcome for one in caught.value.attempts] == ["ok"]
        usage = caught.value.completion.usage if caught.value.completion is not None else None
        assert usage is not None
        assert tokens > 1.5 * (usage.total_tokens or 0) > 0


async def test_never_right(sim: Simulator) -> None:
    """After the last try the error has every attempt, every answer, and says that it was billed."""
    sim.reply(json=WRONG, when=AGAIN)
    async with _client(sim) as client:
        with pytest.raises(OutputError, match=r"\$.inhabitants: is missing") as caught:
            await client.parse("x", City, repair=2)
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - made here
    assert len(sim.requests) == 3
    assert [len(request.body["messages"]) for request in sim.requests] == [1, 3, 5]
    assert [(one.number, one.outcome, one.billed) for one in error.attempts] == [
        (number, "output", "yes") for number in (1, 2, 3)
    ]
    assert error.billed == "yes"
    assert [answer.text for answer in (*error.rejected, error.completion)] == [json.dumps(WRONG)] * 3


async def test_cut_answers_are_not_sent_back(sim: Simulator) -> None:
    """What ``max_tokens`` has cut would be cut again: it costs one call."""
    sim.reply('{"name": "Par', finish_reason="length")
    async with _client(sim) as client:
        with pytest.raises(OutputError, match="cut by max_tokens"):
            await client.parse("x", City, repair=3)
    assert len(sim.requests) == 1


async def test_the_repair_fails(sim: Simulator) -> None:
    """An error of the second call has the ledger of both, the first answer as its cause, and was billed."""
    async with _client(sim, retry=RetryPolicy(attempts=1)) as client:
        sim.fail(500, when=AGAIN)
        with pytest.raises(InternalServerError) as caught:
            await client.parse("x", City, repair=1)
    error = caught.value
    assert [(one.number, one.outcome, one.billed) for one in error.attempts] == [
        (1, "output", "yes"),
        (2, "server", "no"),
    ]
    assert error.billed == "yes"
    assert isinstance(error.__cause__, OutputError)
    assert error.__cause__.completion is not None


async def test_the_total_is_for_all(sim: Simulator) -> None:
    """``Timeouts.total`` bounds the calls together."""
    sim.reply(json=RIGHT, when=AGAIN, ttft=60)
    async with _client(sim, timeouts=Timeouts(total=0.4)) as client:
        with pytest.raises(TimeoutError, match=r"longer than 0\.[0-3]"):
            await client.parse("x", City, repair=1)


async def test_budget(sim: Simulator) -> None:
    """A repair is a call like any other: without room in the budget it is not sent."""
    async with _client(sim, budget=Budget(requests=1)) as client:
        with pytest.raises(BudgetExceeded) as caught:
            await client.parse("x", City, repair=1)
    assert caught.value.billed == "yes"
    assert len(sim.requests) == 1


@pytest.mark.parametrize("repair", [-1, 11, 1.5, True, "1"])
async def test_bad_numbers(sim: Simulator, repair: Any) -> None:
    """A number that cannot be is refused before anything is sent; so is a map without a class."""
    async with _client(sim) as client:
        with pytest.raises(ConfigurationError, match="repair"):
            await client.parse("x", City, repair=repair)
        with pytest.raises(ConfigurationError, match="repair"):
            await client.map(["x"], into=City, repair=repair)
        with pytest.raises(ConfigurationError, match="into="):
            await client.map(["x"], repair=1)
    assert sim.requests == []


@pytest.mark.parametrize("journal", [False, True])
async def test_map(sim: Simulator, tmp_path: Path, journal: bool) -> None:
    """Every row is repaired; the result has both answers, and their cost and tokens; a journal has the right one."""
    path = tmp_path / "answers.jsonl" if journal else None
    async with _client(sim) as client:
        results = await client.map(["a", "b", "c"], into=City, repair=1, journal=path)
        for result in results:
            assert result.value == PARIS
            assert [one.text for one in result.rejected] == [json.dumps(WRONG)]
            assert [(one.number, one.outcome) for one in result.attempts] == [(1, "output"), (2, "ok")]
            answers = [*result.rejected, result.unwrap()]
            assert result.row()["completion_tokens"] == sum(
                one.usage.completion_tokens or 0 for one in answers if one.usage is not None
            )
            assert result.row()["inhabitants"] == 2
        assert client.stats().requests == 6
        if journal:
            again = await client.map(["a", "b", "c"], into=City, repair=1, journal=path)
            assert [(one.value, one.recorded) for one in again] == [(PARIS, True)] * 3
            assert client.stats().requests == 6


async def test_map_keeps_what_is_paid(sim: Simulator) -> None:
    """Where the repair fails, the answer that did not fit stays the result, with the ledger of both calls."""
    async with _client(sim, retry=RetryPolicy(attempts=1)) as client:
        sim.fail(400, when=AGAIN)
        (result,) = await client.map(["a"], into=City, repair=1)
    assert isinstance(result.error, OutputError)
    assert result.text == json.dumps(WRONG)
    assert [one.outcome for one in result.attempts] == ["output", "bad_request"]
    assert result.error.attempts == result.attempts


async def test_map_with_many(sim: Simulator) -> None:
    """Rows that are repaired hold no place that another needs."""
    async with _client(sim) as client:
        results = await client.map((f"{n}" for n in range(200)), into=City, repair=1, concurrency=16)
    assert all(result.value == PARIS for result in results)
    assert len(sim.requests) == 400


async def test_the_budget_of_a_journal_knows_both(sim: Simulator, tmp_path: Path) -> None:
    """What the rejected answers have used counts in the budget of the next run on the same journal."""
    path = tmp_path / "answers.jsonl"
    async with _client(sim, budget=Budget(tokens=100_000)) as client:
        (result,) = await client.map(["a"], into=City, repair=1, journal=path, max_tokens=100)
        used = [one.usage.total_tokens or 0 for one in (*result.rejected, result.unwrap()) if one.usage is not None]
    async with _client(sim, budget=Budget(tokens=100_000)) as client:
        await client.map(["a"], into=City, repair=1, journal=path, max_tokens=100)
        assert client._shared.spending.earlier.tokens == sum(used)

"""How to test a program that uses anyfast_async: triage.py against the simulator, without a key and without waiting.

    pytest examples/test_triage.py

The fixtures come with the package. ``anyfast_simulator`` is the gateway: tell it what to answer, look at what arrived.
``anyfast_client`` is a client of it. ``anyfast_no_wait`` lets retries come at once.
"""
# ruff: noqa: D103, S101 - a test says in its name what it tests

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import pytest
import triage  # type: ignore[import-not-found]  # beside this file

from anyfast_async import AnyFast, InsufficientQuotaError, RateLimitError
from anyfast_async.simulator import Simulator

T = TypeVar("T")

PROGRAM = Path(triage.__file__)
BUG = {"team": "bugs", "urgent": True}


async def collected(pieces: AsyncIterator[T]) -> list[T]:
    return [piece async for piece in pieces]


# -- what the gateway says, and what becomes of it -------------------------------------------------------------------


def test_verdict(anyfast_simulator: Simulator, anyfast_client: AnyFast) -> None:
    anyfast_simulator.reply(json=BUG, when="crashes")
    assert asyncio.run(triage.triage(anyfast_client, "It crashes")) == triage.Verdict("bugs", urgent=True)


def test_made_up_answers_fit_the_schema(anyfast_client: AnyFast) -> None:
    # Unscripted, the simulator answers whatever the request's schema allows.
    verdict = asyncio.run(triage.triage(anyfast_client, "Anything"))
    assert verdict.team in ("billing", "bugs", "other")


def test_unusable_verdict_goes_to_a_person(anyfast_simulator: Simulator, anyfast_client: AnyFast) -> None:
    anyfast_simulator.reply("I would say it is a bug.")
    assert asyncio.run(triage.triage(anyfast_client, "Hm")) == triage.UNREADABLE


def test_what_is_sent(anyfast_simulator: Simulator, anyfast_client: AnyFast) -> None:
    asyncio.run(triage.triage(anyfast_client, "It crashes"))
    (request,) = anyfast_simulator.requests
    assert [message["role"] for message in request.body["messages"]] == ["system", "user"]
    assert request.body["temperature"] == 0
    assert request.body["response_format"]["type"] == "json_schema"


# -- when it goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("anyfast_no_wait")
def test_outage_is_survived(anyfast_simulator: Simulator, anyfast_client: AnyFast) -> None:
    anyfast_simulator.fail(503, code="overloaded", times=2)
    anyfast_simulator.reply(json=BUG)
    assert asyncio.run(triage.triage(anyfast_client, "It crashes")).urgent
    assert [request.status for request in anyfast_simulator.requests] == [503, 503, 200]


@pytest.mark.usefixtures("anyfast_no_wait")
def test_throttling_is_survived(anyfast_simulator: Simulator, anyfast_client: AnyFast) -> None:
    anyfast_simulator.fail(429, times=3)  # in production this would take more than half a minute
    anyfast_simulator.reply(json=BUG)
    assert asyncio.run(triage.triage(anyfast_client, "It crashes")).urgent


@pytest.mark.usefixtures("anyfast_no_wait")
def test_throttled_for_ever(anyfast_simulator: Simulator, anyfast_client: AnyFast) -> None:
    anyfast_simulator.fail(429, times=None)
    with pytest.raises(RateLimitError) as caught:
        asyncio.run(triage.triage(anyfast_client, "It crashes"))
    assert len(caught.value.attempts) == len(anyfast_simulator.requests) > 1


def test_no_money_left(anyfast_simulator: Simulator, anyfast_client: AnyFast) -> None:
    anyfast_simulator.fail(403, code="insufficient_user_quota")
    with pytest.raises(InsufficientQuotaError):
        asyncio.run(triage.triage(anyfast_client, "It crashes"))
    assert len(anyfast_simulator.requests) == 1


# -- many at once ----------------------------------------------------------------------------------------------------


def test_rows_in_order(anyfast_simulator: Simulator, anyfast_client: AnyFast) -> None:
    anyfast_simulator.reply(json={"team": "billing", "urgent": False})
    anyfast_simulator.reply(json=BUG, when="crashes", ttft=0.03)
    rows = asyncio.run(collected(triage.triage_all(anyfast_client, ["It crashes", "Refund me"])))
    assert [row["team"] for row in rows] == ["bugs", "billing"]


def test_a_bad_row_is_a_row(anyfast_simulator: Simulator, anyfast_client: AnyFast) -> None:
    anyfast_simulator.reply(json=BUG)
    anyfast_simulator.fail(400, when="poison")
    rows = asyncio.run(collected(triage.triage_all(anyfast_client, ["a", "poison", "b"])))
    assert [row["error"] is None for row in rows] == [True, False, True]


# -- streams ---------------------------------------------------------------------------------------------------------


def test_draft(anyfast_simulator: Simulator, anyfast_client: AnyFast) -> None:
    anyfast_simulator.reply(chunks=["Dear ", "customer"])
    assert asyncio.run(collected(triage.draft(anyfast_client, "Help"))) == ["Dear ", "customer"]


def test_draft_that_breaks_off(anyfast_simulator: Simulator, anyfast_client: AnyFast) -> None:
    anyfast_simulator.reply(chunks=["Dear ", "customer"])
    anyfast_simulator.cut(after=2)  # an event with the role, and one with text
    assert asyncio.run(collected(triage.draft(anyfast_client, "Help"))) == ["Dear ", " [incomplete]"]


# -- as a whole ------------------------------------------------------------------------------------------------------


@pytest.mark.anyfast_simulator(strict=True)  # a request that is not scripted here would fail the test
def test_strict(anyfast_simulator: Simulator, anyfast_client: AnyFast) -> None:
    anyfast_simulator.reply(json=BUG, when="crashes")
    assert asyncio.run(triage.triage(anyfast_client, "It crashes")).urgent


def test_another_process(anyfast_simulator: Simulator) -> None:
    # It finds the simulator in the environment that it inherits.
    anyfast_simulator.reply(json=BUG)
    run = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, PROGRAM],
        input="It crashes\n\nIt hangs\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert [json.loads(line)["team"] for line in run.stdout.splitlines()] == ["bugs", "bugs"]
    assert run.stderr == ""
    assert len(anyfast_simulator.requests) == 2  # noqa: PLR2004 - tickets

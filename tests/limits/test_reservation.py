"""What one call costs, from the reservation to what is learned of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async import (
    AssistantMessage,
    Budget,
    BudgetExceeded,
    ChatCompletion,
    ChatRequest,
    Choice,
    Limits,
    Price,
    Prices,
)
from anyfast_async._core.usage import Used
from anyfast_async._limits.budget import Need, Spending
from anyfast_async._limits.gate import Gate
from anyfast_async._limits.reservation import Account, AccountOfRun, limits_of

pytestmark = pytest.mark.virtual


class Told:
    """A witness that remembers."""

    def __init__(self, *, full: bool = False) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.full = full

    def goes_out(self, need: Need) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.events.append(("out", need.tokens))

    def refused(self) -> None:
        self.events.append(("refused",))

    def unknown(self, need: Need, *, answered: bool) -> None:
        self.events.append(("unknown", need.tokens, answered))


@pytest.mark.parametrize(
    ("fields", "limits"),
    [
        ({}, (None, 1)),
        ({"max_tokens": 5}, (5, 1)),
        ({"max_completion_tokens": 7, "max_tokens": 5, "n": 3}, (7, 3)),
        ({"max_tokens": 5, "extra_body": {"max_tokens": 9, "n": 2}}, (9, 2)),
        ({"max_tokens": 5, "extra_body": {"max_tokens": "9", "n": -1}}, (None, 1)),
        ({"extra_body": {"max_completion_tokens": 11}}, (11, 1)),
    ],
)
def test_limits_of(fields: dict[str, Any], limits: tuple[int | None, int]) -> None:
    """How long answers may get and how many there are, by either name; ``extra_body`` wins, as on the wire."""
    assert limits == limits_of(ChatRequest("x", **fields))
    assert limits_of(None) == (0, 1)


async def test_nothing_is_estimated_where_nothing_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tokens a minute and without a budget the prompt of a call is never looked at."""
    monkeypatch.setattr("anyfast_async._limits.reservation.asked", lambda _: pytest.fail("was looked at"))
    gate, spending = Gate(Limits()), Spending(None)
    scope = gate.scope("a")
    account = Account(spending, scope, ChatRequest("x", model="m"))
    account.goes_out(gate, await gate.acquire(scope))
    account.answered(1.0, Used(10, 20))

    assert (account.likely(), spending.tokens, spending.requests) == (0.0, 30, 1)


async def test_a_call_reserves_and_learns() -> None:
    """Reserved before it goes out: a token a byte and max_tokens; after it the scope knows what such calls use."""
    gate, spending = Gate(Limits(tokens_per_minute=10_000)), Spending(Budget(tokens=10_000))
    scope = gate.scope("a")
    account = Account(spending, scope, ChatRequest("x" * 84, model="m", max_tokens=900))
    for _ in range(8):
        account.goes_out(gate, await gate.acquire(scope, 0))
        assert spending.reserved == 1000
        account.answered(1.0, Used(50, 20))

    # 84 bytes and a message are 25 tokens by estimate, and were 50; of 10 000 a twentieth is still reserved
    assert account.likely() == 50 + 500
    assert (spending.tokens, spending.reserved) == (560, 0)


async def test_the_witness_is_told() -> None:
    """A journal hears what goes out with what is reserved, what was refused, and what nobody will know the cost of."""
    gate, spending, told = Gate(Limits()), Spending(Budget(tokens=10_000)), Told()
    scope = gate.scope("a")
    account = Account(spending, scope, ChatRequest("x" * 84, max_tokens=900), None, told)
    await account.room()
    account.goes_out(gate, await gate.acquire(scope))
    account.refused(1.0, sent=True, unbilled=True)
    account.goes_out(gate, await gate.acquire(scope))
    account.unknown(2.0)
    account.goes_out(gate, await gate.acquire(scope))
    account.refused(3.0, sent=False, unbilled=False)
    account.goes_out(gate, await gate.acquire(scope))
    account.answered(4.0, None)

    out = ("out", 1000)
    assert told.events == [out, ("refused",), out, ("unknown", 1000, False), out, out, ("unknown", 1000, True)]
    assert (spending.requests, spending.assumed, spending.reserved) == (3, 2000, 0)


async def test_what_cannot_be_written_down_is_not_sent() -> None:
    """A full disk before a request: what was reserved for it, here and within the minute, is given back."""
    gate, spending = Gate(Limits(tokens_per_minute=1000)), Spending(Budget(tokens=1000, requests=1))
    scope = gate.scope("a")
    account = Account(spending, scope, ChatRequest("x", max_tokens=900), None, Told(full=True))
    permit = await gate.acquire(scope, 900)

    with pytest.raises(OSError, match="No space left"):
        account.goes_out(gate, permit)

    assert (spending.requests, spending.reserved) == (0, 0)
    assert scope.tokens is not None
    assert scope.tokens.window.taken == 0


async def test_a_call_without_room_leaves_the_minute_alone() -> None:
    """What a budget refuses is not counted among the tokens of the minute."""
    gate, spending = Gate(Limits(tokens_per_minute=1000)), Spending(Budget(tokens=100))
    scope = gate.scope("a")
    permit = await gate.acquire(scope, 900)

    with pytest.raises(BudgetExceeded):
        Account(spending, scope, ChatRequest("x", max_tokens=900)).goes_out(gate, permit)

    assert scope.tokens is not None
    assert scope.tokens.window.taken == 0


EVENTS = ("answered", "unsaid", "refused", "unsent", "unknown")


@given(
    st.lists(st.sampled_from(EVENTS), max_size=12),
    st.sampled_from([{"requests": 4}, {"tokens": 3000}, {"usd": 3.0}, {"requests": 9, "tokens": 4000}]),
    st.sampled_from([None, {"requests": 6}, {"tokens": 5000}]),
    st.sampled_from([900, None]),
)
def test_a_run_counts_as_a_client_does(
    events: list[str], limit: dict[str, Any], own: dict[str, Any] | None, max_tokens: int | None
) -> None:
    """Whatever becomes of its requests, the budget of a run says what the same one of a client would; so does its own.

    A request that one of the two has no room for is taken from neither.
    """
    prices, price = Prices("USD", {"m": Price(1000, 1000)}), Price(1000, 1000)

    async def play() -> None:
        gate = Gate(Limits())
        request = ChatRequest("x" * 84, model="m", max_tokens=max_tokens)
        run = Spending(Budget(**limit), prices)
        theirs = Spending(None if own is None else Budget(**own))
        both = AccountOfRun(run, price, theirs, gate.scope("a"), request, None, None, "m")
        as_run, as_client = Spending(Budget(**limit), prices), Spending(None if own is None else Budget(**own))
        alone = [
            Account(as_run, gate.scope("b"), request, price, None, "m"),
            Account(as_client, gate.scope("c"), request, None, None, "m"),
        ]
        for event in events:
            fits = [await goes_out(account, gate) for account in alone]
            assert await goes_out(both, gate) is all(fits)
            if not all(fits):
                for account in [one for one, fit in zip(alone, fits, strict=True) if fit]:
                    account.refused(1.0, sent=False, unbilled=False)
                break
            for account in (both, *alone):
                end(account, event)
        assert figures(run) == figures(as_run)
        assert figures(theirs) == figures(as_client)
        assert (run.reserved, run.cost_reserved, theirs.reserved) == (0, 0, 0)
        assert gate.in_flight == 0

    asyncio.run(play())


async def goes_out(account: Account, gate: Gate) -> bool:
    """Whether a request had room; the permit is given back."""
    permit = await gate.acquire(account._scope)
    try:
        account.goes_out(gate, permit)
    except BudgetExceeded:
        assert permit.released
        return False
    gate.release(permit)
    return True


def end(account: Account, event: str) -> None:
    if event in {"answered", "unsaid"}:
        account.answered(1.0, Used(50, 20) if event == "answered" else None)
    elif event == "unknown":
        account.unknown(1.0)
    else:
        account.refused(1.0, sent=event == "refused", unbilled=False)


def figures(spending: Spending) -> tuple[float, ...]:
    return (
        *(spending.requests, spending.tokens, spending.assumed, round(spending.cost, 9)),
        *(round(spending.cost_assumed, 9), spending.spent.calls, spending.spent.unknown),
    )


async def test_money_is_reserved_by_the_highest_price() -> None:
    """A prompt that may be audio and an answer that may be images are reserved as such."""
    gate, told = Gate(Limits()), Told()
    spending = Spending(Budget(usd=1.0), Prices("USD", {}))
    price = Price(1, 10, audio=2, image=100)
    account = Account(spending, gate.scope("a"), ChatRequest("x" * 84, max_tokens=900), price, told)
    account.goes_out(gate, await gate.acquire(gate.scope("a")))

    assert spending.cost_reserved == pytest.approx((100 * 2 + 900 * 100) / 1e6)


async def test_a_waiter_is_estimated_anew_when_its_turn_comes() -> None:
    """Calls that queue with max_tokens reserve what is known of the lengths when they are let in."""
    gate, spending = Gate(Limits(tokens_per_minute=10_000, concurrency=100)), Spending(None)
    scope = gate.scope("a")

    async def call() -> float:
        account = Account(spending, scope, ChatRequest("x" * 84, max_tokens=4900))
        permit = gate.admit(scope, account.likely(), asyncio.get_running_loop().time()) or await gate.queue(
            scope, account.likely(), account.likely
        )
        account.goes_out(gate, permit)
        await asyncio.sleep(1)
        gate.settle(permit, 30)
        account.answered(asyncio.get_running_loop().time(), Used(10, 20))
        gate.release(permit)
        return permit.tokens

    reserved = await asyncio.gather(*(call() for _ in range(100)))

    assert reserved[:2] == [5000, 5000]
    assert reserved[-1] < 200
    assert asyncio.get_running_loop().time() < 15


async def test_a_short_answer_keeps_its_rest_until_those_sent_before_it_have_ended() -> None:
    """What it did not use may be needed for a long answer that is still on its way: no minute has more than that."""
    gate = Gate(Limits(tokens_per_minute=10_000))
    scope, sent = gate.scope("a"), []
    assert scope.tokens is not None
    account = Account(Spending(None), scope, ChatRequest("x" * 84, max_tokens=900))
    for _ in range(8):
        account.goes_out(gate, await gate.acquire(scope, 0))
        account.answered(1.0, Used(50, 20))
    for _ in range(2):
        sent.append(await gate.acquire(scope, account.likely()))
        account.goes_out(gate, sent[-1])
    reserved = scope.tokens.window.taken

    gate.settle(sent[1], 60)
    assert scope.tokens.window.taken == reserved
    gate.settle(sent[0], 60)
    assert scope.tokens.window.taken == 120


async def test_a_budget_beside_a_number_that_is_found() -> None:
    """Calls that are followed to their end, because what may be in flight is found, count in a budget as others do."""
    gate, spending = Gate(Limits(concurrency="auto")), Spending(Budget(tokens=10_000))
    scope = gate.scope("a")
    account = Account(spending, scope, ChatRequest("x" * 84, model="m", max_tokens=900))
    for _ in range(9):
        account.goes_out(gate, permit := await gate.acquire(scope, 0))
        account.answered(1.0, Used(50, 20))
        gate.release(permit)

    assert (spending.tokens, spending.reserved) == (630, 0)


async def test_a_stream_that_was_left_is_estimated_from_its_text() -> None:
    """Prompt and text, reasoning included."""
    account = Account(Spending(None), Gate(Limits()).scope("a"), ChatRequest("abcd"))
    message = AssistantMessage("x" * 40, reasoning_content="y" * 4)
    usage = account.estimated(ChatCompletion(choices=(Choice(message=message),)))

    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (5, 11, 16)

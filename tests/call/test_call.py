"""One logical call: its clocks, its attempts, its ledger. Attempts are scripted, time is virtual."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

import attrs
import pytest
from yarl import URL

from anyfast_async import (
    AnyFastError,
    APIConnectionError,
    AuthenticationError,
    Budget,
    BudgetExceeded,
    ChatRequest,
    ClientStateError,
    DeadlineExceeded,
    InternalServerError,
    Limits,
    QueueFullError,
    RateLimitError,
    RetryPolicy,
    Timeouts,
    Usage,
)
from anyfast_async._call.call import Call
from anyfast_async._call.endpoint import CHAT
from anyfast_async._call.spec import Spec
from anyfast_async._client.shared import Shared
from anyfast_async._core.retry.retry_budget import RetryBudget
from anyfast_async._http.api_key import Key
from anyfast_async._http.exchange import Exchange
from anyfast_async._http.request_headers import Route
from anyfast_async._limits.budget import Spending
from anyfast_async._limits.reservation import Account
from anyfast_async._limits.scope import Permit
from anyfast_async._map.early_end import Ending
from anyfast_async.errors import Billed, RetryClass

pytestmark = pytest.mark.virtual

Step: TypeAlias = "AnyFastError | str | float | Callable[[Permit], Awaitable[Any]]"
"""What an attempt does: fail, give a result, wait so many seconds, or call."""


@pytest.fixture(autouse=True)
async def _nothing_left(no_leaks: None) -> None:
    """No task outlives its test."""


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are the longest that they may be, so that they can be added up."""
    monkeypatch.setattr(random, "random", lambda: 1.0)


def now() -> float:
    return asyncio.get_running_loop().time()


class Scripted(Call[Any]):
    """A call whose attempts are written down beforehand; it notes when they were made."""

    def __init__(self, steps: Iterable[Step], sent: list[float], *given: Any) -> None:
        super().__init__(*given)
        self._steps = list(steps)
        self._sent_times = sent

    async def attempt(self, permit: Permit, _: Exchange | None = None) -> Any:
        self._sent_times.append(now())
        self.on_sent(now())
        while self._steps:
            match self._steps.pop(0):
                case AnyFastError() as error:
                    raise error
                case str(result):
                    return result
                case int() | float() as seconds:
                    await asyncio.sleep(seconds)
                case step:
                    await step(permit)
        return "done"


ROUTE = Route("POST", URL("http://127.0.0.1/v1/chat/completions"))


async def asked() -> str:
    """A key that may be another one every time."""
    return "sk-0123456789abcdef"


class Rig:
    """Makes calls that share a gate, a budget and what is running."""

    def __init__(
        self,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        *,
        budget: Budget | None = None,
        retry_budget: float = 1000.0,
        scope: str = "a",
        **policy: Any,
    ) -> None:
        self.spending = Spending(budget)
        self.retry_budget = RetryBudget(0.2, reserve=retry_budget)
        self.shared = Shared(limits, self.retry_budget, self.spending)
        self.gate = self.shared.gate
        self.running = self.shared.in_flight
        self.policy = RetryPolicy(**policy)
        self.sent: list[float] = []

    def call(
        self, *steps: Step, total: float | None = None, patient: bool = False, renewable: bool = False, scope: str = "a"
    ) -> Scripted:
        spec = Spec(
            self.gate.scope(scope),
            self.gate,
            self.policy,
            Timeouts(total=total, response=None),
            Key(asked if renewable else "sk-0123456789abcdef"),
            ROUTE,
            attrs.evolve(CHAT, usage_of=None),
        )
        account = Account(self.spending, spec.scope, ChatRequest("x" * 84, max_tokens=100))
        return Scripted(steps, self.sent, self.shared, spec, account, Ending() if patient else None)

    @property
    def idle(self) -> bool:
        return (self.gate.in_flight, self.gate.queued, self.spending.reserved) == (0, 0, 0.0)


def server_error(kind: RetryClass = "refused", status: int = 500, billed: Billed = "no") -> InternalServerError:
    error = InternalServerError(f"{status}")
    error.status_code, error.retry_class, error.billed = status, kind, billed
    return error


def throttled(retry_after: float | None = None) -> RateLimitError:
    error = RateLimitError("429")
    error.status_code, error.retry_class, error.retry_after = 429, "throttled", retry_after
    return error


def broken(kind: RetryClass = "ambiguous") -> APIConnectionError:
    error = APIConnectionError("broken")
    error.retry_class = kind
    return error


def outcomes(ledger: Any) -> list[tuple[int, str, int | None, str]]:
    return [(a.number, a.outcome, a.status_code, a.billed) for a in ledger]


# -- attempts --------------------------------------------------------------------------------------------------------


async def test_straight_path_is_one_attempt() -> None:
    """A call that succeeds has one attempt in its ledger, with its time, and holds nothing afterwards."""
    rig = Rig()
    call = rig.call(2.5, "yes")

    assert await call.run() == "yes"
    assert outcomes(call.ledger) == [(1, "ok", 200, "yes")]
    assert call.ledger[0].seconds == 2.5
    assert rig.gate.in_flight == 0


async def test_first_attempt_uses_no_tenacity(monkeypatch: pytest.MonkeyPatch) -> None:
    """The retry machinery is built only after a failure."""
    monkeypatch.setattr("tenacity.AsyncRetrying", None)

    assert await Rig().call("yes").run() == "yes"


async def test_four_attempts_then_the_last_error() -> None:
    """Failures 1, 2 and 4 s apart; the error lists every attempt with its wait, oldest first."""
    rig = Rig()
    call = rig.call(*(server_error(status=s) for s in (500, 502, 503, 529)))

    with pytest.raises(InternalServerError, match="529") as caught:
        await call.run()

    assert rig.sent == [0.0, 1.0, 3.0, 7.0]
    assert [(a.status_code, a.delay) for a in caught.value.attempts] == [(500, 1), (502, 2), (503, 4), (529, 0)]
    assert [a.number for a in caught.value.attempts] == [1, 2, 3, 4]
    assert rig.idle


async def test_success_after_failures_keeps_the_ledger() -> None:
    """A call that succeeds in the end tells what came before."""
    call = Rig().call(server_error(), broken("unsent"), "yes")

    assert await call.run() == "yes"
    assert [a.outcome for a in call.ledger] == ["server", "connection", "ok"]


async def test_every_attempt_passes_the_gate() -> None:
    """Retries are admitted like first attempts: the minute's limit holds for both, and waits hold no place."""
    rig = Rig(Limits(concurrency=1, requests_per_minute=2))
    retried = rig.call(server_error(), "yes")
    other = rig.call("yes")

    await asyncio.gather(retried.run(), other.run())

    assert rig.sent == [0.0, 0.0, pytest.approx(60.1)]


async def test_ambiguous_failure_is_sent_once_more() -> None:
    """504 and the like: two requests in all, and the error says that both may have been billed."""
    rig = Rig()

    with pytest.raises(InternalServerError) as caught:
        await rig.call(*[server_error("ambiguous", 504, "maybe")] * 4).run()

    assert len(rig.sent) == 2
    assert [a.billed for a in caught.value.attempts] == ["maybe", "maybe"]


async def test_stale_connection_is_sent_again_at_once() -> None:
    """A stale connection costs no time and no attempt: four failures more are met before the call ends."""
    rig = Rig()

    with pytest.raises(InternalServerError) as caught:
        await rig.call(broken("stale"), *[server_error()] * 4).run()

    assert rig.sent == [0.0, 0.0, 1.0, 3.0, 7.0]
    assert caught.value.attempts[0].billed == "maybe"


async def test_stale_resend_needs_no_budget() -> None:
    """With an empty retry budget a stale connection is met with a resend all the same."""
    rig = Rig(retry_budget=0.0)
    rig.retry_budget.ratio = 0.0

    assert await rig.call(broken("stale"), "yes").run() == "yes"


async def test_outage_is_not_multiplied() -> None:
    """500 calls against a gateway that is down send at most 20 % more than 500, and the reserve."""
    rig = Rig(retry_budget=10.0)
    calls = [rig.call(*[server_error()] * 4) for _ in range(500)]

    results = await asyncio.gather(*(call.run() for call in calls), return_exceptions=True)

    assert {type(result) for result in results} == {InternalServerError}
    # The reserve, a fifth of the calls, and one a second while it lasts.
    assert len(rig.sent) <= 500 + 10 + 100 + 10


async def test_failing_calls_side_by_side_keep_their_own_errors() -> None:
    """1 000 calls fail at once: each raises its own error with its own attempts; none returns None."""
    rig = Rig(Limits(concurrency=1000), retry_budget=10_000)

    async def one(number: int) -> AnyFastError:
        errors = [InternalServerError(f"{number}") for _ in range(4)]
        for error in errors:
            error.retry_class = "refused"
        with pytest.raises(InternalServerError) as caught:
            await rig.call(*errors).run()
        return caught.value

    found = await asyncio.gather(*(one(number) for number in range(1000)))

    assert [str(error) for error in found] == [str(number) for number in range(1000)]
    assert {len(error.attempts) for error in found} == {4}


# -- throttling ------------------------------------------------------------------------------------------------------


async def test_throttling_waits_in_the_gate_and_costs_no_attempt() -> None:
    """Throttled three times, then failed three times, a call with four attempts still succeeds."""
    rig = Rig()

    result = await rig.call(throttled(), throttled(), throttled(), *[server_error()] * 3, "yes").run()

    assert result == "yes"
    assert rig.sent == [pytest.approx(at) for at in (0.0, 1.2, 3.6, 8.4, 9.4, 11.4, 15.4)]


async def test_the_servers_delay_is_honoured() -> None:
    """``Retry-After: 7`` holds for 7 s, plus up to a tenth."""
    rig = Rig()

    await rig.call(throttled(7), "yes").run()

    assert rig.sent == [0.0, pytest.approx(7.7)]


async def test_throttled_call_loses_patience() -> None:
    """Throttled on and on, a single call fails when the next hold would end after 120 s."""
    rig = Rig()

    with pytest.raises(RateLimitError) as caught:
        await rig.call(*[throttled()] * 20).run()

    assert now() <= 120
    assert rig.sent == [pytest.approx(1.2 * at) for at in (0, 1, 3, 7, 15, 31, 63)]
    assert [a.outcome for a in caught.value.attempts] == ["rate_limit"] * 7


async def test_patient_call_is_never_failed_by_throttling() -> None:
    """The same in a map: it waits a hundred holds and succeeds."""
    rig = Rig()

    assert await rig.call(*[throttled()] * 100, "yes", patient=True).run() == "yes"
    assert now() > 6000


@pytest.mark.parametrize("setting", ["max_retry_after", "total"])
async def test_too_long_a_delay_fails_at_once(setting: str) -> None:
    """A server that asks for more than ``max_retry_after``, or than is left, is not waited for."""
    rig = Rig()

    call = rig.call(throttled(121)) if setting == "max_retry_after" else rig.call(throttled(31), total=30)
    with pytest.raises(RateLimitError) as caught:
        await call.run()

    assert now() == 0.0
    assert len(caught.value.attempts) == 1


async def test_hold_of_one_model_leaves_the_others() -> None:
    """While one scope is held, calls on another go on at once."""
    rig = Rig()
    held = asyncio.create_task(rig.call(throttled(30), "yes").run())
    await asyncio.sleep(1)

    await rig.call("yes", scope="b").run()

    assert now() == 1.0
    await held


async def test_throttled_call_beside_an_open_one_goes_on_after_the_hold() -> None:
    """A long call on the same scope does not keep a throttled one from its next attempt."""
    rig = Rig()
    long = asyncio.create_task(rig.call(10_000).run())
    await asyncio.sleep(0)

    try:
        async with asyncio.timeout(1000):
            await rig.call(throttled(2), "yes").run()
    finally:
        long.cancel()
        await asyncio.wait({long})

    assert now() == pytest.approx(2.2)


# -- clocks ----------------------------------------------------------------------------------------------------------


async def test_total_ends_a_hanging_attempt() -> None:
    """``Timeouts.total`` ends an attempt that takes too long, at its second."""
    rig = Rig()

    with pytest.raises(DeadlineExceeded, match=r"longer than 30 s \(Timeouts.total\)"):
        await rig.call(1000, total=30).run()

    assert now() == 30.0
    assert rig.idle


async def test_total_says_that_a_request_in_flight_may_be_billed() -> None:
    """The request that was on its way when the time ran out stands in the ledger, as billed "maybe"."""
    with pytest.raises(DeadlineExceeded) as caught:
        await Rig().call(1000, total=30).run()

    assert caught.value.billed == "maybe"
    assert len(caught.value.attempts) == 1
    assert "still queued" not in str(caught.value)


async def test_closing_says_that_a_request_in_flight_may_be_billed() -> None:
    """The request that was on its way when the client was closed stands in the ledger, as billed "maybe"."""
    rig = Rig()
    task = asyncio.create_task(rig.call(1000).run())
    await asyncio.sleep(1)
    rig.running.stop()

    with pytest.raises(ClientStateError) as caught:
        await task

    assert caught.value.billed == "maybe"
    assert len(caught.value.attempts) == 1


async def test_total_counts_the_queue() -> None:
    """A call that is never admitted fails at its second, says so, and may not have been billed."""
    rig = Rig(Limits(concurrency=1))
    blocking = asyncio.create_task(rig.call(100).run())
    await asyncio.sleep(0)

    with pytest.raises(DeadlineExceeded, match="still queued") as caught:
        await rig.call("yes", total=30).run()

    assert (now(), caught.value.billed, caught.value.attempts) == (30.0, "no", ())
    assert rig.gate.queued == 0
    await blocking


async def test_total_counts_the_waits_and_tells_what_was_before() -> None:
    """It ends a wait between attempts; the error lists those made and names the last one's error."""
    rig = Rig(backoff=(20, 60))

    with pytest.raises(DeadlineExceeded, match="the last attempt ended with: 502") as caught:
        await rig.call(server_error(status=500), server_error("ambiguous", 502, "maybe"), total=30).run()

    assert now() == 30.0
    assert [a.status_code for a in caught.value.attempts] == [500, 502]
    assert caught.value.billed == "maybe"


async def test_callers_own_timeout_is_the_callers() -> None:
    """``asyncio.timeout`` around a call ends it with the caller's ``TimeoutError``, not with ours."""
    rig = Rig()

    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(5):
            await rig.call(1000, total=30).run()

    assert type(caught.value) is TimeoutError
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert rig.idle


async def test_both_clocks_at_the_same_time() -> None:
    """Where the caller's clock and the total run out together, an error comes out, and nothing stays cancelled."""
    rig = Rig()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(30):
            await rig.call(1000, total=30).run()

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert rig.idle


async def test_timeout_error_of_an_attempt_is_not_taken_for_the_total() -> None:
    """A ``TimeoutError`` from inside, such as a key function's, comes out as it is."""
    own = TimeoutError("the key service")

    async def fails(_: Permit) -> None:
        raise own

    with pytest.raises(TimeoutError) as caught:
        await Rig().call(fails, total=30).run()

    assert caught.value is own


# -- cancellation and closing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["queue", "attempt", "wait"])
async def test_cancellation_comes_out_and_gives_everything_back(where: str) -> None:
    """Cancelled in the queue, in an attempt or between two, a call ends as cancelled, and sends nothing more."""
    rig = Rig(Limits(concurrency=1), budget=Budget(tokens=1000))
    steps: dict[str, tuple[Step, ...]] = {"queue": ("yes",), "attempt": (100.0,), "wait": (server_error(), "yes")}
    blocking = asyncio.create_task(rig.call(10).run()) if where == "queue" else None
    await asyncio.sleep(0)
    task = asyncio.create_task(rig.call(*steps[where]).run())
    await asyncio.sleep(0.5)
    sent = len(rig.sent)

    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    assert len(rig.sent) == sent
    if blocking is not None:
        await blocking
        rig.spending.reserved -= 200  # it was not settled: it has no usage
    assert rig.idle
    assert rig.running.members == set()


@pytest.mark.parametrize("where", ["attempt", "wait"])
async def test_stopping_ends_the_call_and_not_its_task(where: str) -> None:
    """A stopped call raises ``ClientStateError``; the task that made it is not cancelled and goes on."""
    rig = Rig()
    survived = False

    async def caller() -> None:
        nonlocal survived
        with pytest.raises(ClientStateError, match="closed"):
            await rig.call(*((100.0,) if where == "attempt" else (server_error(), "yes"))).run()
        await asyncio.sleep(1)
        survived = True

    task = asyncio.create_task(caller())
    await asyncio.sleep(0.5)
    rig.running.stop()
    await task

    assert survived
    assert task.cancelling() == 0
    assert now() == 1.5
    assert rig.idle


async def test_stopping_at_the_deadline_breaks_nothing() -> None:
    """The client is closed in the very tick in which the total runs out: both ends agree on an error."""
    rig = Rig()

    def stop() -> None:
        rig.running.stop()

    task = asyncio.create_task(rig.call(100, total=5).run())
    await asyncio.sleep(0)
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    asyncio.get_running_loop().call_at(5, stop)
    result = await asyncio.gather(task, return_exceptions=True)

    assert isinstance(result[0], (ClientStateError, DeadlineExceeded))
    assert failures == []


async def test_running_waits_for_the_last_one() -> None:
    """``ended`` returns when the last call has, and at the latest when its time is up."""
    rig = Rig()
    tasks = [asyncio.create_task(rig.call(seconds).run()) for seconds in (1, 2, 3)]
    await asyncio.sleep(0)

    await rig.running.ended(100)
    assert now() == 3.0
    task = asyncio.create_task(rig.call(50).run())
    await asyncio.sleep(0)
    await rig.running.ended(10)
    assert now() == 13.0
    await asyncio.gather(task, *tasks)
    await rig.running.ended(10)
    assert now() == 53.0


# -- keys, budgets, limits -------------------------------------------------------------------------------------------


def refused_key() -> AuthenticationError:
    error = AuthenticationError("401: no")
    error.status_code = 401
    return error


async def test_renewable_key_is_asked_for_once_more() -> None:
    """After a 401 a key that may have changed is tried once more, at once; a second 401 ends the call."""
    rig = Rig()

    assert await rig.call(refused_key(), "yes", renewable=True).run() == "yes"
    with pytest.raises(AuthenticationError) as caught:
        await rig.call(refused_key(), refused_key(), renewable=True).run()

    assert len(caught.value.attempts) == 2
    assert now() == 0.0


async def test_fixed_key_is_not_tried_again() -> None:
    """After a 401 a key that cannot change is not sent again."""
    with pytest.raises(AuthenticationError) as caught:
        await Rig().call(refused_key(), "yes").run()

    assert len(caught.value.attempts) == 1
    assert str(caught.value) == "401: no (check the key that was passed, or the key's state in the gateway's console)"


async def test_budget_of_requests_counts_every_attempt() -> None:
    """Two requests are allowed: the third attempt of a call is refused, and was not sent."""
    rig = Rig(budget=Budget(requests=2))

    with pytest.raises(BudgetExceeded, match="2 requests"):
        await rig.call(*[server_error()] * 4).run()

    assert len(rig.sent) == 2
    assert rig.gate.in_flight == 0


async def test_refused_by_the_budget_is_no_attempt() -> None:
    """Nothing was sent, so the ledger has no attempt."""
    with pytest.raises(BudgetExceeded) as caught:
        await Rig(budget=Budget(requests=0)).call("yes").run()

    assert caught.value.attempts == ()


async def test_budget_of_tokens_reserves_and_settles() -> None:
    """Calls in flight reserve their estimate; what they did not use is free for the next one."""
    rig = Rig(budget=Budget(tokens=450))
    first = rig.call()

    async def settles(permit: Permit) -> None:
        await asyncio.sleep(10)
        first.settle(permit, Usage(prompt_tokens=20, completion_tokens=30, total_tokens=50))

    first = rig.call(settles, "yes")
    task = asyncio.create_task(first.run())
    await asyncio.sleep(1)
    assert rig.spending.reserved == 200  # 400 bytes are 100 tokens, and max_tokens=100
    second = asyncio.create_task(rig.call(1).run())
    await asyncio.sleep(0.5)
    with pytest.raises(BudgetExceeded, match="450 tokens has no room: 0 spent, 400 reserved"):
        await rig.call("yes").run()
    await task
    await second

    assert rig.spending.tokens == 50


async def test_failed_attempts_give_their_reservation_back() -> None:
    """What a failed attempt reserved is free again before the next one."""
    rig = Rig(budget=Budget(tokens=200))

    assert await rig.call(*[server_error()] * 3, "yes").run() == "yes"


async def test_queue_full_is_not_waited_for() -> None:
    """A call that the queue has no room for fails at once, without an attempt."""
    rig = Rig(Limits(concurrency=1, max_queued=0))
    blocking = asyncio.create_task(rig.call(10).run())
    await asyncio.sleep(0)

    with pytest.raises(QueueFullError) as caught:
        await rig.call("yes").run()

    assert (now(), caught.value.attempts) == (0.0, ())
    await blocking


async def test_time_in_the_queue_is_told() -> None:
    """``trace.queue`` is the time that our own limits made the call wait."""
    rig = Rig(Limits(concurrency=1))
    blocking = asyncio.create_task(rig.call(10).run())
    await asyncio.sleep(0)
    call = rig.call(2, "yes")

    await call.run()

    assert (call.queued, call.ledger[0].seconds) == (10.0, 2.0)
    await blocking

"""Which failures are met with another attempt, after how long, and that tenacity's traps are not ours."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from anyfast_async import AnyFastError, APIConnectionError, RateLimitError, RetryPolicy
from anyfast_async._core.retry.outage import Company
from anyfast_async._core.retry.retry_budget import RetryBudget
from anyfast_async._retry.retries import Retries, call_again
from anyfast_async.errors import RetryClass

pytestmark = pytest.mark.virtual


def failure(kind: RetryClass, retry_after: float | None = None) -> AnyFastError:
    error: AnyFastError = RateLimitError("slow down") if retry_after is not None else APIConnectionError("broken")
    error.retry_class = kind
    if isinstance(error, RateLimitError):
        error.retry_after = retry_after
    return error


def retries(*, patient: bool = False, deadline: float | None = None, budget: float = 100.0, **policy: Any) -> Retries:
    return Retries(RetryPolicy(**policy), RetryBudget(0.2, reserve=budget), patient, deadline)


def delays(of: Retries, *errors: AnyFastError, rand: float = 1.0, held_until: float = 0.0) -> list[float | None]:
    return [of.delay(error, now=0.0, held_until=held_until, rand=rand) for error in errors]


# -- the verdicts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["unsent", "refused"])
def test_attempts_are_counted(kind: RetryClass) -> None:
    """Four attempts are one and three more, the waits doubling from 1 s; then the error stands."""
    assert delays(retries(), *[failure(kind)] * 4) == [1.0, 2.0, 4.0, None]


def test_half_of_the_wait_is_random() -> None:
    """The wait is 0.5 to 1 of the full one, and never above the longest."""
    policy: dict[str, Any] = {"attempts": 9, "backoff": (1, 30)}

    low = delays(retries(**policy), *[failure("refused")] * 8, rand=0.0)
    high = delays(retries(**policy), *[failure("refused")] * 8, rand=1.0)

    assert low == [0.5, 1, 2, 4, 8, 15, 15, 15]
    assert high == [1, 2, 4, 8, 16, 30, 30, 30]


def test_single_attempt_means_no_retry() -> None:
    """With ``attempts=1`` nothing is ever sent again, throttled and stale included."""
    kinds: list[RetryClass] = ["never", "unsent", "stale", "refused", "throttled", "ambiguous", "clock"]

    found = {kind: delays(retries(attempts=1, resend_after_timeout=True), failure(kind)) for kind in kinds}

    assert found == {kind: [None] for kind in kinds}


def test_hopeless_is_not_repeated() -> None:
    """What would fail again is not sent again."""
    assert delays(retries(), failure("never")) == [None]


def test_ambiguous_is_sent_again_once() -> None:
    """A request that may have been worked on gets one more attempt, whatever ``attempts`` says."""
    assert delays(retries(attempts=9), failure("ambiguous"), failure("ambiguous")) == [1.0, None]


def test_ambiguous_counts_over_other_failures() -> None:
    """Between two ambiguous failures another one does not reset the count."""
    given = failure("ambiguous"), failure("refused"), failure("ambiguous")

    assert delays(retries(attempts=9), *given) == [1.0, 2.0, None]


def test_stale_connection_is_free_once() -> None:
    """The first stale connection costs no wait, no attempt and no budget; the second is an ambiguous failure."""
    of = retries(budget=0.5)

    assert delays(of, failure("stale")) == [0.0]
    assert (of.spent, of.budget._saved) == ([], 0.5)
    assert delays(retries(attempts=9), *[failure("stale")] * 3) == [0.0, 1.0, None]


def test_timeout_is_not_repeated_unless_asked() -> None:
    """After our own clock ran out, nothing is sent again; with ``resend_after_timeout`` once."""
    assert delays(retries(), failure("clock")) == [None]
    assert delays(retries(resend_after_timeout=True), failure("clock"), failure("clock")) == [1.0, None]


def test_throttling_uses_up_no_attempt() -> None:
    """Ten throttled answers later a failed attempt is still the first; the limiter does the waiting."""
    of = retries()

    assert delays(of, *[failure("throttled")] * 10) == [0.0] * 10
    assert delays(of, failure("refused")) == [1.0]


def test_throttling_ends_with_patience() -> None:
    """A single call gives up when the hold would last longer than ``throttle_patience`` after the first answer."""
    of = retries(throttle_patience=120)

    assert of.delay(failure("throttled"), now=10.0, held_until=15.0, rand=1) == 0.0
    assert of.delay(failure("throttled"), now=90.0, held_until=130.0, rand=1) == 0.0
    assert of.delay(failure("throttled"), now=100.0, held_until=130.1, rand=1) is None


def test_patient_call_is_throttled_for_ever() -> None:
    """In a map throttling never ends a row, however long it lasts and whatever the server asks for."""
    of = retries(patient=True)

    found = [of.delay(failure("throttled", 9999.0), now=t, held_until=t + 9999, rand=1) for t in range(0, 10**6, 10**4)]

    assert set(found) == {0.0}


@pytest.mark.parametrize("kind", ["throttled", "refused"])
def test_too_long_a_wait_fails_at_once(kind: RetryClass) -> None:
    """A server that asks for more than ``max_retry_after``, or than the time left, is not waited for."""
    assert delays(retries(max_retry_after=120), failure(kind, 120.5)) == [None]
    assert delays(retries(deadline=30), failure(kind, 31)) == [None]


def test_the_servers_delay_is_a_lower_bound() -> None:
    """A delay that the server asks for is kept, times 1 to 1.1; a shorter one does not shorten ours."""
    assert delays(retries(), failure("refused", 20), rand=0.0) == [20.0]
    assert delays(retries(), failure("refused", 20), rand=1.0) == [22.0]
    assert delays(retries(), failure("refused", 0.1), rand=1.0) == [1.0]


def test_empty_budget_ends_a_single_call() -> None:
    """Without budget a call raises its last error; what was never sent needs none."""
    of = retries(budget=1.0)

    assert delays(of, failure("refused"), failure("refused")) == [1.0, None]
    assert delays(retries(budget=0.0), failure("unsent")) == [1.0]


def test_empty_budget_makes_a_patient_call_wait() -> None:
    """In a map an empty budget delays the row by the longest backoff, and uses up no attempt."""
    of = retries(budget=0.0, patient=True)

    assert delays(of, *[failure("refused")] * 20) == [30.0] * 20


# -- in company ------------------------------------------------------------------------------------------------------


def in_company(of: Retries, kind: RetryClass, company: Company, at: float = 0.0) -> float | None:
    return of.delay(failure(kind), now=at, held_until=0.0, rand=1.0, company=company)


def test_rows_do_not_spend_their_tries_on_an_outage() -> None:
    """While the gateway is away a row waits, whatever it failed with, and however often it tries for all of them."""
    of, away = retries(patient=True), Company(3, {3}, 0.0, probe=False)

    kinds: list[RetryClass] = ["unsent", "refused", "ambiguous", "cut"]
    assert [0.0] * 4 == [in_company(of, kind, away) for kind in kinds]
    assert [0.0] * 50 == [in_company(of, "ambiguous", away._replace(probe=True)) for _ in range(50)]
    assert [1.0, None] == [in_company(of, "ambiguous", Company(stretch, {3})) for stretch in (4, 5)]


def test_rows_are_sent_again_once_for_each_outage() -> None:
    """Three times at most."""
    of, outages = retries(patient=True), {1, 2, 3, 4}

    assert [0.0, 0.0, 0.0, None] == [in_company(of, "ambiguous", Company(n, outages, 0.0)) for n in (1, 2, 3, 4)]


def test_patience_with_an_outage_ends() -> None:
    """Then failures count, and what may have been billed is the row's own."""
    of, away = retries(patient=True, outage_patience=100), Company(1, {1}, 0.0)

    assert 0.0 == in_company(of, "refused", away, 99.0)
    assert [1.0, 2.0, 4.0, None] == [in_company(of, "refused", away, 100.0) for _ in range(4)]


def test_cut_answer_is_asked_for_again_by_rows_only() -> None:
    """After the head of a success: a single call is not sent again, a row once."""
    assert [None] == delays(retries(), failure("cut"))
    assert [1.0, None] == delays(retries(patient=True), *[failure("cut")] * 2)


def test_what_may_be_billed_is_never_sent_again_without_retries() -> None:
    """``attempts=1`` holds in an outage too."""
    assert None is in_company(retries(patient=True, attempts=1), "ambiguous", Company(1, {1}, 0.0))


# -- the loop --------------------------------------------------------------------------------------------------------


class Script:
    """Attempts that fail as told, then succeed."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.slept: list[float] = []
        self.asked: list[AnyFastError] = []

    async def attempt(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def delay(self, error: AnyFastError) -> float | None:
        self.asked.append(error)
        return None if error.retry_class == "never" else float(len(self.asked))


async def test_goes_on_until_it_succeeds() -> None:
    """Every failure is asked about once, waited for as told, and the result is that of the last attempt."""
    errors = [failure("refused") for _ in range(3)]
    script = Script(*errors[1:])

    result = await call_again(errors[0], script.attempt, script.delay, script.sleep)

    assert (result, script.slept, script.asked) == ("done", [1.0, 2.0, 3.0], errors)


async def test_the_last_error_comes_out_as_it_is() -> None:
    """No wrapper: the exception raised is the one that the last attempt ended with."""
    last = failure("never")
    script = Script(last)

    with pytest.raises(APIConnectionError) as caught:
        await call_again(failure("refused"), script.attempt, script.delay, script.sleep)

    assert caught.value is last
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("error", [ValueError("not ours"), KeyboardInterrupt()])
async def test_foreign_errors_are_not_repeated(error: BaseException) -> None:
    """Only our own exceptions are asked about; any other ends the call."""
    script = Script(error)

    with pytest.raises(type(error)):
        await call_again(failure("refused"), script.attempt, script.delay, script.sleep)

    assert len(script.asked) == 1


async def test_cancellation_in_the_wait_comes_out() -> None:
    """Cancelled while it waits for the next attempt, a call ends as cancelled, at once, and sends nothing more."""
    script = Script()
    task = asyncio.create_task(call_again(failure("refused"), script.attempt, lambda _: 100.0, asyncio.sleep))
    await asyncio.sleep(1)

    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    assert asyncio.get_running_loop().time() == 1.0


async def test_cancellation_in_an_attempt_comes_out() -> None:
    """Cancelled while an attempt is on its way, a call ends as cancelled; it is not taken for a failure."""
    started = asyncio.Event()

    async def attempt() -> None:
        started.set()
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(call_again(failure("refused"), attempt, lambda _: 0.0, asyncio.sleep))
    await started.wait()
    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()


async def test_calls_at_once_get_their_own_errors() -> None:
    """1 000 calls that fail side by side: each raises its own last error, none returns None."""

    async def one(number: int) -> AnyFastError:
        errors = [APIConnectionError(f"{number}.{i}") for i in range(3)]
        script = Script(*errors[1:])

        async def attempt() -> str:
            await asyncio.sleep(0.001 * (number % 7))
            return await script.attempt()

        def delay(error: AnyFastError) -> float | None:
            script.delay(error)
            return None if error is errors[-1] else 0.01 * (number % 5)

        with pytest.raises(APIConnectionError) as caught:
            await call_again(errors[0], attempt, delay, asyncio.sleep)
        return caught.value

    found = await asyncio.gather(*(one(number) for number in range(1000)))

    assert [str(error) for error in found] == [f"{number}.2" for number in range(1000)]

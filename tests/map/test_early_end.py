"""What ends a map early, and the clocks of its items: calls through a gate in virtual time, no sockets."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from yarl import URL

from anyfast_async import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    ChatCompletion,
    ChatRequest,
    ConfigurationError,
    DeadlineExceeded,
    InsufficientQuotaError,
    InternalServerError,
    Limits,
    ModelNotFoundError,
    NotSentError,
    RateLimitError,
    Result,
    RetryPolicy,
    Timeouts,
)
from anyfast_async._call.call import Call
from anyfast_async._call.endpoint import CHAT
from anyfast_async._call.spec import Spec
from anyfast_async._client.map_arguments import run_of
from anyfast_async._client.shared import Shared
from anyfast_async._core.answer import completion_of
from anyfast_async._core.journal.row_ids import id_of
from anyfast_async._core.retry.retry_budget import RetryBudget
from anyfast_async._http.api_key import Key
from anyfast_async._http.exchange import Exchange
from anyfast_async._http.request_headers import Route
from anyfast_async._limits.budget import Spending
from anyfast_async._limits.reservation import Account
from anyfast_async._limits.scope import Permit
from anyfast_async._map import map_run
from anyfast_async._map.early_end import Ending
from anyfast_async._map.items import RunPlan
from anyfast_async._map.map_run import MapRun
from anyfast_async.errors import AnyFastError

virtual = pytest.mark.virtual
ROUTE: Final = Route("POST", URL("http://127.0.0.1/v1/chat/completions"))
FREE: Final = attrs.evolve(CHAT, usage_of=None)
"""An endpoint that costs nothing."""
ANSWER: Final = completion_of(
    200,
    {},
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"total_tokens":2}}',
    now=0.0,
)


@pytest.fixture(autouse=True)
async def _nothing_left(no_leaks: None) -> None:
    """No task outlives its test."""


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are the longest that they may be."""
    monkeypatch.setattr(random, "random", lambda: 1.0)


def now() -> float:
    return asyncio.get_running_loop().time()


Script = Callable[[str, int], "AnyFastError | float"]
"""Told the item and how often it has come: seconds that the answer takes, or what the attempt fails with."""


class Rig:
    """Maps over items ``model/text``, the calls of which are scripted."""

    def __init__(self, script: Script, limits: Limits = Limits(), **policy: Any) -> None:  # noqa: B008 - frozen
        self.script = script
        self.takes = 0.0
        """Seconds of an attempt that fails."""
        self.later = math.inf
        """When they become 100."""
        self.policy = RetryPolicy(**policy)
        self.shared = Shared(limits, RetryBudget(0.2, reserve=1000.0), Spending(None))
        self.sent: list[str] = []
        self.at: list[float] = []
        self._seen: Counter[str] = Counter()

    def map(
        self,
        source: Any,
        *,
        total: float | None = None,
        deadline: float | None = None,
        give_up_after: float | None = None,
        **options: Any,
    ) -> MapRun[None]:
        members = self.shared.in_flight.members
        ending = Ending(
            lambda own: [m for m in members if isinstance(m, Call) and m.ending is own],
            deadline=deadline,
            give_up_after=give_up_after,
        )

        async def send(request: ChatRequest, _: bytes, __: object) -> ChatCompletion:
            scope = self.shared.gate.scope(request.model)
            key = Key("sk-0123456789abcdef")
            spec = Spec(scope, self.shared.gate, self.policy, Timeouts(total=total, response=None), key, ROUTE, FREE)
            call = Scripted(self, str(request.user), spec, Account(self.shared.spending, scope, request), ending)
            return call.traced(await call.run())

        plan: RunPlan[None] = RunPlan(
            request_of=lambda item: ChatRequest("x", model=str(item).partition("/")[0], user=str(item)),
            send=send,
            scope_of=lambda request: self.shared.gate.scope(request.model),
            id_of=id_of,
            ending=ending,
            spending=self.shared.spending,
            stream=False,
            into=None,
        )
        given = {"journal": None, "progress": False, "stop_on": ("auth",), "concurrency": 8, "ordered": False}
        return run_of(source, plan, **(given | options))

    async def attempt(self, item: str) -> ChatCompletion:
        self.sent.append(item)
        self.at.append(now())
        self._seen[item] += 1
        step = self.script(item, self._seen[item])
        if isinstance(step, AnyFastError):
            await asyncio.sleep(self.takes if now() < self.later else 100)
            raise step
        await asyncio.sleep(step)
        return ANSWER


class Scripted(Call[ChatCompletion]):
    """The call of an item, as its rig has it."""

    def __init__(self, rig: Rig, item: str, spec: Spec, account: Account, ending: Ending) -> None:
        super().__init__(rig.shared, spec, account, ending)
        self._rig = rig
        self._item = item

    async def attempt(self, _: Permit, __: Exchange | None = None) -> ChatCompletion:
        self.on_sent(now())
        return await self._rig.attempt(self._item)


def rows(count: int, model: str = "m") -> list[str]:
    return [f"{model}/{i}" for i in range(count)]


def kinds(results: list[Result[Any]]) -> dict[str, int]:
    return dict(Counter("ok" if r.error is None else r.error.kind for r in results))


def throttled(retry_after: float | None = None) -> RateLimitError:
    error = RateLimitError("429: slow down")
    error.status_code, error.retry_class, error.retry_after = 429, "throttled", retry_after
    return error


def refused(kind: type[AnyFastError] = InternalServerError) -> AnyFastError:
    error = kind("500: broken")
    error.retry_class, error.billed = "refused", "no"
    return error


def cut() -> APIConnectionError:
    error = APIConnectionError("cut off")
    error.retry_class = "ambiguous"
    return error


# -- an item's total -------------------------------------------------------------------------------------------------


@virtual
async def test_a_rows_total_leaves_out_the_queue() -> None:
    """60 rows of 1 s, two at a time, with a total of 1.5 s: all are answered, though the last waits for 29 s."""
    rig = Rig(lambda *_: 1.0, Limits(concurrency=2))

    results = await rig.map(rows(60), total=1.5, concurrency=64)

    assert (kinds(results), len(rig.sent), now()) == ({"ok": 60}, 60, 30.0)


@virtual
async def test_a_rows_total_leaves_out_throttling() -> None:
    """Refused for 30 s, each refusal taking a second: neither the holds nor the refusals count."""
    rig = Rig(lambda *_: throttled(2) if now() < 30 else 1.0)
    rig.takes = 1.0

    results = await rig.map(rows(20), total=1.5)

    assert kinds(results) == {"ok": 20}
    assert max(len(r.attempts) for r in results) == 3


@virtual
async def test_a_rows_total_leaves_out_outages() -> None:
    """Nothing can be reached for 5 min, after the first answers: no row fails by its total of 2 s."""
    rig = Rig(lambda *_: refused(APIConnectionError) if 3 < now() < 300 else 1.0)

    results = await rig.map(rows(200), total=2)

    assert kinds(results) == {"ok": 200}


@virtual
async def test_a_rows_total_ends_a_hanging_row() -> None:
    """The row that hangs ends with its total after its admission, perhaps billed; the others are answered."""
    rig = Rig(lambda item, _: 1e6 if item == "m/5" else 1.0, Limits(concurrency=2))

    results = await rig.map(rows(20), total=4)

    assert kinds(results) == {"ok": 19, "deadline": 1}
    late = results[5].error
    assert isinstance(late, DeadlineExceeded)
    assert (late.billed, [a.outcome for a in late.attempts]) == ("maybe", ["cancelled"])
    assert "longer than 4 s (Timeouts.total)" in str(late)
    assert rig.at[rig.sent.index("m/5")] == 2.0
    assert now() < 20


@virtual
async def test_a_rows_total_counts_its_own_attempts() -> None:
    """A row that fails while others are answered is at work: its attempts and the waits between them count."""
    rig = Rig(lambda item, _: refused() if item == "m/0" else 1.0)
    rig.takes = 1.0

    results = await rig.map(rows(100), total=5)

    assert kinds(results) == {"ok": 99, "deadline": 1}
    error = results[0].error
    assert error is not None
    assert (error.billed, [a.delay for a in error.attempts]) == ("no", [1.0, 2.0])


@virtual
async def test_rows_do_not_fill_the_queue() -> None:
    """``max_queued`` is for single calls: a map's workers wait however many they are."""
    rig = Rig(lambda *_: 1.0, Limits(concurrency=2, max_queued=4))

    assert kinds(await rig.map(rows(80), concurrency=64)) == {"ok": 80}


# -- errors that concern every item ----------------------------------------------------------------------------------


@virtual
async def test_a_refused_key_ends_what_waits() -> None:
    """Calls that queue when the key is refused are not sent; those in flight are finished."""
    rig = Rig(lambda item, _: AuthenticationError("401") if item == "m/0" else 2.0, Limits(concurrency=2))
    rig.takes = 1.0

    results = await rig.map(rows(100), concurrency=16)

    assert kinds(results) == {"auth": 1, "ok": 1, "not_sent": 98}
    error = results[50].error
    assert isinstance(error, NotSentError)
    assert (error.why, error.billed, error.attempts) == (str(error.__cause__), "no", ())
    assert isinstance(error.__cause__, AuthenticationError)
    assert now() == 2.0


@virtual
async def test_what_may_be_billed_keeps_its_own_error() -> None:
    """A row that waits to be sent again after a cut may have been billed: it is not called unsent."""

    def script(item: str, _: int) -> AnyFastError | float:
        match item:
            case "m/0":
                return cut()
            case "m/1":
                return refused()
            case "m/2":
                return 0.5
        return AuthenticationError("401")

    results = await Rig(script, Limits(concurrency=3)).map(rows(4), concurrency=4)

    found = {r.item: (r.error and (r.error.kind, r.error.billed, len(r.error.attempts))) for r in results}
    assert found == {
        "m/0": ("connection", "maybe", 1),
        "m/1": ("not_sent", "no", 1),
        "m/2": None,
        "m/3": ("auth", "no", 1),
    }


@virtual
async def test_an_item_that_was_refused_before_the_end_is_sent_no_more() -> None:
    """In flight at the end, then throttled: it does not go again."""

    def script(item: str, _: int) -> AnyFastError | float:
        return AuthenticationError("401") if item == "m/0" else throttled()

    rig = Rig(script)
    rig.takes = 1.0
    results = await rig.map(rows(3), concurrency=3)

    assert (kinds(results), len(rig.sent)) == ({"auth": 1, "not_sent": 2}, 3)


# -- errors that concern a model -------------------------------------------------------------------------------------


@virtual
@pytest.mark.parametrize("kind", [InsufficientQuotaError, ModelNotFoundError])
async def test_a_closed_model_leaves_its_rows_unsent(kind: type[AnyFastError]) -> None:
    """The rows of one model fail as far as they were sent, the others are not sent; another model's go on."""
    rig = Rig(lambda item, _: kind("never") if item.startswith("a/") else 1.0)
    rig.takes = 1.0
    mixed = list(itertools.chain(*zip(rows(100, "a"), rows(100, "b"), strict=True)))

    results = await rig.map(mixed, concurrency=8)

    assert kinds(results) == {"ok": 100, kind.kind: 4, "not_sent": 96}
    error = results[-2].error
    assert isinstance(error, NotSentError)
    assert (error.why, error.billed) == ("model 'a': never", "no")


@virtual
async def test_waiting_rows_of_a_closed_model_end() -> None:
    """A quota that says when it is refilled: rows that queue are ended too, and told when to come back."""

    def script(item: str, _: int) -> AnyFastError | float:
        error = InsufficientQuotaError("no more today")
        error.retry_after = 3600.0
        return error if item == "a/3" else 1.0

    rig = Rig(script, Limits(concurrency=2))
    results = await rig.map(rows(20, "a"), concurrency=16)

    assert kinds(results) == {"ok": 3, "quota": 1, "not_sent": 16}
    error = results[10].error
    assert isinstance(error, NotSentError)
    assert error.retry_after == 3600.0
    assert error.retry_at == pytest.approx(time.time() + 3600, abs=100)


@virtual
async def test_an_answered_model_is_not_unknown() -> None:
    """A row that is told so after others of its model were answered fails alone."""
    rig = Rig(lambda item, _: ModelNotFoundError("no channel") if item == "m/50" else 1.0)

    assert kinds(await rig.map(rows(100))) == {"ok": 99, "model": 1}


@virtual
async def test_a_closed_model_is_closed_for_one_run() -> None:
    """The next map asks again."""
    rig = Rig(lambda _, nth: InsufficientQuotaError("used up") if nth == 1 else 1.0)

    assert kinds(await rig.map(rows(10), concurrency=1)) == {"quota": 1, "not_sent": 9}
    assert kinds(await rig.map(rows(1), concurrency=1)) == {"ok": 1}


@virtual
async def test_what_else_stops_a_run_is_named() -> None:
    """``stop_on`` names kinds; iterated over, the run raises that error after what is in flight."""
    rig = Rig(lambda item, _: BadRequestError("no") if item == "m/4" else 1.0)
    rig.takes = 0.5
    run = rig.map(rows(100), concurrency=2, stop_on="bad_request")
    got = []

    with pytest.raises(BadRequestError):
        async with run as results:
            async for result in results:
                got.append(result)  # noqa: PERF401 - it raises

    assert (kinds(got), run.stopped) == ({"ok": 5, "bad_request": 1}, next(r.error for r in got if r.error))


# -- the deadline ----------------------------------------------------------------------------------------------------


@virtual
async def test_the_deadline_of_a_run() -> None:
    """Answered items keep their answers; those in flight may be billed, those that waited or were not taken are not."""
    rig = Rig(lambda item, _: 2.0 if int(item[2:]) < 8 else 100.0, Limits(concurrency=4))

    results = await rig.map(rows(100), deadline=10, concurrency=8)

    assert (kinds(results), now()) == ({"ok": 8, "deadline": 92}, 10.0)
    errors = [r.error for r in results[8:]]
    assert all(isinstance(error, DeadlineExceeded) and error.retryable for error in errors)
    assert [error.billed for error in errors if error] == ["maybe"] * 4 + ["no"] * 88
    assert [len(error.attempts) for error in errors if error] == [1] * 4 + [0] * 88
    assert "the map's deadline of 10 s was over before the answer had come" in str(errors[0])
    assert "deadline of 10 s was over before this was sent; nothing is billed" in str(errors[-1])
    assert len(rig.sent) == 12


@virtual
async def test_a_deadline_that_is_not_met_ends_nothing() -> None:
    """The run ends when it is done, and leaves no timer."""
    loop: Any = asyncio.get_running_loop()

    assert kinds(await Rig(lambda *_: 1.0).map(rows(8), deadline=100, give_up_after=50)) == {"ok": 8}
    assert now() == 1.0
    assert [handle for handle in loop.timers if "Ending" in repr(handle)] == []


@virtual
async def test_a_deadline_after_the_last_answer() -> None:
    """Somebody who takes the results slowly was not too late: nothing ended the run early."""
    run = Rig(lambda *_: 1.0).map(rows(8), deadline=100)
    async with run as results:
        await asyncio.sleep(50)
        first = await anext(results)
        await asyncio.sleep(1000)
        got = [first, *[result async for result in results]]

    assert (kinds(got), run.stopped) == ({"ok": 8}, None)


@virtual
async def test_iterated_over_a_deadline_raises_nothing() -> None:
    """Every item of the source is given, and ``stopped`` says what it was."""
    run = Rig(lambda *_: 4.0).map(rows(100), deadline=10, concurrency=8, ordered=True)
    async with run as results:
        got = [result async for result in results]

    assert (kinds(got), [r.index for r in got]) == ({"ok": 16, "deadline": 84}, list(range(100)))
    assert isinstance(run.stopped, DeadlineExceeded)


@virtual
@pytest.mark.parametrize("awaited", [False, True])
async def test_a_deadline_while_the_source_waits(awaited: bool) -> None:
    """A source that is silent is left a second after the deadline."""
    closed = False

    async def source() -> AsyncIterator[str]:
        nonlocal closed
        try:
            yield "m/0"
            await asyncio.sleep(1e6)
            yield "m/1"
        finally:
            closed = True

    run = Rig(lambda *_: 1.0).map(source(), deadline=10)
    if awaited:
        got = await run
    else:
        async with run as results:
            got = [result async for result in results]

    assert (kinds(got), now(), closed) == ({"ok": 1}, 11.0, True)


@virtual
async def test_a_deadline_of_an_endless_source() -> None:
    """What comes within a second after the deadline is listed as not sent."""

    async def source() -> AsyncIterator[str]:
        for i in itertools.count():
            await asyncio.sleep(0.25)
            yield f"m/{i}"

    got = await Rig(lambda *_: 0.1).map(source(), deadline=10.2)

    assert kinds(got) == {"ok": 40, "deadline": 4}
    assert now() == pytest.approx(11.2)


async def test_a_deadline_of_an_endless_source_that_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not gone through for ever."""
    monkeypatch.setattr(map_run, "LISTING", 0.01)

    got = await Rig(lambda *_: 0.001).map((f"m/{i}" for i in itertools.count()), deadline=0.05)

    assert set(kinds(got)) == {"ok", "deadline"}


# -- waiting in vain -------------------------------------------------------------------------------------------------


@virtual
async def test_giving_up() -> None:
    """Everything is refused: a minute without an answer ends the run, with what came of each row, and when to come."""
    rig = Rig(lambda *_: throttled(25.0))

    results = await rig.map(rows(50), give_up_after=60)

    assert (kinds(results), now()) == ({"not_sent": 50}, 60.0)
    first, last = results[0].error, results[-1].error
    assert isinstance(first, NotSentError)
    assert isinstance(last, NotSentError)
    assert (first.billed, last.attempts, "429" in {str(a.status_code) for a in first.attempts}) == ("no", (), True)
    assert "nothing was answered for 60 s (give_up_after)" in last.why
    assert last.retry_after is not None
    assert 0 < last.retry_after < 30
    assert last.retry_at == pytest.approx(time.time() + last.retry_after, abs=100)


@virtual
async def test_giving_up_is_raised_when_iterated_over() -> None:
    """The rows that were taken come first."""
    run = Rig(lambda item, _: 1.0 if item < "m/3" else throttled(5)).map(rows(10), give_up_after=30, concurrency=4)
    got = []
    with pytest.raises(NotSentError, match="give_up_after"):
        async with run as results:
            async for result in results:
                got.append(result)  # noqa: PERF401 - it raises

    assert kinds(got[:3]) == {"ok": 3}
    assert set(kinds(got[3:])) == {"not_sent"}
    assert 4 <= len(got[3:]) <= 7


@virtual
async def test_what_is_in_flight_is_no_waiting_in_vain() -> None:
    """Answers that take five minutes each: a minute without one ends nothing."""
    assert kinds(await Rig(lambda *_: 300.0).map(rows(20), give_up_after=60)) == {"ok": 20}


@virtual
async def test_a_source_that_is_silent_is_no_waiting_in_vain() -> None:
    """With nothing to send, nothing is given up; and the time before a row came is not its own."""

    async def source() -> AsyncIterator[str]:
        for i in range(3):
            yield f"m/{i}"
            await asyncio.sleep(500)

    rig = Rig(lambda _, nth: throttled(20) if nth == 1 else 1.0)
    assert kinds(await rig.map(source(), give_up_after=60)) == {"ok": 3}


@virtual
async def test_an_attempt_that_hangs_delays_giving_up() -> None:
    """The one that tries while the others wait is let finish; its failure then ends the run."""

    def script(item: str, nth: int) -> AnyFastError | float:
        return throttled(30) if nth == 1 else refused() if item != "m/0" else throttled(5)

    rig = Rig(script)

    rig.later = 30.0
    results = await rig.map(rows(8), give_up_after=60)

    assert set(kinds(results)) == {"not_sent"}
    assert 130 <= now() <= 140


@virtual
async def test_refusals_between_answers_are_no_waiting_in_vain() -> None:
    """A limiter of ten a minute: something is answered every minute, so two minutes of patience end nothing."""
    granted: list[float] = []

    def script(*_: Any) -> AnyFastError | float:
        granted[:] = [at for at in granted if at > now() - 60]
        if len(granted) >= 10:
            return throttled(granted[0] + 60 - now())
        granted.append(now())
        return 1.0

    assert kinds(await Rig(script).map(rows(60), give_up_after=120)) == {"ok": 60}


@virtual
async def test_patience_and_outages() -> None:
    """The shorter one of ``outage_patience`` and ``give_up_after`` ends a run for a gateway that is away."""

    def script(*_: Any) -> AnyFastError | float:
        return refused(APIConnectionError) if now() > 3 else 1.0

    gave_up = await Rig(script).map(rows(100), give_up_after=100)
    at = now()
    failed = await Rig(script, outage_patience=50).map(rows(100), give_up_after=100)

    assert (set(kinds(gave_up)), 100 <= at <= 110) == ({"ok", "not_sent"}, True)
    assert (kinds(failed)["connection"] > 0, now() - at > 50) == (True, True)


@pytest.mark.parametrize("value", [0, -1, True, "5", float("inf"), float("nan")])
def test_seconds_are_checked(value: Any) -> None:
    """The message names the argument and what is allowed."""
    for name in ("deadline", "give_up_after"):
        with pytest.raises(ConfigurationError, match=f"{name} must be a number of seconds above 0, or None, not"):
            Ending(**{name: value})
    Ending(deadline=0.5, give_up_after=3)


# -- with a journal --------------------------------------------------------------------------------------------------


async def test_a_deadline_is_no_items_own_failure(tmp_path: Path) -> None:
    """What it ended is sent by the next run; what was answered is not."""
    path = tmp_path / "run.jsonl"
    first = Rig(lambda item, _: 0.001 if item < "m/4" else 30.0)
    results = await first.map(rows(9), deadline=0.3, journal=path, concurrency=6)
    assert kinds(results) == {"ok": 4, "deadline": 5}

    second = Rig(lambda *_: 0.001)
    again = await second.map(rows(9), journal=path)

    assert ([r.recorded for r in again], kinds(again)) == ([True] * 4 + [False] * 5, {"ok": 9})


async def test_a_model_that_an_earlier_run_answered_is_not_unknown(tmp_path: Path) -> None:
    """It is away, as when all its channels are switched off: its rows are sent again."""
    path = tmp_path / "run.jsonl"
    await Rig(lambda *_: 0.001).map(rows(3), journal=path)

    said = iter([ModelNotFoundError("no channel")])
    results = await Rig(lambda *_: next(said, 0.001)).map(rows(9), journal=path, concurrency=1)

    assert (kinds(results), len(results[3].attempts)) == ({"ok": 9}, 2)


async def test_what_is_recorded_is_given_though_the_run_ends(tmp_path: Path) -> None:
    """A key that is refused at the first new item: recorded answers behind it are in the list all the same."""
    path = tmp_path / "run.jsonl"
    await Rig(lambda *_: 0.001).map(rows(9)[3:], journal=path)

    results = await Rig(lambda *_: AuthenticationError("401")).map(rows(9), journal=path, concurrency=1)

    assert [r.error.kind if r.error else r.recorded for r in results] == ["auth", "not_sent", "not_sent", *[True] * 6]


def test_items_of_an_ended_run_have_their_ids() -> None:
    """Also those that were never taken from the source."""

    @attrs.frozen
    class Row:
        id: int

        def __str__(self) -> str:
            return f"m/{self.id}"

    results = asyncio.run(_awaited(Rig(lambda *_: AuthenticationError("401")).map(map(Row, range(5)), concurrency=1)))

    assert [r.id for r in results] == [0, 1, 2, 3, 4]


async def _awaited(run: MapRun[None]) -> list[Result[None]]:
    return await run

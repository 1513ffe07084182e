"""Exceptions as they are raised, with tracebacks and all: into copies, threads and other processes, 1 000 at a time."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import functools
import inspect
import json
import os
import pickle
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import aioresponses
import pytest

from anyfast_async import AnyFastError, APIStatusError, ChatRequest, RateLimitError, RetryPolicy, ToolRun, errors
from anyfast_async.completions import ChatCompletion, Choice, Usage
from anyfast_async.errors import Attempt, FieldError
from anyfast_async.messages import AssistantMessage, UserMessage

if TYPE_CHECKING:
    from conftest import Connect, RawServers

CLASSES: Final = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, AnyFastError)]
each_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
ENVIRONMENT: Final = {name: value for name, value in os.environ.items() if not name.startswith("ANYFAST_")}


def raised(kind: type[AnyFastError]) -> AnyFastError:
    """An exception with every field set, raised and caught, with a cause, a context and a note."""
    answer = ChatCompletion(
        id="c",
        choices=(Choice(index=0, message=AssistantMessage("so far")),),
        usage=Usage(total_tokens=3),
        request_id="r-1",
    )
    fields: dict[str, Any] = {
        "attempts": (Attempt(1, "rate_limit", 429, 0.5, "no", 5.0), Attempt(2, "connection", None, 1.0, "maybe")),
        "billed": "maybe",
        "body": {"error": {"message": "m", "details": [1, None, {"a": 2.5}]}},
        "code": "c-1",
        "completion": answer,
        "differences": ("a was 1, is 2",),
        "errors": (FieldError("a.b", "is bad"),),
        "host": "one",
        "kind": "k",
        "message": "all of it",
        "param": "p",
        "partial": answer,
        "phase": "answering",
        "pid": 12,
        "reason": "no_finish",
        "rejected": (answer,),
        "request_id": "r-1",
        "retry_after": 7.5,
        "retry_at": 1.7e9,
        "retry_class": "ambiguous",
        "retryable": True,
        "spoken_by": "proxy",
        "status_code": 503,
        "tool_run": ToolRun(history=(UserMessage("Hi"),), completions=(answer,), uses=()),
        "type": "t",
        "why": "the run was over",
    }
    own = {n for c in kind.__mro__ if issubclass(c, AnyFastError) for n in vars(c).get("__annotations__", ())}
    assert own <= set(fields), "a field that this test does not know"
    try:
        try:
            raise LookupError  # noqa: TRY301 - a context
        except LookupError as cause:
            error = kind("what happened")
            for name in own | {"message"}:
                setattr(error, name, fields[name])
            error.add_note("a note")
            raise error from cause
    except AnyFastError as caught:
        return caught


def state(error: BaseException) -> tuple[Any, ...]:
    """What must arrive."""
    fields = {name: value for name, value in vars(error).items() if name != "__notes__"}
    return type(error), str(error), repr(error), error.args, fields, getattr(error, "__notes__", [])


def through_a_thread_pool(error: AnyFastError) -> AnyFastError:
    def fail() -> None:
        raise error

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        found = pool.submit(fail).exception()
    assert isinstance(found, AnyFastError)
    return found


def through_a_thread_of_asyncio(error: AnyFastError) -> AnyFastError:
    def fail() -> None:
        raise error

    async def wait() -> None:
        await asyncio.to_thread(fail)

    with pytest.raises(AnyFastError) as caught:
        asyncio.run(wait())
    return caught.value


def pickled(error: AnyFastError, protocol: int) -> Any:
    return pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own


def pickled_twice(error: AnyFastError) -> Any:
    """As concurrent.futures does on the way back from a process, and a queue behind it once more."""
    return pickled(pickled(error, 5), 4)


WAYS: Final[list[Callable[[AnyFastError], Any]]] = [
    copy.copy,
    copy.deepcopy,
    *(functools.partial(pickled, protocol=protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)),
    pickled_twice,
    through_a_thread_pool,
    through_a_thread_of_asyncio,
]


@each_class
@pytest.mark.parametrize("way", WAYS, ids=[getattr(way, "__name__", f"pickle-{n - 2}") for n, way in enumerate(WAYS)])
def test_raised_exception_arrives_whole(kind: type[AnyFastError], way: Callable[[AnyFastError], Any]) -> None:
    """With all fields, text and notes; of what it was raised with, nothing stands in the way."""
    error = raised(kind)

    assert state(error) == state(way(error))


@each_class
def test_copy_is_another_one(kind: type[AnyFastError]) -> None:
    """A field set on a copy does not appear on the original."""
    error = raised(kind)
    other = copy.copy(error)
    other.request_id = "another"

    assert ("r-1", "another") == (error.request_id, other.request_id)


ELSEWHERE: Final = textwrap.dedent("""
    import pickle, sys
    errors = pickle.load(sys.stdin.buffer)
    told = [(type(e).__name__, str(e), e.attempts, e.partial and e.partial.text, vars(e)) for e in errors]
    pickle.dump((told, errors), sys.stdout.buffer)
""")
"""A process that has imported nothing of ours: it reads exceptions, tells what they say, and sends them back."""


def test_exceptions_cross_to_another_process_and_back() -> None:
    """Every class, with all fields, into an interpreter that knows nothing yet, which imports what it needs."""
    sent = [raised(kind) for kind in CLASSES]

    child = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], input=pickle.dumps(sent), capture_output=True, check=True, env=ENVIRONMENT
    )

    told, back = pickle.loads(child.stdout)  # noqa: S301 - our own
    assert (b"", len(CLASSES)) == (child.stderr, len(back))
    for error, (name, text, attempts, partial, fields), again in zip(sent, told, back, strict=True):
        assert (type(error).__name__, str(error), error.attempts) == (name, text, attempts)
        assert (error.partial.text if error.partial is not None else None) == partial
        assert vars(error) == fields
        assert state(error) == state(again)


async def test_real_failures_travel(raw_server: RawServers, connect: Connect) -> None:
    """What calls really raise, partial answers and ledgers included, arrives as it was."""
    cut = raw_server.stream_head() + raw_server.chunk(raw_server.event("so far"))
    server = await raw_server(
        [cut, "rst"],
        [raw_server.answer(b"<p>Hi", content_type="text/html")],
        ["rst"],  # a stale connection
        ["rst"],  # a fresh one
        ["rst"],  # its resend
        [raw_server.answer({"error": {"message": "no", "code": "c"}}, 429, retry_after="900", x_request_id="r-9")],
    )
    client = connect(server.base_url)
    found: list[AnyFastError] = []
    for how in ("stream", "complete", "complete", "complete"):
        with pytest.raises(AnyFastError) as caught:
            await (client.complete("Hi") if how == "complete" else client.stream("Hi").drain())
        found.append(caught.value)
    found += [result.error for result in await client.map([3], stop_on=()) if result.error is not None]

    assert ["incomplete", "response_shape", "connection", "rate_limit", "validation"] == [one.kind for one in found]
    for error in found:
        for way in WAYS[:-1]:  # the last one starts a loop of its own
            assert state(error) == state(way(error))
    again = pickled(found[0], 5)
    assert ("so far", 1) == (again.partial.text, len(again.attempts))
    again = pickled(found[3], 5)
    assert (900.0, "r-9", 429) == (again.retry_after, again.request_id, again.attempts[0].status_code)


async def test_failed_row_keeps_no_frames(raw_server: RawServers, connect: Connect) -> None:
    """A map may fail a million rows: an error that came back as a value holds no traceback, so no request's bytes."""
    server = await raw_server([raw_server.answer({"error": "no"}, 400)])

    results = await connect(server.base_url).map(["x" * 100_000, 3], stop_on=())

    assert [None, None] == [result.error.__traceback__ for result in results if result.error is not None]


# -- 1 000 at once ---------------------------------------------------------------------------------------------------

NOWHERE: Final = "http://127.0.0.1:9/v1"
MANY: Final = 1000 if os.environ.get("ANYFAST_LONG") else 300


class Gateway:
    """Answers each prompt with its own id and its own failures, in place of aiohttp's connections."""

    STATUSES: Final = ((400,), (500, 502, 403), (503, 404), (504, 504), (500, 401), (429,), (408, 422))
    """What the calls with numbers 0, 1, 2 ... get, one after the other; the first again from the eighth on. On average
    it is less than one retry a call, for which there is budget."""

    def __init__(self, mocked: aioresponses.aioresponses) -> None:
        self.asked: Counter[int] = Counter()
        mocked.post(f"{NOWHERE}/chat/completions", callback=self._answer, repeat=True)

    def _answer(self, _: Any, **sent: Any) -> aioresponses.CallbackResult:
        number = int(json.loads(sent["data"])["messages"][0]["content"])
        self.asked[number] += 1
        status = self.STATUSES[number % 7][self.asked[number] - 1]
        body = {"error": {"message": f"no, {number}", "code": f"c-{number}", "param": str(self.asked[number])}}
        headers = {"x-request-id": f"r-{number}-{self.asked[number]}"}
        if status == 429:
            headers["Retry-After"] = str(1000 + number)
        return aioresponses.CallbackResult(status=status, headers=headers, payload=body)


@pytest.mark.slow
@pytest.mark.virtual
@pytest.mark.parametrize("verb", ["complete", "stream", "map"])
async def test_a_thousand_failures_at_once_are_told_apart(
    mocked: aioresponses.aioresponses, connect: Connect, verb: str
) -> None:
    """Many calls fail side by side: each error has the id, message and attempts of its own call, and none is None."""
    gateway = Gateway(mocked)
    client = connect(NOWHERE, retry=RetryPolicy(retry_ratio=1))
    # In a map throttling never fails a row, so there is none there. A 429 holds its model, so each has one of its own;
    # in a map each row has, because rows of one model that all fail are taken for an outage.
    numbers = [number for number in range(MANY) if verb != "map" or number % 7 != 5]

    async def one(number: int) -> BaseException | None:
        model = f"model-{number}" if number % 7 == 5 else "model"
        try:
            if verb == "complete":
                await client.complete(str(number), model=model)
            else:
                await client.stream(str(number), model=model).drain()
        except AnyFastError as error:
            return error
        return None

    if verb == "map":
        requests = (ChatRequest([{"role": "user", "content": str(n)}], model=f"model-{n}") for n in numbers)
        results = await client.map(requests, concurrency=200, stop_on=())
        found: list[Any] = [result.error for result in results]
    else:
        found = await asyncio.gather(*map(one, numbers))

    wrong = []
    for number, error in zip(numbers, found, strict=True):
        assert isinstance(error, APIStatusError)
        statuses = Gateway.STATUSES[number % 7]
        told = (error.request_id, error.message, error.code, [one.status_code for one in error.attempts])
        wanted = (f"r-{number}-{len(statuses)}", f"no, {number}", f"c-{number}", list(statuses))
        if told != wanted or [one.number for one in error.attempts] != list(range(1, len(statuses) + 1)):
            wrong.append((told, wanted))
        if isinstance(error, RateLimitError):
            assert 1000 + number == error.retry_after
    assert [] == wrong
    assert {number: len(Gateway.STATUSES[number % 7]) for number in numbers} == gateway.asked

"""A map that sends equal requests once: who gets which answer, what is written down, what is counted."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyfast_async import (
    AnyFast,
    AuthenticationError,
    Budget,
    ChatCompletion,
    ChatRequest,
    InternalServerError,
    Limits,
    OutputError,
    Result,
    RetryPolicy,
)
from anyfast_async._core.json import codec
from anyfast_async._limits.budget import Need
from anyfast_async._map import twins
from anyfast_async.errors import Attempt

if TYPE_CHECKING:
    from conftest import Connect, RawServers

    from anyfast_async.simulator import Simulator


@pytest.fixture(autouse=True)
async def _nothing_left(no_leaks: None) -> None:
    """No task and no descriptor outlives its test."""


class Gateway:
    """Stands in for the calls of a client: answers after some turns of the loop, and counts what was sent."""

    def __init__(self, client: AnyFast, *, turns: int = 3, failing: Iterable[str] = ()) -> None:
        self.sent = Counter[str]()
        self.flying = Counter[str]()
        self.most = 0
        self.turns = turns
        self.failing = set(failing)
        client._calls.complete = self.complete  # type: ignore[method-assign]

    async def complete(self, request: Any, options: Any, *, witness: Any = None, **_: Any) -> ChatCompletion:
        prompt = request.messages[-1].content
        self.sent[prompt] += 1
        self.flying[prompt] += 1
        assert self.flying[prompt] == 1, "two of it were on their way at once"
        self.most = max(self.most, self.flying.total())
        if witness is not None:
            witness.goes_out(Need())
        try:
            for _turn in range(self.turns + len(prompt) % 3):
                await asyncio.sleep(0)
        finally:
            self.flying[prompt] -= 1
        if prompt in self.failing:
            error = InternalServerError("no")
            error.status_code, error.attempts = 500, (Attempt(1, "server", 500, 0.1, "no"),)
            raise error
        usage: dict[str, Any] = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": f"<{prompt}>"},
            "finish_reason": "stop",
        }
        return codec.structure({"id": "c", "model": "m", "choices": [choice], "usage": usage}, ChatCompletion)


def made() -> AnyFast:
    return AnyFast("sk-0123456789abcdef", model="gemini-2.5-pro", base_url="http://127.0.0.1:1/v1")


def tokens(results: list[Result[Any]]) -> int:
    return sum(r.row()["prompt_tokens"] + r.row()["completion_tokens"] for r in results if r.ok)


# -- in one run ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3, 64])
@pytest.mark.parametrize("ordered", [False, True])
async def test_equal_requests_are_sent_once(concurrency: int, ordered: bool) -> None:
    """Every item has its answer, in its place; what was used is counted once; who was sent is named."""
    client = made()
    gateway = Gateway(client)
    prompts = [f"q{i * i % 7}" for i in range(200)]

    async with client.map(iter(prompts), dedupe=True, concurrency=concurrency, ordered=ordered) as run:
        results = [result async for result in run]

    if ordered:
        assert list(range(200)) == [r.index for r in results]
    results.sort(key=lambda r: r.index)
    assert [(i, f"<{p}>") for i, p in enumerate(prompts)] == [(r.index, r.text) for r in results]
    assert {1} == set(gateway.sent.values())
    assert len(set(prompts)) == gateway.sent.total()
    assert 10 * len(set(prompts)) == tokens(results)
    sent = {p: r.index for r in results if r.same_as is None for p in [r.item]}
    assert [sent[r.item] if sent[r.item] != r.index else None for r in results] == [r.same_as for r in results]
    assert all(r.attempts == () and r.row()["same_as"] == r.same_as for r in results if r.same_as is not None)


async def test_not_unless_it_is_asked_for() -> None:
    """Without ``dedupe=`` each item is a request."""
    client = made()
    gateway = Gateway(client, turns=0)
    client._calls.planned = lambda plan, prompt, *_: gateway.complete(plan.request(prompt), {})  # type: ignore[method-assign]

    await client.map(["a"] * 5, concurrency=1)

    assert {"a": 5} == gateway.sent


async def test_waiting_takes_no_worker() -> None:
    """With two workers, a hundred equal items hold neither of them up: the others are sent meanwhile."""
    client = made()
    gateway = Gateway(client, turns=50)
    gateway.most = 0

    await client.map(["a"] * 100 + ["b"], dedupe=True, concurrency=2)

    assert (2, {"a": 1, "b": 1}) == (gateway.most, gateway.sent)


async def test_items_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless source of equal items is not read further than that while the first is on its way."""
    monkeypatch.setattr(twins, "MOST_WAITING", 10)
    client = made()
    gateway = Gateway(client, turns=200)
    pulled = 0

    def source() -> Any:
        nonlocal pulled
        for _ in range(500):
            pulled += 1
            yield "a"

    async with client.map(source(), dedupe=True, concurrency=4) as run:
        for _ in range(100):
            await asyncio.sleep(0)
        assert pulled <= 10 + 4
        assert 500 == len([r async for r in run])
    assert {"a": 1} == gateway.sent


async def test_a_failure_is_that_of_all() -> None:
    """Who was not sent has no attempts, and is not billed; one that comes later is not sent either."""
    client = made()
    gateway = Gateway(client, failing={"a"})

    results = await client.map(["a", "a", "b", "a"], dedupe=True, concurrency=1)

    assert {"a": 1, "b": 1} == gateway.sent
    assert [None, 0, None, 0] == [r.same_as for r in results]
    assert [1, 0, 0] == [len(r.attempts) for r in results if not r.ok]
    errors = [r.error for r in results if r.error is not None]
    assert 3 == len({id(error) for error in errors})
    assert ["server"] * 3 == [error.kind for error in errors]
    assert [1, 0, 0] == [len(error.attempts) for error in errors]


async def test_values_are_each_their_own(sim: Simulator, client: AnyFast) -> None:
    """Parsed answers can be changed: no two items share one."""

    @attrs.define
    class City:
        name: str

    sim.reply(json={"name": "Paris"})
    one, other = await client.map(["capital?", "capital?"], dedupe=True, into=City)

    assert (City("Paris"), City("Paris"), 1) == (one.value, other.value, len(sim.requests))
    assert one.value is not other.value


async def test_answers_that_do_not_fit(sim: Simulator, client: AnyFast) -> None:
    """They fit none of the items; one that was repaired is the answer of all, and what was sent back is billed once."""

    @attrs.define
    class City:
        name: str

    sim.reply("no json", when=lambda body: len(body["messages"]) == 1)
    misfits = await client.map(["q", "q"], dedupe=True, into=City)
    assert [OutputError, OutputError] == [type(r.error) for r in misfits]
    assert 1 == len(sim.requests)
    told = [r.error.completion for r in misfits if isinstance(r.error, OutputError)]
    assert client.stats().tokens_used == sum((said.usage.total_tokens or 0) for said in told if said and said.usage)

    sim.reply(json={"name": "Paris"}, when=lambda body: len(body["messages"]) > 1)
    repaired = await client.map(["q", "q"], dedupe=True, into=City, repair=1)

    assert [City("Paris")] * 2 == [r.value for r in repaired]
    assert 3 == len(sim.requests)
    assert [1, 0] == sorted((len(r.rejected) for r in repaired), reverse=True)


@pytest.mark.parametrize(
    ("one", "other", "are_equal"),
    [
        ({"role": "user", "content": "a"}, {"content": "a", "role": "user"}, True),
        ({"role": "user", "content": "a"}, {"role": "user", "content": "a", "name": "x"}, False),
        ({"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "a"}]}, False),
        ({"role": "user", "content": "a"}, {"role": "system", "content": "a"}, False),
    ],
)
async def test_what_is_equal(sim: Simulator, client: AnyFast, one: Any, other: Any, are_equal: bool) -> None:
    """The bodies as JSON values, whatever the order of keys; nothing in them is passed over."""
    await client.map([[one], [other]], dedupe=True)

    assert (1 if are_equal else 2) == len(sim.requests)


async def test_fields_decide_as_they_stand(sim: Simulator, client: AnyFast) -> None:
    """``user``, ``seed``, a model: different ones are two requests; a text and a ``ChatRequest`` can be one."""
    asked: list[Any] = [{"user": "x"}, {"user": "y"}, {"seed": 1}, {"seed": 2}, {"model": "gemini-2.5-flash"}, {}]
    rows: list[Any] = [ChatRequest("a", **fields) for fields in asked]

    results = await client.map([*rows, "a"], dedupe=True, concurrency=1)

    assert (6, 5) == (len(sim.requests), results[-1].same_as)


async def test_integers_of_any_size_differ(sim: Simulator, client: AnyFast) -> None:
    """Two that a double cannot tell apart are two requests."""
    rows = [{"seed": 2**60}, {"seed": 2**60 + 1}]

    await client.map(rows, request=lambda r: ChatRequest("a", extra_body=r), dedupe=True)

    assert 2 == len(sim.requests)


async def test_what_ends_the_run_ends_those_that_wait(raw_server: RawServers, connect: Connect) -> None:
    """A refused key: the item that was sent has it, those that waited and those to come say that they were not sent."""
    body = {"error": {"message": "bad key", "type": "invalid_request_error", "code": "invalid_api_key"}}
    server = await raw_server([("sleep", 0.05), raw_server.answer(body, 401)])
    client = connect(server.base_url)

    results = await client.map(["a"] * 20, dedupe=True, concurrency=2)

    assert 20 == len(results)
    assert 1 == len(server.requests)
    assert {True} == {r.error is not None for r in results}
    assert isinstance(results[0].error, AuthenticationError)
    assert {"no"} == {r.error.billed for r in results if r.error is not None}


async def test_throttled_original_holds_those_that_wait(sim: Simulator, connect: Connect) -> None:
    """A 429 is waited out by the one that was sent; all have the answer."""
    sim.fail(429, retry_after=0, times=2)
    client = connect(sim.base_url, limits=Limits(concurrency=2), retry=RetryPolicy(backoff=(0, 0), first_hold=0.01))

    results = await client.map(["a"] * 10, dedupe=True)

    assert {True} == {r.ok for r in results}
    assert (3, 9) == (len(sim.requests), sum(r.same_as is not None for r in results))


async def test_budget_counts_what_was_sent(sim: Simulator, connect: Connect) -> None:
    """Three requests are allowed, and ten rows ask three things."""
    client = connect(sim.base_url, budget=Budget(requests=3))

    results = await client.map([f"q{i % 3}" for i in range(10)], dedupe=True)

    assert {True} == {r.ok for r in results}
    assert (3, 3) == (len(sim.requests), client.stats().requests)


async def test_left_in_the_middle() -> None:
    """Whoever leaves while some wait leaves nothing."""
    client = made()
    gateway = Gateway(client, turns=30)
    async with client.map(["a"] * 50 + ["bb"] * 50, dedupe=True, concurrency=4) as run:
        async for _ in run:
            break

    assert gateway.sent.total() <= 2


async def test_progress_counts_once() -> None:
    """Every item is done, tokens are those of what was sent."""
    client = made()
    Gateway(client)
    seen: list[Any] = []

    await client.map(["a"] * 10, dedupe=True, progress=seen.append)

    assert (10, 10) == (seen[-1].done, seen[-1].tokens)


async def test_memory_of_answers_is_bounded() -> None:
    """Where there is no journal, the oldest answers go, and what asks so later is sent again."""
    memory = twins.InMemory(5 * 2000)
    for number in range(10):
        memory.keep(str(number), twins.Became(number, None))

    assert [None] * 5 == [memory.find(str(number)) for number in range(5)]
    assert [5, 6, 7, 8, 9] == [found.id for n in range(5, 10) if (found := memory.find(str(n))) is not None]


# -- with a journal --------------------------------------------------------------------------------------------------


def rows_of(prompts: list[str]) -> list[dict[str, str]]:
    return [{"custom_id": f"row-{number}", "prompt": prompt} for number, prompt in enumerate(prompts)]


def lines_in(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_journal_has_a_line_for_each(tmp_path: Path) -> None:
    """A copy's line names the row that was sent and has no usage; run again, nothing is sent, and it says the same."""
    client, path = made(), tmp_path / "run.jsonl"
    gateway = Gateway(client)
    rows = rows_of(["a", "b", "a", "a"])
    options: dict[str, Any] = {"request": lambda r: r["prompt"], "journal": path, "dedupe": True}

    first = await client.map(rows, **options)
    again = await client.map(rows, **options)

    assert {"a": 1, "b": 1} == gateway.sent
    assert [None, None, "row-0", "row-0"] == [r.same_as for r in first] == [r.same_as for r in again]
    assert [True] * 4 == [r.recorded for r in again]
    lines = {line["custom_id"]: line for line in lines_in(path)}
    assert ["row-0", "row-0"] == [lines[f"row-{n}"]["same_as"] for n in (2, 3)]
    assert "same_as" not in lines["row-0"]
    used = [line["response"]["body"]["usage"]["total_tokens"] for line in lines.values()]
    assert [10, 10, 0, 0] == sorted(used, reverse=True)
    assert 20 == tokens(first) == tokens(again)


async def test_rows_that_come_later_find_the_answer(tmp_path: Path) -> None:
    """Also one that was written without ``dedupe=``, and whatever the order of keys where it was written with."""
    client, path = made(), tmp_path / "run.jsonl"
    gateway = Gateway(client)
    options: dict[str, Any] = {"request": lambda r: r["prompt"], "journal": path}
    await client.map(rows_of(["a", "b"]), **options)

    later = await client.map(rows_of(["a", "b", "a", "b", "c"]), dedupe=True, **options)

    assert {"a": 1, "b": 1, "c": 1} == gateway.sent
    assert [None, None, "row-0", "row-1", None] == [r.same_as for r in later]
    plain = await client.map(rows_of(["a", "b", "a", "b", "c"]), **options)
    assert [True] * 5 == [r.recorded for r in plain]


async def test_failed_rows_are_sent_again_once(tmp_path: Path) -> None:
    """``retry=`` takes the original and its copies; the first of them is sent, all have the answer."""
    client, path = made(), tmp_path / "run.jsonl"
    gateway = Gateway(client, failing={"a"})
    options: dict[str, Any] = {"request": lambda r: r["prompt"], "journal": path, "dedupe": True}
    rows = rows_of(["a", "a", "b", "a"])
    failed = await client.map(rows, **options)
    assert [False, False, True, False] == [r.ok for r in failed]
    unasked = await client.map(rows, retry="none", **options)
    assert [False, False, True, False] == [r.ok for r in unasked]
    gateway.failing = set()

    again = await client.map(rows, retry="all", **options)

    assert {"a": 2, "b": 1} == gateway.sent
    assert [True] * 4 == [r.ok for r in again]
    assert [None, "row-0", None, "row-0"] == [r.same_as for r in again]


async def test_answers_that_are_asked_again(sim: Simulator, client: AnyFast, tmp_path: Path) -> None:
    """``retry="cut"``: the answer that was cut is not given again to those that ask for another one."""
    path = tmp_path / "run.jsonl"
    sim.reply("whole")
    sim.reply("half", finish_reason="length", times=1)
    rows = rows_of(["a", "a", "a"])
    options: dict[str, Any] = {"request": lambda r: r["prompt"], "journal": path, "dedupe": True}
    assert ["cut"] * 3 == [r.outcome for r in await client.map(rows, **options)]

    again = await client.map(rows, retry="cut", **options)

    assert ["whole"] * 3 == [r.text for r in again]
    assert 2 == len(sim.requests)


async def test_budget_of_a_file_counts_requests_once(sim: Simulator, connect: Connect, tmp_path: Path) -> None:
    """What earlier runs spent on the journal is what was sent: copies were not."""
    path = tmp_path / "run.jsonl"
    options: dict[str, Any] = {"journal": path, "dedupe": True}
    await connect(sim.base_url).map(["a"] * 10, **options)
    client = connect(sim.base_url, budget=Budget(requests=2))

    results = await client.map(["a"] * 12 + ["b"], **options)

    assert [True] * 13 == [r.ok for r in results]
    assert 2 == len(sim.requests)


RUN = st.lists(st.integers(0, 4), min_size=1, max_size=12)


@settings(max_examples=12)
@given(
    prompts=RUN,
    failing=st.sets(st.integers(0, 4), max_size=2),
    leave=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    concurrency=st.sampled_from([1, 2, 8]),
    ordered=st.booleans(),
    named=st.booleans(),
)
def test_every_row_has_the_answer_to_its_request(  # noqa: PLR0917 - hypothesis' way
    prompts: list[int], failing: set[int], leave: tuple[int, int], concurrency: int, ordered: bool, named: bool
) -> None:
    """Left twice in the middle and gone on with: right answers in their places, each sent once a run, counted once."""
    rows = rows_of([f"q{number}" for number in prompts])
    items: list[Any] = rows if named else [row["prompt"] for row in rows]

    async def all_of_it(path: Path) -> None:
        answered: set[str] = set()
        found: list[Result[Any]] = []
        for run, most in enumerate((*leave, None)):
            client = made()
            gateway = Gateway(client, failing=set() if run == 2 else {f"q{number}" for number in failing})
            options: dict[str, Any] = {"request": lambda r: r["prompt"]} if named else {}
            found = []
            async with client.map(
                items, dedupe=True, journal=path, concurrency=concurrency, ordered=ordered, retry="all", **options
            ) as results:
                async for result in results:
                    if len(found) == most:
                        break
                    found.append(result)
                    said = f"q{prompts[result.index]}"
                    assert result.text == (f"<{said}>" if result.ok else "")
                    assert not (ordered and result.index != len(found) - 1)
            assert answered.isdisjoint(gateway.sent)
            assert {1} >= set(gateway.sent.values())
            answered |= {f"q{prompts[r.index]}" for r in found if r.ok}
            await client.aclose()
        assert sorted(r.index for r in found) == list(range(len(prompts)))
        assert all(r.ok for r in found)
        assert 10 * len(set(prompts)) == tokens(found)
        lines = lines_in(path)
        assert len(prompts) == len(lines) == len({line["custom_id"] for line in lines})
        assert 10 * len(set(prompts)) == sum(line["response"]["body"]["usage"]["total_tokens"] for line in lines)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(all_of_it(Path(folder) / "run.jsonl"))

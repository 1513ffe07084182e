"""One run of a batch, against the simulator."""

from __future__ import annotations

import asyncio
import errno
import json
import math
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import pytest

from anyfast_async import AnyFast, Budget, ConfigurationError, Limits, RequestValidationError, RetryPolicy
from anyfast_async._journal import disk
from anyfast_async.batch import (
    BatchLine,
    BatchRun,
    RowDone,
    TooManyFailuresError,
    open_batch,
    open_source,
    rows,
    survey,
)
from anyfast_async.batch.run import allowed_failures
from anyfast_async.simulator import Simulator

Opened: TypeAlias = Callable[..., Any]


@attrs.frozen
class Label:
    """What answers are to be."""

    mood: str


@pytest.fixture
def batch(tmp_path: Path, make_line: Callable[..., bytes]) -> Opened:
    """``batch(client, contents, **settings)``: a run of rows r0, r1 ... with these contents, and its files."""

    @asynccontextmanager
    async def opened(client: AnyFast, contents: list[str], **settings: Any) -> AsyncIterator[BatchRun]:
        path = tmp_path / "in.jsonl"
        lines = [
            make_line(f"r{i}", model="gemini-2.5-pro", messages=[{"role": "user", "content": content}])
            for i, content in enumerate(contents)
        ]
        path.write_bytes(b"".join(lines))
        found = survey(open_source(path))
        retry_failed = settings.pop("retry_failed", "all")
        out, err = tmp_path / "out.jsonl", tmp_path / "err.jsonl"
        files = await asyncio.to_thread(open_batch, out, err, retry_failed=retry_failed)
        try:
            todo = rows(found, skip=files.done)
            yield BatchRun(client, todo, files, total=found.count, already=len(files.done), **settings)
        finally:
            await asyncio.to_thread(files.close)

    return opened


def lines_of(path: Path) -> dict[str, Any]:
    """The lines of a file by their custom_id; an id that is there twice fails."""
    values = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    found = {value["custom_id"]: value for value in values}
    assert len(found) == len(values)
    return found


async def test_a_run_and_a_second_one(sim: Simulator, client: AnyFast, batch: Opened, tmp_path: Path) -> None:
    """Every row is answered with one line; a second run sends nothing."""
    sim.reply("two", when="1 + 1")
    contents = [f"say {i}" for i in range(30)] + ["1 + 1"]

    async with batch(client, contents) as run:
        tally = await run.run()
    assert (31, 31, 0, 0) == (len(sim.requests), tally.answered, tally.failed, tally.left)
    async with batch(client, contents) as second:
        tally = await second.run()

    assert (31, 31, 0) == (len(sim.requests), tally.already, tally.answered)
    found = lines_of(tmp_path / "out.jsonl")
    assert {f"r{i}" for i in range(31)} == set(found)
    response = found["r30"]["response"]
    assert ("two", 200) == (response["body"]["choices"][0]["message"]["content"], response["status_code"])
    assert response["body"]["id"].endswith(response["request_id"])


async def test_equal_rows_are_sent_once(sim: Simulator, client: AnyFast, batch: Opened, tmp_path: Path) -> None:
    """Every row has its line, and what was used is counted once; a run that goes on sends nothing that is answered."""
    async with batch(client, ["a", "b", "a"], dedupe=True) as run:
        tally = await run.run()
    assert (2, 3, 1, 0) == (len(sim.requests), tally.answered, tally.same, tally.spent.unknown)
    assert tally.tokens == client.stats().tokens_used

    (tmp_path / "in.jsonl").unlink()
    async with batch(client, ["a", "b", "a", "b", "c", "c"], dedupe=True) as second:
        tally = await second.run()

    found = lines_of(tmp_path / "out.jsonl")
    assert (3, 3, 3, 2) == (len(sim.requests), tally.already, tally.answered, tally.same)
    assert [None, None, "r0", "r1", None, "r4"] == [found[f"r{i}"].get("same_as") for i in range(6)]
    used = [line["response"]["body"]["usage"]["total_tokens"] for line in found.values()]
    assert client.stats().tokens_used == sum(used)


async def test_equal_rows_fail_together(sim: Simulator, client: AnyFast, batch: Opened, tmp_path: Path) -> None:
    """One request for all of them, and one more when they are tried again."""
    sim.fail(400, when="bad", times=1)
    async with batch(client, ["bad", "bad", "bad"], dedupe=True) as run:
        first = await run.run()
    assert (1, 3, {"r0", "r1", "r2"}) == (len(sim.requests), first.failed, set(lines_of(tmp_path / "err.jsonl")))

    async with batch(client, ["bad", "bad", "bad"], dedupe=True) as run:
        second = await run.run()

    assert (2, 3, 2) == (len(sim.requests), second.answered, second.same)
    assert not (tmp_path / "err.jsonl").exists()


async def test_equal_answers_that_do_not_fit_are_counted_once(
    sim: Simulator, client: AnyFast, batch: Opened, tmp_path: Path
) -> None:
    """They are failures of all who asked so, and what was used stands in one line."""
    sim.reply("no json")
    async with batch(client, ["a", "a", "a"], dedupe=True, into=Label) as run:
        tally = await run.run()

    lines = lines_of(tmp_path / "err.jsonl").values()
    used = sum(line["response"]["body"]["usage"]["total_tokens"] for line in lines)
    assert (1, 3) == (len(sim.requests), tally.failed)
    assert client.stats().tokens_used == tally.tokens == used


async def test_failed_rows_are_tried_again(sim: Simulator, client: AnyFast, batch: Opened, tmp_path: Path) -> None:
    """A failed row stands in the error file until a later run answers it; good rows are not sent twice."""
    sim.fail(400, when="bad", times=1, message="I will not")

    async with batch(client, ["good", "bad"]) as run:
        first = await run.run()
    failed = lines_of(tmp_path / "err.jsonl")
    assert ({"r1"}, 400) == (set(failed), failed["r1"]["response"]["status_code"])
    assert "I will not" in failed["r1"]["response"]["body"]["error"]["message"]
    assert ({"r0"}, {"bad_request": 1}) == (set(lines_of(tmp_path / "out.jsonl")), first.kinds)

    async with batch(client, ["good", "bad"]) as run:
        second = await run.run()

    assert (3, 1, 1) == (len(sim.requests), second.already, second.answered)
    assert ({"r0", "r1"}, False) == (set(lines_of(tmp_path / "out.jsonl")), (tmp_path / "err.jsonl").exists())


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(403, "insufficient_user_quota", "not_sent"), (401, None, "auth")],
)
async def test_what_is_no_rows_fault_stops_the_run(
    sim: Simulator, client: AnyFast, batch: Opened, *, status: int, code: str | None, kind: str
) -> None:
    """Key and quota end the run without failing a row: few more are sent, and the same run goes on later."""
    sim.fail(status, code=code, when="say", times=4)
    contents = [f"say {i}" for i in range(50)]

    async with batch(client, contents, concurrency=4) as run:
        tally = await run.run()

    assert run.stopped is not None
    assert kind == run.stopped.kind
    assert (4, 0, 0, 50) == (len(sim.requests), tally.answered, tally.failed, tally.left)
    assert () == run.unfinished
    async with batch(client, contents) as second:
        assert 50 == (await second.run()).answered


async def test_a_spent_budget_stops_the_run(sim: Simulator, connect: Any, batch: Opened) -> None:
    """The client's own budget ends a run as a quota does: what it paid for is written."""
    client = connect(sim.base_url, budget=Budget(requests=10))

    async with batch(client, [f"say {i}" for i in range(50)], concurrency=4) as run:
        tally = await run.run()

    assert run.stopped is not None
    assert ("budget", 10, 0, 40) == (run.stopped.kind, tally.answered, tally.failed, tally.left)


async def test_an_unreachable_gateway_stops_the_run(connect: Any, batch: Opened) -> None:
    """Without a connection no row is failed, and the run does not go through the whole file."""
    client = connect("http://127.0.0.1:9/v1")

    async with batch(client, [f"say {i}" for i in range(50)], concurrency=4) as run:
        tally = await run.run()

    assert run.stopped is not None
    assert ("connection", 0, 50) == (run.stopped.kind, tally.failed, tally.left)


async def test_throttling_fails_no_row(sim: Simulator, connect: Any, batch: Opened) -> None:
    """Rows that are throttled more often than a call may be tried are answered all the same, and count as retries."""
    client = connect(sim.base_url, retry=RetryPolicy(attempts=2))
    sim.fail(429, retry_after=0.01, times=3)

    async with batch(client, ["a", "b"], concurrency=1) as run:
        tally = await run.run()

    assert (2, 0, 3) == (tally.answered, tally.failed, tally.retries)


async def test_stopping_with_grace(sim: Simulator, client: AnyFast, batch: Opened) -> None:
    """After stop() no row is taken up, and those in work are finished and written."""
    sim.reply(ttft=0.1)

    async with batch(client, [f"say {i}" for i in range(50)], concurrency=4) as run:
        task = asyncio.create_task(run.run())
        while sim.in_flight < 4:
            await asyncio.sleep(0.005)
        run.stop(5)
        tally = await task

    assert (4, 46, ()) == (tally.answered, tally.left, run.unfinished)
    assert 4 == len(sim.requests)


async def test_stopping_without_grace(sim: Simulator, client: AnyFast, batch: Opened) -> None:
    """stop(0) leaves the rows in work at once and names them, because they may be billed."""
    sim.stall(times=None)

    async with batch(client, [f"say {i}" for i in range(50)], concurrency=4) as run:
        task = asyncio.create_task(run.run())
        while sim.in_flight < 4:
            await asyncio.sleep(0.005)
        run.stop(60)
        run.stop(0)
        tally = await asyncio.wait_for(task, 2)

    assert (0, 50) == (tally.answered, tally.left)
    assert {"r0", "r1", "r2", "r3"} == set(run.unfinished)
    run.stop(0)


def full_after(monkeypatch: pytest.MonkeyPatch, path: Path, count: int) -> None:
    """Let the disk be full after so many lines of a file."""
    write, room = os.write, count

    def limited(file: int, data: bytes) -> int:
        nonlocal room
        if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
            room -= 1
            if room < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data)

    monkeypatch.setattr(os, "write", limited)


async def test_a_full_disk_stops_the_run(
    sim: Simulator, client: AnyFast, batch: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the output cannot be written the run ends, with the number of answers in hand; the next run completes it."""
    contents = [f"say {i}" for i in range(50)]
    async with batch(client, contents, concurrency=4) as run:
        with monkeypatch.context() as patch:
            full_after(patch, tmp_path / "out.jsonl", 5)
            tally = await run.run()

    assert isinstance(run.stopped, OSError)
    assert (5, 5) == (tally.answered, len(lines_of(tmp_path / "out.jsonl")))
    assert len(sim.requests) - 5 == run.unsaved == len(run.unfinished) <= 4
    async with batch(client, contents) as second:
        assert 45 == (await second.run()).answered


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
async def test_a_device_that_is_full(client: AnyFast, batch: Opened, tmp_path: Path) -> None:
    """On the system's own full device the run ends, the output on a whole line, and the next run completes it."""
    contents = [f"say {i}" for i in range(50)]
    device = await asyncio.to_thread(Path("/dev/full").open, "wb")
    async with batch(client, contents, concurrency=4) as run:

        def fill_up(event: RowDone) -> None:
            if event.tally.answered == 10:
                os.dup2(device.fileno(), run._journal._answers.file)
                device.close()

        tally = await run.run(fill_up)

    assert isinstance(run.stopped, OSError)
    assert (errno.ENOSPC, 10, 10) == (run.stopped.errno, tally.answered, len(lines_of(tmp_path / "out.jsonl")))
    assert 1 <= run.unsaved
    async with batch(client, contents) as second:
        assert 40 == (await second.run()).answered


async def test_a_disk_that_has_room_again(
    client: AnyFast, batch: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that could not be written are written at the end of the run, if they can be by then."""
    async with batch(client, [f"say {i}" for i in range(50)], concurrency=4) as run:
        with monkeypatch.context() as patch:
            full_after(patch, tmp_path / "out.jsonl", 5)

            async def retry() -> None:
                patch.undo()
                await BatchRun._retry(run)

            patch.setattr(run, "_retry", retry)
            tally = await run.run()

    assert (0, ()) == (run.unsaved, run.unfinished)
    assert len(lines_of(tmp_path / "out.jsonl")) == tally.answered > 5
    assert isinstance(run.stopped, OSError)


async def test_a_disk_that_loses_lines_stops_the_run(
    client: AnyFast, batch: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When lines cannot be brought to the disk the run ends, and says how many are in doubt; none counts as done."""

    def broken(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(disk, "sync_file", broken)
    monkeypatch.setattr(disk, "EVERY_LINES", 8)
    monkeypatch.setattr(disk, "EVERY_SECONDS", 0.01)
    async with batch(client, [f"say {i}" for i in range(500)], concurrency=4) as run:
        tally = await run.run()

    assert isinstance(run.stopped, OSError)
    assert tally.answered <= run.unsaved == len(lines_of(tmp_path / "out.jsonl")) < 500


# -- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "total", "allowed"),
    [
        (None, 10, math.inf),
        (0, 10, 0),
        (3, 10, 3),
        (0.05, 100, 5),
        (0.05, 10, 0),
        (0.5, 3, 1),
        (1.0, 7, 1),
        (0.0, 9, 0),
    ],
)
def test_allowed_failures(limit: float | None, total: int, allowed: float) -> None:
    """A whole number is a number of rows, a fraction below 1 a share of all rows, rounded down."""
    assert allowed == allowed_failures(limit, total)


@pytest.mark.parametrize("limit", [-1, -0.5, True, "5%", math.nan])
def test_allowed_failures_that_cannot_be(limit: Any) -> None:
    """Anything else is refused, with what is allowed."""
    with pytest.raises(ConfigurationError, match="max_failures must be a number of rows from 0 up, or a share below 1"):
        allowed_failures(limit, 10)


async def test_too_many_failures_stop_the_run(sim: Simulator, client: AnyFast, batch: Opened, tmp_path: Path) -> None:
    """With one failure more than is allowed the run ends, and says which they were; they stand in the error file."""
    sim.fail(400, when="bad", times=None)

    async with batch(client, ["bad", "good"] * 50, concurrency=2, max_failures=0.03) as run:
        tally = await run.run()

    assert isinstance(run.stopped, TooManyFailuresError)
    assert "4 rows failed (bad_request 4), more than max_failures=0.03 allows" == str(run.stopped)
    assert tally.failed == len(lines_of(tmp_path / "err.jsonl")) <= 5
    assert len(sim.requests) <= 12


@pytest.mark.parametrize(("policy", "sent"), [("all", {"r0", "r1"}), ("none", set()), ("server", {"r1"})])
async def test_which_failed_rows_are_tried_again(
    sim: Simulator, connect: Any, batch: Opened, tmp_path: Path, *, policy: str, sent: set[str]
) -> None:
    """All, none, or those that failed with one kind of error; the others stay in the error file."""
    client = connect(sim.base_url, retry=RetryPolicy(attempts=1))
    sim.fail(400, when="bad", times=1)
    sim.fail(500, when="broken", times=1)
    contents = ["bad", "broken", "good"]
    async with batch(client, contents, concurrency=1) as run:
        assert {"bad_request": 1, "server": 1} == (await run.run()).kinds

    async with batch(client, contents, retry_failed=policy) as run:
        tally = await run.run()

    assert (len(sent), 3 - len(sent)) == (tally.answered, tally.already)
    assert {"r0", "r1"} - sent == set(lines_of(tmp_path / "err.jsonl"))
    assert {"r2"} | sent == set(lines_of(tmp_path / "out.jsonl"))


async def test_a_changed_input_stops_the_run(client: AnyFast, batch: Opened, tmp_path: Path) -> None:
    """An input that was changed since it was checked ends the run before a row of it is sent."""
    async with batch(client, ["a", "b"]) as run:
        data = (tmp_path / "in.jsonl").read_bytes()
        (tmp_path / "in.jsonl").write_bytes(data.replace(b'"r1"', b'"rX"'))
        tally = await run.run()

    assert run.stopped is not None
    assert ("configuration", 0) == (run.stopped.kind, tally.answered)


async def test_options_win_over_the_rows(sim: Simulator, client: AnyFast, batch: Opened) -> None:
    """What is given for the run goes into every request: model, max_tokens, a system message in front."""
    options = {"model": "gemini-2.0-flash", "max_tokens": 30, "system": "Be brief", "via_stream": True}

    async with batch(client, ["a"], **options) as run:
        tally = await run.run()

    (request,) = sim.requests
    assert ("gemini-2.0-flash", 30, True) == tuple(request.body[n] for n in ("model", "max_tokens", "stream"))
    assert ["system", "user"] == [message["role"] for message in request.body["messages"]]
    assert 1 == tally.first_token.count


async def test_bad_options_send_nothing(sim: Simulator, client: AnyFast, batch: Opened, tmp_path: Path) -> None:
    """An option that is wrong for every row is wrong before the first one."""
    with pytest.raises(RequestValidationError, match="max_tokens"):
        async with batch(client, ["a"], max_tokens=0):
            pass

    assert ([], False) == (sim.requests, (tmp_path / "out.jsonl").exists())


async def test_events(sim: Simulator, client: AnyFast, batch: Opened) -> None:
    """on_row hears of each line after it is written, with the counts so far and what came."""
    sim.fail(400, when="bad")
    seen: list[tuple[Any, ...]] = []

    def on_row(event: RowDone) -> None:
        text = event.completion.text if event.completion is not None else None
        kind = event.error.kind if event.error else None
        seen.append((event.custom_id, kind, event.tally.done, bool(text), event.attempts[0].outcome))

    async with batch(client, ["good", "bad"], concurrency=1, on_row=on_row) as run:
        await run.run()

    assert [("r0", None, 1, True, "ok"), ("r1", "bad_request", 2, False, "bad_request")] == seen


async def test_an_event_that_raises_ends_the_run(client: AnyFast, batch: Opened, tmp_path: Path) -> None:
    """An error in the caller's on_row comes out; what was written stays."""

    def on_row(_: RowDone) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with batch(client, ["a"] * 20, concurrency=2, on_row=on_row) as run:
            await run.run()

    assert 1 <= len(lines_of(tmp_path / "out.jsonl")) <= 4


async def test_rows_are_read_as_they_are_needed(client: AnyFast, tmp_path: Path, make_line: Any) -> None:
    """The input is pulled by the workers, not ahead of them: memory does not grow with the file."""
    pulled = 0
    path = tmp_path / "in.jsonl"
    path.write_bytes(make_line("a"))
    (line,) = rows(survey(open_source(path)))

    def endless() -> Iterator[BatchLine]:
        nonlocal pulled
        while True:
            pulled += 1
            yield BatchLine(pulled, f"r{pulled}", line.request)

    with open_batch(tmp_path / "out.jsonl", tmp_path / "err.jsonl") as files:
        run = BatchRun(client, endless(), files, total=10**9, concurrency=4)
        tally = await run.run(lambda event: run.stop(5) if event.tally.answered == 20 else None)

    assert 20 <= tally.answered <= 32
    assert pulled <= tally.answered + 1


async def test_a_restart_remembers_the_minute(sim: Simulator, connect: Any, batch: Opened) -> None:
    """What an earlier run has sent within the minute counts in the limit of the next one."""
    contents = [f"say {i}" for i in range(9)]
    async with batch(connect(sim.base_url, limits=Limits(requests_per_minute=6)), contents) as first:
        task = asyncio.create_task(first.run())
        while first.tally.answered < 6:
            await asyncio.sleep(0.005)
        first.stop(0)
        await task

    client = connect(sim.base_url, limits=Limits(requests_per_minute=6))
    async with batch(client, contents) as second:
        task = asyncio.create_task(second.run())
        while client.stats().queued < 3:
            await asyncio.sleep(0.005)
        assert ("requests_per_minute", 6) == (client.stats().limited_by, len(sim.requests))
        second.stop(0)
        await task

    assert (6, ()) == (len(sim.requests), second.unfinished)


async def test_stopping_with_nothing_in_flight(sim: Simulator, connect: Any, batch: Opened) -> None:
    """Rows that only wait for their turn do not keep a run that is told to stop; none of them was sent."""
    client = connect(sim.base_url, limits=Limits(requests_per_minute=1))
    async with batch(client, [f"say {i}" for i in range(5)], concurrency=3) as run:
        task = asyncio.create_task(run.run())
        while run.tally.answered < 1:
            await asyncio.sleep(0.005)
        run.stop(3600)
        tally = await asyncio.wait_for(task, 5)

    assert (1, 4, (), None) == (tally.answered, tally.left, run.unfinished, run.stopped)


async def test_asked_again(sim: Simulator, client: AnyFast, batch: Opened, tmp_path: Path) -> None:
    """A row that is asked again by its outcome has one answer, the new one; the old one is in the log."""
    sim.reply("whole", when="long")
    sim.reply("half", finish_reason="length", when="long", times=1)
    sim.fail(500, when="bad", times=4)
    async with batch(client, ["long", "short", "bad"]) as run:
        tally = await run.run()
    assert {"ok": 1, "cut": 1, "failed": 1} == {k: v for k, v in tally.file.outcomes.items() if v}

    files = await asyncio.to_thread(open_batch, tmp_path / "out.jsonl", tmp_path / "err.jsonl", retry_failed="cut")
    with files:
        census = files.census(["r0", "r1", "r2"])
    async with batch(client, ["long", "short", "bad"], retry_failed="cut", before=census.counts) as run:
        tally = await run.run()

    assert (2, 1) == (census.already, tally.answered)
    assert {"ok": 2, "failed": 1} == {k: v for k, v in tally.file.outcomes.items() if v}
    found = lines_of(tmp_path / "out.jsonl")
    assert "whole" == found["r0"]["response"]["body"]["choices"][0]["message"]["content"]
    assert b'{"replaced":' in (tmp_path / "out.jsonl.run").read_bytes()
    assert {"r2"} == set(lines_of(tmp_path / "err.jsonl"))


async def test_an_answer_stays_when_asking_again_fails(
    sim: Simulator, client: AnyFast, batch: Opened, tmp_path: Path
) -> None:
    """An answer is not lost to a failure: what was cut stays, and is asked again the next time."""
    sim.reply("whole", when="long")
    sim.reply("half", finish_reason="length", when="long", times=1)
    texts = []
    for refusals in (0, 1, 0):
        if refusals:
            sim.fail(400, when="long", times=refusals)
        async with batch(client, ["long"], retry_failed="cut") as run:
            await run.run()
        line = lines_of(tmp_path / "out.jsonl")["r0"]
        texts.append(line["response"]["body"]["choices"][0]["message"]["content"])

    assert ["half", "half", "whole"] == texts
    assert not (tmp_path / "err.jsonl").exists()


async def test_a_default_is_no_reason_to_warn(
    sim: Simulator, connect: Callable[..., AnyFast], batch: Opened, recwarn: pytest.WarningsRecorder
) -> None:
    """A client with a smaller limit than the rows that are in work unless told otherwise: nobody asked for those."""
    async with batch(connect(sim.base_url, limits=Limits(concurrency=3)), ["one", "two"]) as run:
        assert (await run.run()).answered == 2
    assert [str(warning.message) for warning in recwarn] == []


async def test_more_at_once_than_there_are_rows(batch: Opened, sim: Simulator, connect: Callable[..., AnyFast]) -> None:
    """Of a concurrency beyond the rows there are no more workers than rows: no number of them fills the memory."""
    client = connect(sim.base_url, limits=Limits(concurrency=10**18))
    async with batch(client, ["a", "b"], concurrency=10**18) as run:
        await run.run()

    assert 2 == run.tally.answered == len(sim.requests)

"""One run of a batch, against the simulator."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from anyfast_async import AnyFast, Budget, RequestValidationError, RetryPolicy
from anyfast_async.batch import BatchFiles, BatchLine, BatchRun, RowDone, open_batch, rows, survey
from anyfast_async.simulator import Simulator

Opened: TypeAlias = Callable[..., Any]


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
        found = survey(path)
        with open_batch(tmp_path / "out.jsonl", tmp_path / "err.jsonl") as files:
            already = len(files.done)
            todo = rows(found, skip=files.done)
            yield BatchRun(client, todo, files, total=len(found.ids), already=already, **settings)

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
    [(403, "insufficient_user_quota", "quota"), (401, None, "auth"), (503, "model_not_found", "model")],
)
async def test_what_is_no_rows_fault_stops_the_run(
    sim: Simulator, client: AnyFast, batch: Opened, *, status: int, code: str | None, kind: str
) -> None:
    """Key, quota and model end the run without failing a row: few more are sent, and the same run goes on later."""
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


async def test_a_full_disk_stops_the_run(
    client: AnyFast, batch: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the output cannot be written the run ends, with the error; what is written is whole."""
    write, room = os.write, 5

    def limited(file: int, data: bytes) -> int:
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data)

    async with batch(client, [f"say {i}" for i in range(50)], concurrency=4) as run:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", limited)
            tally = await run.run()

    assert isinstance(run.stopped, OSError)
    assert (5, 5) == (tally.answered, len(lines_of(tmp_path / "out.jsonl")))


async def test_a_changed_input_stops_the_run(client: AnyFast, batch: Opened, tmp_path: Path) -> None:
    """A line that was changed since the check ends the run; what came before it is written."""
    async with batch(client, ["a", "b"]) as run:
        data = (tmp_path / "in.jsonl").read_bytes()
        (tmp_path / "in.jsonl").write_bytes(data.replace(b'"r1"', b'"rX"'))
        tally = await run.run()

    assert run.stopped is not None
    assert ("configuration", 1) == (run.stopped.kind, tally.answered)


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
    """on_row hears of each line after it is written, with the counts so far."""
    sim.fail(400, when="bad")
    seen: list[tuple[str, str | None, int]] = []

    def on_row(event: RowDone) -> None:
        seen.append((event.custom_id, event.error.kind if event.error else None, event.tally.done))

    async with batch(client, ["good", "bad"], concurrency=1, on_row=on_row) as run:
        await run.run()

    assert [("r0", None, 1), ("r1", "bad_request", 2)] == seen


async def test_rows_are_read_as_they_are_needed(client: AnyFast, tmp_path: Path, make_line: Any) -> None:
    """The input is pulled by the workers, not ahead of them: memory does not grow with the file."""
    pulled = 0
    path = tmp_path / "in.jsonl"
    path.write_bytes(make_line("a"))
    (line,) = rows(survey(path))

    def endless() -> Iterator[BatchLine]:
        nonlocal pulled
        while True:
            pulled += 1
            yield BatchLine(pulled, f"r{pulled}", line.request)

    with BatchFiles(tmp_path / "out.jsonl", tmp_path / "err.jsonl", frozenset()) as files:
        run = BatchRun(client, endless(), files, total=10**9, concurrency=4)
        run.on_row = lambda event: run.stop(5) if event.tally.answered == 20 else None
        tally = await run.run()

    assert 20 <= tally.answered <= 32
    assert pulled <= tally.answered + 1

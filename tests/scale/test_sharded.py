"""An input over many workers: from cutting it to one output."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from anyfast_async import AnyFast, Budget, ConfigurationError, Limits
from anyfast_async.batch import BatchFiles, BatchRun, MismatchError, ids_of, open_batch, open_source, rows, survey
from anyfast_async.batch.run_header import header_for
from anyfast_async.scale import BatchSettings, WorkersLostError, run_sharded
from anyfast_async.scale.merge import blocks_of
from anyfast_async.scale.plan import folder_of
from anyfast_async.simulator import Simulator

from .conftest import SettingsOf, WriteRows  # type: ignore[import-not-found,unused-ignore]


def ids_in(path: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in path.read_text().splitlines()] if path.exists() else []


def asked(gateway: Simulator) -> Counter[str]:
    return Counter(one.body["messages"][0]["content"] for one in gateway.requests)


def one_process(source: Path, output: Path, settings: BatchSettings, first: int | None = None) -> None:
    """Run the batch as one process does, perhaps for the first rows only."""
    found = survey(open_source(source))
    header = header_for(found, model=settings.model, system=settings.system, fields=settings.fields)

    async def main(files: BatchFiles) -> None:
        async with AnyFast(base_url=settings.base_url, model=settings.model) as client:
            todo = rows(found, skip=files.done, first=first)
            await BatchRun(client, todo, files, total=found.total).run()

    with open_batch(output, output.with_name("out.errors.jsonl"), header=header) as files:
        asyncio.run(main(files))


class Failing(Executor):
    """Loses some of the calls that it is given, before or after they were made, as an engine does."""

    def __init__(self, inner: Executor, loses: Callable[[int, Callable[..., Any]], str | None]) -> None:
        self._inner, self._loses, self._number = inner, loses, 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._number += 1
        match self._loses(self._number, fn):
            case "at once":
                raise BrokenExecutor
            case "before":
                lost: Future[Any] = Future()
                lost.set_exception(UnboundLocalError("what Dask makes of a cancelled task"))
                return lost
            case "after":
                return self._inner.submit(_made_and_lost, fn, args, kwargs)
        return self._inner.submit(fn, *args, **kwargs)


def _made_and_lost(call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    call(*args, **kwargs)
    raise KilledWorker


class KilledWorker(Exception):  # noqa: N818 - Dask's name
    """What Dask says of a task whose workers died."""


def test_many_workers_one_output(
    write_rows: WriteRows, settings_of: SettingsOf, gateway: Simulator, executor: Executor, tmp_path: Path
) -> None:
    """Each row once, in the order of the input; the folder of the run is gone; limits were not passed."""
    source, output = write_rows(120), tmp_path / "out.jsonl"
    result = run_sharded(source, output, settings_of(ordered=True, concurrency=10), executor=executor, shards=6)
    assert result.stopped is None
    assert (result.exit_code, result.tally.answered, result.tally.left) == (0, 120, 0)
    assert ids_in(output) == [f"r{n}" for n in range(120)]
    assert not folder_of(output).exists()
    assert gateway.peak_in_flight <= 10


def test_one_process_goes_on_and_back(
    write_rows: WriteRows, settings_of: SettingsOf, gateway: Simulator, executor: Executor, tmp_path: Path
) -> None:
    """What one process has begun many go on with, and the other way round: nothing is asked twice."""
    source, output, settings = write_rows(60), tmp_path / "out.jsonl", settings_of()
    gateway.fail(400, when=re.compile("row 7$"), times=2)
    one_process(source, output, settings, first=20)
    result = run_sharded(source, output, settings, executor=executor, shards=4)
    assert (result.exit_code, result.tally.already, result.tally.failed) == (1, 19, 1)
    assert ids_in(tmp_path / "out.errors.jsonl") == ["r7"]
    one_process(source, output, settings)
    assert sorted(ids_in(output)) == sorted(f"r{n}" for n in range(60))
    assert asked(gateway) == {f"row {n}": 3 if n == 7 else 1 for n in range(60)}
    again = run_sharded(source, output, settings, executor=executor)
    assert (again.tally.already, again.tally.answered) == (60, 0)


def test_answers_to_other_rows_stay(
    write_rows: WriteRows, settings_of: SettingsOf, executor: Executor, tmp_path: Path
) -> None:
    """What stands in the output and belongs to no row of the input is still there afterwards."""
    source, output = write_rows(6), tmp_path / "out.jsonl"
    one_process(source, output, settings_of())
    line = json.loads(output.read_text().splitlines()[0])
    with output.open("a") as file:
        file.write(json.dumps(line | {"custom_id": "other", "id": "of another program"}) + "\n")
    run_sharded(source, output, settings_of(), executor=executor, shards=2)
    assert sorted(ids_in(output)) == sorted(["other", *(f"r{n}" for n in range(6))])


@pytest.mark.parametrize("how", ["at once", "before", "after"])
def test_a_lost_worker(  # noqa: PLR0917 - fixtures
    write_rows: WriteRows, settings_of: SettingsOf, gateway: Simulator, executor: Executor, tmp_path: Path, how: str
) -> None:
    """A call that an engine loses, however it says so, is made again; what it had done is not done again."""
    source, output, said = write_rows(40), tmp_path / "out.jsonl", list[str]()
    lossy = Failing(executor, lambda number, _: how if number in (1, 6) else None)
    result = run_sharded(source, output, settings_of(), executor=lossy, shards=4, slots=2, say=said.append)
    assert (result.exit_code, sorted(ids_in(output))) == (0, sorted(f"r{n}" for n in range(40)))
    assert set(asked(gateway).values()) == {1}
    assert any("its worker was lost" in one for one in said)


def test_a_shard_that_takes_workers_down(
    write_rows: WriteRows, settings_of: SettingsOf, executor: Executor, tmp_path: Path
) -> None:
    """One that is lost again and again without a row more ends the run, which says why and can be gone on with."""
    source, output = write_rows(8), tmp_path / "out.jsonl"
    lossy = Failing(executor, lambda _, call: "before" if call.__name__ == "run_shard" else None)
    result = run_sharded(source, output, settings_of(), executor=lossy, shards=1, slots=1)
    assert isinstance(result.stopped, WorkersLostError)
    assert (result.exit_code, result.tally.left) == (3, 8)
    assert run_sharded(source, output, settings_of(), executor=executor).exit_code == 0


def test_what_ends_one_shard_ends_all(
    write_rows: WriteRows, settings_of: SettingsOf, gateway: Simulator, executor: Executor, tmp_path: Path
) -> None:
    """A refused key stops the run: what is done is in the output, and the same call goes on."""
    source, output = write_rows(60), tmp_path / "out.jsonl"
    gateway.fail(401, when="row 5", times=1)
    result = run_sharded(source, output, settings_of(concurrency=2), executor=executor, shards=6)
    assert result.exit_code == 3
    assert "401" in str(result.stopped)
    assert len(ids_in(output)) == result.tally.answered < 60
    assert run_sharded(source, output, settings_of(), executor=executor).exit_code == 0
    assert sorted(ids_in(output)) == sorted(f"r{n}" for n in range(60))


def test_a_budget_is_one(
    write_rows: WriteRows, settings_of: SettingsOf, gateway: Simulator, executor: Executor, tmp_path: Path
) -> None:
    """A budget is for all shards and all runs together: all of it can be spent, and no request more."""
    source, output = write_rows(40), tmp_path / "out.jsonl"
    for most, stops in ((13, True), (25, True), (1000, False)):
        settings = settings_of(budget=Budget(requests=most), concurrency=4)
        result = run_sharded(source, output, settings, executor=executor, shards=3)
        assert len(gateway.requests) == min(most, 40)
        assert (result.exit_code == 3) is stops


def test_a_store_divides_the_budget(
    write_rows: WriteRows, settings_of: SettingsOf, gateway: Simulator, executor: Executor, tmp_path: Path
) -> None:
    """With a store for the limits all of it is spent, and no request more; what an earlier run sent counts."""
    source, limits = write_rows(12), Limits(store=tmp_path / "limits.db")
    for most in (4, 7) if os.environ.get("ANYFAST_LONG") else (7,):
        settings = settings_of(budget=Budget(requests=most), limits=limits, concurrency=4)
        result = run_sharded(source, tmp_path / "out.jsonl", settings, executor=executor, shards=2)
        assert len(gateway.requests) == most
        assert result.exit_code == 3


def test_a_budget_with_a_name_needs_a_store(
    write_rows: WriteRows, settings_of: SettingsOf, gateway: Simulator, executor: Executor, tmp_path: Path
) -> None:
    """It is refused: each run would spend all of it."""
    settings = settings_of(budget=Budget(requests=9, name="march"))
    result = run_sharded(write_rows(12), tmp_path / "out.jsonl", settings, executor=executor)
    assert "is kept in a store" in str(result.stopped)
    assert gateway.requests == []


def test_too_many_failures(
    write_rows: WriteRows, settings_of: SettingsOf, gateway: Simulator, executor: Executor, tmp_path: Path
) -> None:
    """Failures of all shards count together."""
    gateway.fail(400, times=None)
    result = run_sharded(
        write_rows(40), tmp_path / "out.jsonl", settings_of(), executor=executor, shards=4, max_failures=2
    )
    assert (result.exit_code, result.stopped and result.stopped.kind) == (3, "failures")  # type: ignore[union-attr]


def test_nothing_is_sent_of_a_bad_input(
    settings_of: SettingsOf, gateway: Simulator, executor: Executor, tmp_path: Path
) -> None:
    """An id that stands in two shards, or a bad line in the last one, is found before anything is sent."""
    source = tmp_path / "in.jsonl"
    body = '{{"messages": [{{"role": "user", "content": "x"}}]}}'
    line = f'{{{{"custom_id": "{{}}", "method": "POST", "url": "/v1/chat/completions", "body": {body}}}}}\n'
    source.write_text("".join(line.format(n) for n in [*range(50), 3]))
    with pytest.raises(ConfigurationError, match="line 51: custom_id: '3' stands on line 4 already"):
        run_sharded(source, tmp_path / "out.jsonl", settings_of(), executor=executor, shards=4)
    source.write_text("".join(line.format(n) for n in range(50)) + "{}\n")
    with pytest.raises(ConfigurationError, match="line 51"):
        run_sharded(source, tmp_path / "out.jsonl", settings_of(), executor=executor, shards=4)
    assert not gateway.requests
    assert not (tmp_path / "out.jsonl").exists()
    result = run_sharded(source, tmp_path / "out.jsonl", settings_of(skip_bad=True), executor=executor, shards=4)
    assert (result.exit_code, result.tally.answered, result.tally.failed) == (1, 50, 1)


def test_rows_keep_their_numbers(settings_of: SettingsOf, executor: Executor, tmp_path: Path) -> None:
    """Ids that are made of numbers are those of one process, whichever shard a row is in."""
    source = tmp_path / "in.csv"
    with source.open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([f"a\n{n}" if n % 3 else str(n)] for n in range(30))])
    result = run_sharded(
        source, tmp_path / "out.jsonl", settings_of(ordered=True), executor=executor, shards=5, template="{text}"
    )
    assert result.exit_code == 0
    assert ids_in(tmp_path / "out.jsonl") == [*ids_of(survey(open_source(source, template="{text}")))]


def test_another_input_or_model(
    write_rows: WriteRows, settings_of: SettingsOf, gateway: Simulator, executor: Executor, tmp_path: Path
) -> None:
    """An output that was begun with something else is refused, in shards or not; nothing is touched."""
    source, output = write_rows(10), tmp_path / "out.jsonl"
    gateway.fail(401, when="row 9", times=1)
    assert run_sharded(source, output, settings_of(), executor=executor, shards=2).exit_code == 3
    with pytest.raises(MismatchError, match="model"):
        run_sharded(source, output, settings_of(model="gemini-2.5-pro"), executor=executor)
    other = tmp_path / "other.jsonl"
    other.write_text(source.read_text() + source.read_text().splitlines()[0].replace("r0", "new") + "\n")
    with pytest.raises(ConfigurationError, match="begun in shards"):
        run_sharded(other, output, settings_of(), executor=executor)
    assert run_sharded(source, output, settings_of(), executor=executor).exit_code == 0


async def test_within_a_loop(
    write_rows: WriteRows, settings_of: SettingsOf, executor: Executor, tmp_path: Path
) -> None:
    """It can be called where a loop runs already, as in a notebook."""
    assert run_sharded(write_rows(4), tmp_path / "out.jsonl", settings_of(), executor=executor).exit_code == 0
    assert threading.active_count() < 50


def test_bad_arguments(write_rows: WriteRows, settings_of: SettingsOf, tmp_path: Path) -> None:
    """Numbers that are none are errors that name them."""
    with ThreadPoolExecutor(1) as threads:
        for wrong in ({"shards": 0}, {"slots": 0}, {"shards": True}):
            with pytest.raises(ConfigurationError, match="must be"):
                run_sharded(write_rows(1), tmp_path / "out.jsonl", settings_of(), executor=threads, **wrong)
        with pytest.raises(ConfigurationError, match="input must be a file"):
            run_sharded("s3://b/in.jsonl", tmp_path / "out.jsonl", settings_of(), executor=threads)
        with pytest.raises(ConfigurationError, match="output must be a file"):
            run_sharded(write_rows(1), "s3://b/out.jsonl", settings_of(), executor=threads)
        with pytest.raises(ConfigurationError, match="name no model"):
            run_sharded(write_rows(1), tmp_path / "out.jsonl", settings_of(model=None), executor=threads)


def test_files_without_a_last_line_end(tmp_path: Path) -> None:
    """Files are put together whole, with a line end between them; one that is not there is none."""
    (tmp_path / "a").write_bytes(b"1\n2")
    (tmp_path / "c").write_bytes(b"")
    (tmp_path / "d").write_bytes(b"3\n")
    assert b"".join(blocks_of(tmp_path / name for name in "abcd")) == b"1\n2\n3\n"

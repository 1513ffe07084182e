"""One shard on one worker."""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest

from anyfast_async import Budget, ConfigurationError, Limits
from anyfast_async.errors import AnyFastError, BudgetExceeded, NotSentError
from anyfast_async.scale import BatchSettings, ShardResult, run_shard, run_sharded
from anyfast_async.scale import lease as lease_module
from anyfast_async.scale.control import ABANDONED, ORPHANED, Leading, Led
from anyfast_async.scale.lease import latest
from anyfast_async.scale.settings import Turn
from anyfast_async.scale.shard_result import read_error, said_of
from anyfast_async.simulator import Simulator

from .conftest import KEY, SettingsOf, WriteRows  # type: ignore[import-not-found,unused-ignore]


def ids_in(path: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in path.read_text().splitlines()] if path.exists() else []


def test_from_path_to_path(write_rows: WriteRows, settings_of: SettingsOf, tmp_path: Path) -> None:
    """Every row has its line; a second call sends nothing; what comes back can be pickled and is small."""
    source, output = write_rows(40), tmp_path / "out.jsonl"
    first = run_shard(source, output, settings_of())
    assert (first.status, sorted(ids_in(output))) == ("complete", sorted(f"r{n}" for n in range(40)))
    second = run_shard(str(source), str(output), settings_of())
    assert second.tally is not None
    assert (second.status, second.tally["already"], second.tally["answered"]) == ("complete", 40, 0)
    assert len(pickle.dumps(first)) < 5000


def test_parquet_in_and_out(settings_of: SettingsOf, executor: Executor, gateway: Simulator, tmp_path: Path) -> None:
    """A table is cut by its row groups, and each shard writes its rows as a part of one table, failed ones as well."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = [f"row {n}" for n in range(30)]
    pq.write_table(pa.table({"text": texts, "n": range(30)}), tmp_path / "in.parquet", row_group_size=7)
    gateway.fail(400, when="row 17", times=1)
    settings = settings_of(parquet=True)
    given = {"executor": executor, "slots": 2, "template": "{text}", "id_column": "n", "shards": 4}
    result = run_sharded(tmp_path / "in.parquet", tmp_path / "out.jsonl", settings, **given)  # type: ignore[arg-type]
    assert result.exit_code == 1
    parts = sorted((tmp_path / "out.parquet").iterdir())
    assert [path.name for path in parts] == [f"part-{n:05d}.parquet" for n in range(len(parts))]
    assert len(parts) > 1
    rows = [row for path in parts for row in pq.read_table(path).to_pylist()]
    assert sorted(int(row["custom_id"]) for row in rows) == list(range(30))
    assert [row["custom_id"] for row in rows if row["outcome"] == "failed"] == ["17"]


def test_what_failed_is_sent_again(
    write_rows: WriteRows, settings_of: SettingsOf, gateway: Simulator, tmp_path: Path
) -> None:
    """A failed row is in the file of failures, and is sent again by the next call, as by the next batch."""
    source, output = write_rows(5), tmp_path / "out.jsonl"
    gateway.fail(400, when="row 3", times=1)
    result = run_shard(source, output, settings_of())
    assert result.tally is not None
    assert (result.status, result.tally["failed"], ids_in(tmp_path / "out.errors.jsonl")) == ("complete", 1, ["r3"])
    assert run_shard(source, output, settings_of()).status == "complete"
    assert len(set(ids_in(output))) == len(ids_in(output)) == 5
    assert ids_in(tmp_path / "out.errors.jsonl") == []


def test_errors_come_back_as_words(
    write_rows: WriteRows, settings_of: SettingsOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No exception leaves a shard: engines change them on their way, and their tracebacks hold what nobody may see."""
    monkeypatch.delenv("ANYFAST_API_KEY")
    missing = run_shard(write_rows(1), tmp_path / "out.jsonl", settings_of())
    assert isinstance(missing.error, ConfigurationError)
    assert "ANYFAST_API_KEY" in str(missing.error)
    nowhere = run_shard(tmp_path / "none.jsonl", tmp_path / "out.jsonl", settings_of())
    assert isinstance(nowhere.error, OSError)
    other = run_shard(write_rows(1), tmp_path / "out.jsonl", attrs.evolve(settings_of(), version="0.0.1"))
    assert "install the same" in str(other.error)


def test_a_refused_key_is_named_and_not_shown(
    write_rows: WriteRows, settings_of: SettingsOf, gateway: Simulator, tmp_path: Path
) -> None:
    """What ends a run early says what it was; the key is in nothing that travels or lies in a file."""
    gateway.fail(401)
    result = run_shard(write_rows(3), tmp_path / "out.jsonl", settings_of())
    assert (result.status, result.stopped and result.stopped["kind"]) == ("stopped", "auth")
    assert KEY.encode() not in pickle.dumps((result, settings_of()))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "error",
    [
        BudgetExceeded("x"),
        OSError(28, "no space", "/x"),
        ValueError("y" * 20_000),
        TimeoutError(),
        attrs.evolve(NotSentError("n")) if False else NotSentError("n"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_errors_in_words_and_back(error: Exception) -> None:
    """What an error was, is told by what is read back of it; a long message is cut."""
    found = read_error(json.loads(json.dumps(said_of(error))))
    kept = isinstance(error, (AnyFastError, OSError)) and not isinstance(error, TimeoutError)
    assert type(found) is (type(error) if kept else found.__class__)
    assert len(str(found)) < 3000


def test_a_key_is_not_taken() -> None:
    """Settings travel in the open: a key in them is an error that does not show it."""
    with pytest.raises(ConfigurationError, match="environment") as caught:
        BatchSettings(key_file=KEY)  # type: ignore[arg-type]
    assert KEY not in str(caught.value)


def test_arguments_that_dask_would_keep_to_itself() -> None:
    """No argument of a shard has a name that Dask's ``submit`` takes for itself."""
    taken = {"retries", "priority", "workers", "resources", "key", "pure", "actor", "actors", "allow_other_workers"}
    code = run_shard.__code__
    assert not taken & set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def test_a_second_copy_waits(
    write_rows: WriteRows, settings_of: SettingsOf, gateway: Simulator, tmp_path: Path
) -> None:
    """Of two calls for one shard one works; the other has its result without sending anything."""
    source, output = write_rows(30), tmp_path / "out.jsonl"
    turn = Turn(limits=Limits(), concurrency=8, session="s")
    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(run_shard, source, output, settings_of(), turn=turn) for _ in range(3)]
        results = [call.result() for call in calls]
    assert {one.status for one in results} == {"complete"}
    assert len(gateway.requests) == 30
    assert len({one.lease for one in results}) == 1


def test_cut_off_it_stops(
    write_rows: WriteRows, settings_of: SettingsOf, gateway: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose share is away sends nothing once its lease is over; another one ends the shard, each row once.

    Its late answers go into files that nobody reads any more.
    """
    source, output = write_rows(60), tmp_path / "out.jsonl"
    gateway.reply("slow", ttft=0.02)
    cut = threading.Event()
    beat = lease_module.Lease.beat

    def beats(self: lease_module.Lease) -> None:
        if cut.is_set() and self.number == 1:
            raise OSError(5, "the share is away")
        beat(self)

    ahead = 0.0

    def wait(_: float) -> None:  # of who waits for the lease
        nonlocal ahead
        ahead += 31.0

    monkeypatch.setattr(lease_module.Lease, "beat", beats)
    monkeypatch.setattr(lease_module, "seconds", lambda: time.monotonic() + ahead)
    settings = settings_of(lease=30.0)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(run_shard, source, output, attrs.evolve(settings, concurrency=1))
        while len(gateway.requests) < 5 and not first.done():
            time.sleep(0.005)
        cut.set()
        ahead += 20.0
        lost = first.result()
        sent = len(gateway.requests)
        assert lost.status == "lost"
        assert sent < 60
        time.sleep(0.1)
        assert len(gateway.requests) == sent
        monkeypatch.setattr(lease_module, "_machine", lambda: "another")
        monkeypatch.setattr(lease_module, "time", SimpleNamespace(sleep=wait, monotonic=time.monotonic))
        second = run_shard(source, output, settings)
    assert (second.status, second.stopped) == ("complete", None)
    assert sorted(ids_in(output)) == sorted(f"r{n}" for n in range(60))
    assert len(gateway.requests) <= 60 + len(lost.unfinished) + 1


def test_budget_of_a_turn_comes_on_top(write_rows: WriteRows, settings_of: SettingsOf, tmp_path: Path) -> None:
    """What a turn may spend is what it may spend more: what the shard has spent before is its own."""
    source, output = write_rows(20), tmp_path / "out.jsonl"
    settings = settings_of(budget=Budget(requests=100))
    spent = []
    for _ in range(2):
        turn = Turn(limits=Limits(), concurrency=4, requests=6)
        result = run_shard(source, output, settings, turn=turn)
        spent.append(result.spent[2])
        assert result.stopped is not None
        assert result.stopped["kind"] == "not_sent" or result.stopped["kind"] == "budget"
    assert spent == [6, 12]
    assert len(ids_in(output)) == 12


# -- told to stop ----------------------------------------------------------------------------------------------------


def test_control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker goes on as long as its run does: it hears of the end, of another run, and of silence."""
    path = tmp_path / "control"
    leading, led = Leading(path, "a"), Led(path, "a", 0.05)
    leading.beat()
    assert led.stop() is None
    leading.grace = 7.0
    leading.beat()
    assert led.stop() == 7.0
    Leading(path, "b").beat()
    assert led.stop() == ORPHANED
    again = Leading(path, "a")
    again.beat()
    assert led.stop() is None
    time.sleep(0.06)
    assert led.stop() == ORPHANED
    again.beat()
    assert led.stop() is None
    monkeypatch.setattr("anyfast_async.scale.control.ABANDONED", event := threading.Event())
    event.set()
    assert led.stop() == ORPHANED
    assert not ABANDONED.is_set()


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    """Waits until something is so."""

    def wait(so: Callable[[], bool]) -> None:
        while not so():
            time.sleep(0.005)

    return wait


def test_told_to_stop(
    write_rows: WriteRows,
    settings_of: SettingsOf,
    gateway: Simulator,
    tmp_path: Path,
    wait_for: Callable[[Callable[[], bool]], None],
) -> None:
    """A shard that is told to stop lets what is in flight end, and lets go; the next call goes on at once."""
    source, output, control = write_rows(200), tmp_path / "out.jsonl", tmp_path / "control"
    gateway.reply("slow", ttft=0.02)
    leading = Leading(control, "a")
    leading.beat()
    turn = Turn(limits=Limits(), concurrency=2, session="a", control=control)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(run_shard, source, output, settings_of(), turn=turn)
        wait_for(lambda: len(gateway.requests) > 4)
        leading.grace = 5.0
        leading.beat()
        result = call.result()
    assert result.status == "interrupted"
    done = len(ids_in(output))
    assert done == len(gateway.requests) < 200
    last = latest(tmp_path / "out.jsonl.shard")
    assert last is not None
    assert last.is_over
    assert ShardResult.read(last.said["over"]) == result

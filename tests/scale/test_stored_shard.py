"""Shards whose files are in an object store."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import Executor
from pathlib import Path

import pytest

pytest.importorskip("fsspec")

from anyfast_async import ConfigurationError
from anyfast_async.scale import run_shard, run_sharded
from anyfast_async.scale.exchange import ShardExchange
from anyfast_async.scale.lease import latest
from anyfast_async.scale.object_store import Stored
from anyfast_async.simulator import Simulator

from .conftest import SettingsOf, WriteRows  # type: ignore[import-not-found,unused-ignore]


def ids_in(data: bytes | str) -> list[str]:
    return [json.loads(line)["custom_id"] for line in data.splitlines()]


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Stored:
    """A folder of a store."""
    where = f"file://{tmp_path}/store" if request.param == "file" else f"memory://{tmp_path.name}-{time.time_ns()}"
    found = Stored(where)
    found.make()
    return found


def test_from_address_to_address(store: Stored, write_rows: WriteRows, settings_of: SettingsOf) -> None:
    """Every row has its line in the store; a second call sends nothing; a failed row is sent again by the next."""
    store.put(write_rows(20), "in.jsonl")
    first = run_shard(f"{store}/in.jsonl", f"{store}/out.jsonl", settings_of())
    assert (first.status, first.stopped) == ("complete", None)
    assert sorted(ids_in(store.read("out.jsonl"))) == sorted(f"r{n}" for n in range(20))
    again = run_shard(f"{store}/in.jsonl", f"{store}/out.jsonl", settings_of())
    assert again.tally is not None
    assert (again.status, again.tally["already"], again.tally["answered"]) == ("complete", 20, 0)
    nowhere = run_shard(f"{store}/none.jsonl", f"{store}/other.jsonl", settings_of())
    assert "there is no such file" in str(nowhere.error)


def test_a_worker_is_lost(
    store: Stored, write_rows: WriteRows, settings_of: SettingsOf, gateway: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes over after a worker has stood still goes on with its last copy: what was answered is not sent again."""
    store.put(write_rows(200), "in.jsonl")
    settings = settings_of(lease=2.0, copy_every=0.1, concurrency=4)
    gateway.reply("late", ttft=0.05)
    dead = threading.Event()
    write = Stored.write

    def written(self: Stored, name: str, data: bytes) -> None:
        if dead.is_set() and name == "beat-1":
            raise OSError
        write(self, name, data)

    monkeypatch.setattr(Stored, "write", written)
    first: list[str] = []
    where = (f"{store}/in.jsonl", f"{store}/out.jsonl")
    thread = threading.Thread(target=lambda: first.append(run_shard(*where, settings).status))
    thread.start()
    leases = store.within("out.jsonl.shard")
    while not first and (len(gateway.requests) < 25 or (beat := latest(leases)) is None or beat.files is None):
        time.sleep(0.01)
    dead.set()
    result = run_shard(*where, settings)
    thread.join()
    assert (first, result.status, result.lease) == (["lost"], "complete", 2)
    found = ids_in(store.read("out.jsonl"))
    assert sorted(found) == sorted(f"r{n}" for n in range(200))
    assert result.tally is not None
    assert result.tally["already"] > 0
    assert len(gateway.requests) - 200 <= 200 - result.tally["already"]


def test_a_run_through_a_store(  # noqa: PLR0917 - fixtures
    store: Stored,
    write_rows: WriteRows,
    settings_of: SettingsOf,
    executor: Executor,
    tmp_path: Path,
    gateway: Simulator,
) -> None:
    """Pieces go there and come back; a run that ended early goes on; at its end nothing is left there."""
    gateway.fail(401, when="row 33", times=1)
    source, out = write_rows(40), tmp_path / "out.jsonl"
    given = {"executor": executor, "slots": 2, "through": f"{store}/run"}
    first = run_sharded(source, out, settings_of(concurrency=2), **given)  # type: ignore[arg-type]
    assert (first.exit_code, first.tally.left > 0) == (3, True)
    assert len(ids_in(out.read_text())) == 40 - first.tally.left
    last = run_sharded(source, out, settings_of(concurrency=2), **given)  # type: ignore[arg-type]
    assert (last.exit_code, last.stopped) == (0, None)
    assert sorted(ids_in(out.read_text())) == sorted(f"r{n}" for n in range(40))
    assert len(gateway.requests) <= 40 + 3
    assert not store.within("run").names()


def test_an_address_that_cannot_be(write_rows: WriteRows, settings_of: SettingsOf, tmp_path: Path) -> None:
    """Passwords in an address, places of which nothing is known, and other runs' folders are refused before a row."""
    with pytest.raises(ConfigurationError, match="password"):
        Stored("s3://user:secret@bucket/folder")
    with pytest.raises(ConfigurationError, match="nosuch"):
        Stored("nosuch://bucket/folder")
    for nothing in ("s3://", "s3:///"):
        with pytest.raises(ConfigurationError, match="names no folder"):
            Stored(nothing)
    result = run_shard("nosuch://a/in.jsonl", "nosuch://a/out.jsonl", settings_of())
    assert isinstance(result.error, ConfigurationError)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="nothing was sent"):
        ShardExchange(f"file://{tmp_path}/file/folder")
    del write_rows

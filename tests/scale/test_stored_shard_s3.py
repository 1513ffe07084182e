"""Shards through a real S3 server: ``nox -s object_stores``."""

# ruff: noqa: T201 - figures are shown

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anyfast_async import ConfigurationError
from anyfast_async.scale import run_shard
from anyfast_async.scale.exchange import ShardExchange
from anyfast_async.scale.lease import latest
from anyfast_async.scale.object_store import Stored
from anyfast_async.simulator import Latency, Simulator

from .conftest import SettingsOf, WriteRows  # type: ignore[import-not-found,unused-ignore]

pytestmark = [
    pytest.mark.skipif(os.environ.get("ANYFAST_STORES") != "1", reason="nox -s object_stores"),
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("default"),  # of libraries that are not ours
]
ROWS = 400


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket of a server on loopback."""
    made: Any = importlib.import_module("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    made.start()
    host, port = made.get_host_and_port()
    environment = {"ENDPOINT_URL": f"http://{host}:{port}", "KEY": "made-up", "SECRET": "made-up"}
    for name, value in environment.items():
        monkeypatch.setenv(f"FSSPEC_S3_{name}", value)
    importlib.import_module("fsspec.config").set_conf_env(importlib.import_module("fsspec.config").conf)
    Stored("s3://rows").make()
    yield "s3://rows"
    made.stop()


def test_files_are_made_once(bucket: str) -> None:
    """Of two who make a file there one is told that it is there: so a lease has one holder."""
    found = Stored(f"{bucket}/leases")
    assert [found.claim("lease-1"), found.claim("lease-1")] == [-1, None]
    assert found.names() == ["lease-1"]
    with pytest.raises(FileNotFoundError):
        found.read("beat-1")
    with pytest.raises(ConfigurationError, match="no address"):
        ShardExchange("/a/path")


def test_a_shard(bucket: str, write_rows: WriteRows, settings_of: SettingsOf) -> None:
    """From address to address; a second call sends nothing."""
    store = Stored(bucket)
    store.put(write_rows(30), "in.jsonl")
    for already in (0, 30):
        result = run_shard(f"{bucket}/in.jsonl", f"{bucket}/out.jsonl", settings_of())
        assert result.tally is not None, result.stopped
        assert (result.status, result.tally["already"]) == ("complete", already)
    assert len(store.read("out.jsonl").splitlines()) == 30


def test_a_worker_is_killed(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two processes is killed: nothing is lost or there twice; sent again is what was not copied yet.

    That is what both had answered: the pool ends the other one, too.
    """
    monkeypatch.setenv("ANYFAST_API_KEY", "sk-made-up-for-the-workers")
    source, out = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("".join(f"good {n}\n" for n in range(ROWS)))
    with Simulator.in_thread(latency=Latency(ttft=0.3)) as gateway:
        monkeypatch.setenv("ANYFAST_BASE_URL", gateway.base_url)
        words = ("-i", source, "-o", out, "-m", "gemini-2.5-flash", "--processes", "2", "--concurrency", "16")
        command = [sys.executable, "-m", "anyfast_async", "batch", *map(str, words), "--through", f"{bucket}/run"]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        pids: set[int] = set()
        while not pids or len(gateway.requests) < ROWS // 4:
            assert run.poll() is None, run.communicate()
            leases = [one for one in Stored(f"{bucket}/run/outputs").names() if one.endswith(".shard")]
            beats = [latest(Stored(f"{bucket}/run/outputs/{one}")) for one in leases]
            pids = {beat.said["pid"] for beat in beats if beat is not None and beat.said and not beat.is_over}
            time.sleep(0.1)
        before = len(gateway.requests)
        os.kill(pids.pop(), signal.SIGKILL)
        _, err = run.communicate()
        assert run.returncode == 0, err
        lines = [json.loads(line)["custom_id"] for line in out.read_text().splitlines()]
        assert Counter(lines) == Counter(f"line-{n + 1}" for n in range(ROWS))
        print(f"{ROWS} rows, {len(gateway.requests) - ROWS} sent again")
        assert len(gateway.requests) - ROWS <= before + 32  # what was in flight comes on top
    assert not Stored(f"{bucket}/run").names()

"""The benchmarks run: each of our own clients against the stub gateway, a few calls, nothing timed."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
CALLS = 20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the stub gateway needs epoll"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="the stub gateway needs a C compiler"),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the folder in which the stub is built, once."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def measured(tmp_path: Path, cache: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a workload with some clients; return what each client said."""
    monkeypatch.setenv("ANYFAST_BENCH_CACHE", cache)

    def run(workload: str, *clients: str, calls: int = CALLS) -> dict[str, dict[str, Any]]:
        out = tmp_path / "results.json"
        options = ["--rounds", "1", "--calls", str(calls), "--clients", ",".join(clients), "--out", str(out)]
        command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), workload, *options]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        runs = json.loads(out.read_text())["workloads"][workload]["runs"]
        assert all(f"| {client} |" in ended.stdout for client in clients), ended.stdout
        return {client: of_client for client, (of_client,) in runs.items()}

    return run


def test_clients_await(measured: Any) -> None:
    """Each client gets every answer: 20 measured calls after 90 that open the connections."""
    for said in measured("await-64", "ours", "raw_aiohttp", "raw_protocol").values():
        assert said["cpu_us"] > 0
        assert said["requests"] == 2 * CALLS + 50 + CALLS
        assert said["versions"]["python"]


def test_clients_stream(measured: Any) -> None:
    """Each way of streaming reads every text of every stream, written event by event."""
    for said in measured("stream-each", "ours:tokens", "ours:chunks", "raw_aiohttp", "raw_protocol").values():
        assert said["cpu_us"] > 0
        assert said["requests"] == CALLS + CALLS


def test_map_is_a_batch(measured: Any) -> None:
    """The batch of ours, which is a map, gets every answer."""
    said = measured("batch", "ours")["ours"]
    assert (said["done"], said["failed"]) == (CALLS, 0)


def test_failures_are_told(measured: Any) -> None:
    """What the gateway refuses is counted as failed, by the client's own exception: 20 of 40 calls at a time pass."""
    said = measured("throttled", "raw_aiohttp", calls=2 * CALLS)["raw_aiohttp"]
    assert said["requests"] == 1 + 2 * CALLS
    assert said["refused"] > 0
    assert said["errors"] == {"ClientResponseError": said["refused"]}


def test_limiters_side_by_side(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the clock that jumps, a semaphore lets 600 calls go in any minute, each in its turn, and never more."""
    monkeypatch.setenv("ANYFAST_BENCH_CACHE", cache)
    command = [sys.executable, str(ROOT / "benchmarks" / "limiters" / "run.py"), "by_hand", "--alone"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (row,) = (line for line in ended.stdout.splitlines() if line.startswith("| by hand"))
    assert row.split(" | ")[1:-1] == ["100 %", "100 %", "-", "-", "-", "0.0 s", "120"]


def test_limiters_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst window is found wherever it begins; who goes before his turn makes another late; parts are compared."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "limiters"))
    judge: Any = importlib.import_module("judge")
    assert judge.worst([(0, 1), (59.9, 2), (60, 4), (119.9, 8), (120, 16)], 60) == 24  # 60 s later is another minute
    requests = [judge.Request(0, asked, arrived, 1) for asked, arrived in ((0, 9), (1, 2), (2, 3), (3, None))]
    assert judge.late(requests[1:3], 10) == 0
    assert judge.late(requests, 10) == 7  # it asked first, and the first went at 2
    assert judge.late([*requests[:2], judge.Request(0, 2, None, 1)], 10) == 7
    assert judge.jain([1, 1, 1, 1]) == 1
    assert judge.jain([4, 0, 0, 0]) == 0.25

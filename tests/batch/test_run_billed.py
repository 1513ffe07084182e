"""What a run names as perhaps billed, held against what the gateway saw."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anyfast_async.batch import open_batch

LONG = os.environ.get("ANYFAST_LONG") == "1"
PROGRAMS = Path(__file__).parent / "programs"
RUNS = 20 if LONG else 2
ROWS, CONCURRENCY = 4000, 16
FRESH = 0.05
"""Seconds before the signal in which a request may be written down and not have arrived, or the reverse."""

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]


class Logged:
    """A gateway in another process, which writes what it saw and when."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self._log = log

    def asked(self, before: float) -> dict[str, float]:
        """The ids that it was asked before a time, and when first."""
        found: dict[str, float] = {}
        for line in self._log.read_text().splitlines():
            at, kind, prompt = line.split(" ", 2)
            if kind == "asked" and float(at) <= before:
                found.setdefault(prompt.split()[-1], float(at))
        return found


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Logged]:
    """One that answers within 5 to 60 ms, and refuses a few."""
    command = [sys.executable, str(PROGRAMS / "logging_gateway.py"), str(tmp_path / "seen")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Logged(process.stdout.readline().strip(), tmp_path / "seen")
        process.communicate("")


def interrupted(folder: Path, url: str, seconds: float, *numbers: int) -> tuple[dict[str, Any] | None, float]:
    """Run a batch, send it signals once it is under way; return its last event and when they came."""
    out = folder / "out.jsonl"
    command = [sys.executable, "-m", "anyfast_async", "batch", "-i", str(folder / "in.jsonl"), "-o", str(out), "--json"]
    environment = os.environ | {"ANYFAST_BASE_URL": url, "ANYFAST_API_KEY": "sk-0123456789abcdef"}
    more = ["--concurrency", str(CONCURRENCY)]
    with subprocess.Popen(
        command + more, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as process:
        deadline = time.monotonic() + 30
        while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(seconds)
        at = time.time()
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.01 if number == signal.SIGINT else 0)
        said, _ = process.communicate(timeout=30)
    lines = said.splitlines()
    last = json.loads(lines[-1]) if lines and lines[-1].startswith('{"event":"end"') else None
    return last, at


def recorded(folder: Path) -> set[str]:
    """The ids with a whole line of an answer or a failure, in the files or the log."""
    found: set[str] = set()
    for name in ("out.jsonl", "out.errors.jsonl", "out.jsonl.run"):
        path = folder / name
        for line in path.read_bytes().splitlines() if path.exists() else []:
            at = line.find(b'{"custom_id":"')
            if at >= 0 and line.endswith(b"}"):
                found.add(line[at + 14 :].split(b'"')[0].decode())
    return found


def refused_last(log: Path) -> set[str]:
    """The ids whose last request that the gateway saw it refused."""
    last: dict[str, str] = {}
    for line in log.read_text().splitlines():
        _, kind, prompt = line.split(" ", 2)
        last[prompt.split()[-1]] = kind
    return {name for name, kind in last.items() if kind == "refused"}


@pytest.fixture
def batch_in(tmp_path: Path, make_line: Callable[..., bytes]) -> Callable[[str], Path]:
    """Makes a folder with the input of a batch."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        rows = (make_line(f"r{n}", messages=[{"role": "user", "content": f"{name} r{n}"}]) for n in range(ROWS))
        (folder / "in.jsonl").write_bytes(b"".join(rows))
        return folder

    return make


def test_interrupted(gateway: Logged, batch_in: Callable[[str], Path], tmp_path: Path) -> None:
    """After two SIGINTs exactly those are named that the gateway was asked and has not refused, without a record.

    What was written down within the last 50 ms may not have arrived.
    """
    rand = random.Random(3)
    for run in range(RUNS):
        folder = batch_in(f"int{run}")
        last, at = interrupted(folder, gateway.url, rand.uniform(0, 0.3), signal.SIGINT, signal.SIGINT)
        assert last is not None
        time.sleep(0.1)
        asked, done, refused = gateway.asked(time.time()), recorded(folder), refused_last(tmp_path / "seen")
        seen = {name for name in asked if name not in done and name not in refused}
        named = set(last["unfinished"])

        sys.stdout.write(f"SIGINT {run}: named {len(named)}, seen {len(seen)}\n")
        assert {name for name in seen - named if asked[name] < at - FRESH} == set()
        assert len(named - seen) <= CONCURRENCY
        assert {name for name in named - seen if name in asked and asked[name] < at - FRESH} <= refused
        (tmp_path / "seen").write_text("")


def test_killed(gateway: Logged, batch_in: Callable[[str], Path], tmp_path: Path) -> None:
    """After SIGKILL the next run names at least those, and at most as many more as were in flight."""
    rand = random.Random(4)
    for run in range(RUNS):
        folder = batch_in(f"kill{run}")
        interrupted(folder, gateway.url, rand.uniform(0, 0.3), signal.SIGKILL)
        time.sleep(0.1)
        asked, done = gateway.asked(time.time()), recorded(folder)
        refused = refused_last(tmp_path / "seen")
        seen = {name for name in asked if name not in done and name not in refused}
        with open_batch(folder / "out.jsonl", folder / "out.errors.jsonl") as files:
            named = set(files.maybe_billed)

        sys.stdout.write(f"SIGKILL {run}: named {len(named)}, seen {len(seen)}\n")
        assert seen <= named
        assert len(named - seen) <= CONCURRENCY
        (tmp_path / "seen").write_text("")

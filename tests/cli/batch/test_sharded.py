"""``anyfast batch --processes`` and ``--dask``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from anyfast_async._journal.records import failures_of, log_of
from anyfast_async.batch.report.gathered import gathered
from anyfast_async.batch.results.results import Results
from anyfast_async.cli.batch import sharded
from anyfast_async.scale.plan import folder_of
from anyfast_async.scale.workers import OnExecutor
from anyfast_async.simulator import Simulator

KEY = "sk-key-of-the-command-0123456789"
posix = pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs POSIX signals")


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads in place of the processes that ``--processes`` starts: what they do is the same, sooner."""

    @contextmanager
    def started(number: int) -> Iterator[OnExecutor]:
        with ThreadPoolExecutor(number) as executor:
            yield OnExecutor(executor)

    monkeypatch.setattr(sharded, "Processes", started)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """An input of 40 prompts, of lines whose numbers are their ids."""
    path = tmp_path / "in.txt"
    path.write_text("".join(f"say {n}\n" for n in range(1, 41)))
    return path


def ids_in(path: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in path.read_text().splitlines()]


@pytest.mark.usefixtures("threads")
def test_as_one_process(anyfast: Callable[..., Any], rows: Path, tmp_path: Path) -> None:
    """The same files and the same words as from one process; limits that are divided are said; a second run is none."""
    out, command = tmp_path / "out.jsonl", ("batch", "-i", rows, "-o", tmp_path / "out.jsonl", "--simulate")
    first = anyfast(*command, "--processes", 2, "--rpm", 6000, "--ordered")
    assert (first.code, ids_in(out)) == (0, [f"line-{n}" for n in range(1, 41)])
    assert "2 workers, each with a part of the limits: 32 rows at once, 3,000 requests a minute" in first.err
    assert "answered                 40\n" in first.out
    assert {"in.txt", "out.jsonl", "out.jsonl.run"} == {path.name for path in tmp_path.iterdir()}
    second, third = anyfast(*command, "--processes", 2), anyfast(*command)
    assert "nothing to do: every row (40) has its result; nothing was sent\n" == second.out == third.out


@pytest.mark.usefixtures("threads")
def test_stopped_and_gone_on(
    anyfast: Callable[..., Any], rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends early has exit code 3 and says how to go on; one process refuses what others may be at still."""
    monkeypatch.setenv("ANYFAST_API_KEY", KEY)
    out = tmp_path / "out.jsonl"
    with Simulator.in_thread() as simulator:
        simulator.fail(401, when="say 33", times=1)
        monkeypatch.setenv("ANYFAST_BASE_URL", simulator.base_url)
        command = ("batch", "-i", rows, "-o", out, "-m", "gemini-2.5-flash", "--concurrency", 2)
        first = anyfast(*command, "--processes", 2)
        assert first.code == 3
        assert "401" in first.err
        assert "to go on:" in first.err
        refused = anyfast(*command)
        assert refused.code == 2
        assert "go on with --processes N" in " ".join(refused.err.split())
        last = anyfast(*command, "--processes", 3, "--json")
    assert last.code == 0
    assert json.loads(last.out.splitlines()[-1])["answered"] == 40
    assert len(set(ids_in(out))) == len(ids_in(out)) == 40
    assert KEY not in first.err + first.out + last.err + last.out


@pytest.mark.usefixtures("threads")
def test_bad_rows_are_named(anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """Problems of all shards are listed with their lines, nothing is sent and nothing is left behind."""
    source = tmp_path / "in.jsonl"
    good = '{"custom_id": "%d", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": 5}}\n'
    source.write_text("".join(good % n for n in range(30)))
    found = anyfast("batch", "-i", source, "-o", tmp_path / "out.jsonl", "--simulate", "--processes", 2)
    assert found.code == 2
    assert "30 problems in" in found.err
    assert {"in.jsonl"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--processes", "2", "--limit", "3"), "run this without --processes or --dask first"),
        (("--processes", "2", "--preview", "3"), "run this without --processes or --dask first"),
        (("--processes", "2", "--extend"), "run this once with --limit 1 instead of --processes"),
        (("--processes", "2", "--dedupe"), "finds equal requests in one process"),
        (("--processes", "2", "--dask", "tcp://h:8786"), "one of the two"),
        (("--dask", "tcp://h:8786", "--simulate"), "workers elsewhere cannot reach"),
        (("--processes", "0"), "--processes"),
    ],
)
def test_what_does_not_go_together(
    anyfast: Callable[..., Any], rows: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """Options that exclude each other are named before anything is done."""
    found = anyfast("batch", "-i", rows, "-o", tmp_path / "out.jsonl", *words)
    assert found.code == 2
    assert said in " ".join(found.err.split())


@pytest.mark.usefixtures("threads")
def test_what_one_process_does_first(anyfast: Callable[..., Any], rows: Path, tmp_path: Path) -> None:
    """A few rows, or an input that has grown, are begun by one process; many go on: no row is sent twice."""
    command = ("batch", "-i", rows, "-o", tmp_path / "out.jsonl", "--simulate")
    assert anyfast(*command, "--limit", 3).code == 0
    many = anyfast(*command, "--processes", 2)
    assert (many.code, "40 (3 of them before)" in many.out) == (0, True)
    with rows.open("a") as file:
        file.write("say 41\nsay 42\n")
    assert anyfast(*command, "--limit", 1, "--extend").code == 0
    again = anyfast(*command, "--processes", 2)
    assert again.code == 0, again.err
    assert sorted(ids_in(tmp_path / "out.jsonl")) == sorted(f"line-{n}" for n in range(1, 43))


@pytest.mark.usefixtures("threads")
def test_one_report(anyfast: Callable[..., Any], rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One page tells of the rows of all shards, each once, also when a run was stopped and gone on with."""
    monkeypatch.setenv("ANYFAST_API_KEY", KEY)
    out, report = tmp_path / "out.jsonl", tmp_path / "run.html"
    with Simulator.in_thread() as simulator:
        simulator.fail(401, when="say 33", times=1)
        monkeypatch.setenv("ANYFAST_BASE_URL", simulator.base_url)
        command = ("batch", "-i", rows, "-o", out, "-m", "gemini-2.5-flash", "--processes", 2, "--concurrency", 2)
        first = anyfast(*command, "--report", report)
        assert first.code == 3
        early = _figures(out)
        assert early["answered"] == len(ids_in(out))
        assert anyfast(*command, "--report", report).code == 0
    assert _figures(out)["answered"] == 40
    assert _figures(out)["samples"] > early["samples"] > 0
    assert "run.html" in first.err
    page = report.read_text()
    assert "gemini-2.5-flash" in page
    assert KEY not in page


def _figures(out: Path) -> Counter[str]:
    """Return what the stretches in the log of an output add up to."""
    with Results(out, failures_of(out), log_of(out)) as found:
        whole = gathered(found, out, log_of(out)).whole
    answered = sum(one.answered for one in whole.models.values())
    return Counter(answered=answered, samples=whole.samples)


def test_without_the_package(
    anyfast: Callable[..., Any], rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``distributed`` the line that installs it is printed."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    found = anyfast("batch", "-i", rows, "-o", tmp_path / "out.jsonl", "--dask", "local", "--no-key")
    assert found.code == 2
    assert "pip install 'anyfast-async[dask]'" in " ".join(found.err.split())


# -- real processes --------------------------------------------------------------------------------------------------


async def until(so: Callable[[], bool]) -> None:
    while not so():
        await asyncio.sleep(0.01)


@posix
@pytest.mark.slow
@pytest.mark.reliability
@pytest.mark.skipif(os.environ.get("ANYFAST_LONG") != "1", reason="seconds of starting processes; ANYFAST_LONG=1")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("end", ["ctrl-c", "kill -9 worker", "kill -9 all"])
async def test_ends(start: Any, slow_gateway: Simulator, tmp_path: Path, end: str) -> None:
    """Ctrl-C, a killed worker and a killed run: every row once, and no more sent again than was at work."""
    source, out = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("".join(f"say {n}\n" for n in range(300)))
    command = ("batch", "-i", source, "-o", out, "-m", "gemini-2.5-flash", "--processes", 2, "--concurrency", 8)
    run = await start(*command)
    await until(lambda: len(slow_gateway.requests) > 40)
    if end == "ctrl-c":
        run.send(signal.SIGINT)
        assert (await run.ended()).code == 130
        run = await start(*command)
    elif end == "kill -9 worker":
        beats = [*folder_of(out).glob("outputs/*.shard/beat-*")]
        workers = {said["pid"] for said in map(json.loads, [path.read_text() for path in beats]) if not said["over"]}
        os.kill(workers.pop(), signal.SIGKILL)
    else:
        run.process.kill()
        await run.process.communicate()
        run = await start(*command)
    ran = await run.ended()
    assert ran.code == 0, ran.err
    assert sorted(ids_in(out)) == sorted(f"line-{n}" for n in range(1, 301))
    assert len(slow_gateway.requests) <= 300 + 8
    assert not folder_of(out).exists()

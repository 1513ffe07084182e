"""The files of a batch under processes: a full disk, two at once, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

resource = pytest.importorskip("resource")

PROGRAMS = Path(__file__).parent / "programs"
ROWS = 120

pytestmark = [pytest.mark.slow, pytest.mark.reliability]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment for a gateway in another process, which writes what it was asked into ``asked``."""
    command = [sys.executable, str(PROGRAMS / "counting_gateway.py"), str(tmp_path / "asked"), "0.05"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        yield os.environ | {"ANYFAST_BASE_URL": url, "ANYFAST_API_KEY": "sk-test-0123456789"}
        process.communicate("")


@pytest.fixture
def command(tmp_path: Path, make_line: Callable[..., bytes]) -> list[str]:
    """A command that runs a batch, eight rows at a time."""
    rows = [make_line(f"r{i}", messages=[{"role": "user", "content": f"row {i}"}]) for i in range(ROWS)]
    (tmp_path / "in.jsonl").write_bytes(b"".join(rows))
    start = [sys.executable, "-m", "anyfast_async", "batch", "--concurrency", "8"]
    return [*start, "-i", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl")]


def ids_in(path: Path) -> list[str]:
    data = path.read_bytes()
    assert data.endswith(b"\n")
    return [json.loads(line)["custom_id"] for line in data.splitlines()]


def complete(command: list[str], env: dict[str, str], out: Path) -> None:
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, "" if done.returncode == 0 else done.stderr)
    assert sorted(f"r{i}" for i in range(ROWS)) == sorted(ids_in(out))


def test_a_limit_on_the_size_of_files(gateway: dict[str, str], command: list[str], tmp_path: Path) -> None:
    """At RLIMIT_FSIZE the run stops with exit code 3 and says how many are unsaved; the next one completes it."""
    limit = 20_000

    done = subprocess.run(
        command,
        # Python would write its own files short at the limit too, and take what it finds there for whole.
        env={**gateway, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )

    out = tmp_path / "out.jsonl"
    written = len(ids_in(out))
    asked = len((tmp_path / "asked").read_text().splitlines())
    assert (3, True) == (done.returncode, "File too large" in done.stderr)
    assert f"{asked - written} " in done.stderr
    assert out.stat().st_size <= limit
    complete(command, gateway, out)


def test_two_at_once(gateway: dict[str, str], command: list[str], tmp_path: Path) -> None:
    """The second one exits with 2, names the first, touches nothing, and the first does not notice."""
    out, slow = tmp_path / "out.jsonl", [*command, "--concurrency", "1"]
    with subprocess.Popen(slow, env=gateway, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as first:
        while not out.exists():
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)  # however long the second one takes to start
        second = subprocess.run(command, env=gateway, capture_output=True, text=True, check=False)
        first.send_signal(signal.SIGCONT)
        assert (2, True) == (second.returncode, f"process {first.pid} on " in second.stderr), second.stderr
        assert first.poll() is None
        first.terminate()

    complete(command, gateway, out)
    assert ROWS == len((tmp_path / "asked").read_text().splitlines())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal(
    gateway: dict[str, str], command: list[str], tmp_path: Path, *, number: signal.Signals, code: int
) -> None:
    """A run that is told to end writes what is at work, and the next one completes it with no row sent twice."""
    out = tmp_path / "out.jsonl"
    with subprocess.Popen(command, env=gateway, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as first:
        while not out.exists():
            time.sleep(0.01)
        first.send_signal(number)
        assert (code, True) == (first.wait(), bool(first.stderr and "to go on" in first.stderr.read()))

    complete(command, gateway, out)

    assert ROWS == len((tmp_path / "asked").read_text().splitlines())

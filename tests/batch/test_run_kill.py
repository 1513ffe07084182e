"""What is left of a batch whose process is killed, again and again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anyfast_async._journal.records import log_of
from anyfast_async.batch import open_batch

LONG = os.environ.get("ANYFAST_LONG") == "1"
PROGRAMS = Path(__file__).parent / "programs"
KILLS, ROWS = (200, 2000) if LONG else (20, 200)
LONGEST = 0.15
"""Seconds that a run gets, at most, before it is killed."""
CONCURRENCY = 16

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[str]:
    """The URL of a gateway in another process, which writes what it was asked into ``asked``."""
    command = [sys.executable, str(PROGRAMS / "counting_gateway.py"), str(tmp_path / "asked"), "0.02"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate("")


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_killed_again_and_again(gateway: str, tmp_path: Path, make_line: Callable[..., bytes]) -> None:
    """SIGKILL at random moments, of recoveries too, and nothing is lost or twice.

    Every id ends in one of the two files, once. What was reported as done is there, word for word. What the gateway saw
    twice is among the ids that are named for it, and it saw no more than the rows and what was at work at the kills.
    """
    texts = {f"r{i}": f"{'bad' if i % 50 == 7 else 'good'} {i}" for i in range(ROWS)}
    rows = [make_line(name, messages=[{"role": "user", "content": text}]) for name, text in texts.items()]
    (tmp_path / "in.jsonl").write_bytes(b"".join(rows))
    settings = [gateway, str(tmp_path), str(KILLS), str(LONGEST), str(CONCURRENCY), "1"]

    done = subprocess.run(
        [sys.executable, str(PROGRAMS / "killed_runs.py"), *settings], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    runs = json.loads(done.stdout)["runs"]
    answers = [json.loads(line) for line in lines_of(tmp_path / "out.jsonl")]
    failures = [json.loads(line) for line in lines_of(tmp_path / "err.jsonl")]
    assert sorted(texts) == sorted(line["custom_id"] for line in answers + failures)
    assert {name for name, text in texts.items() if text.startswith("bad")} == {f["custom_id"] for f in failures}

    said = {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in answers}
    acked = [json.loads(line) for line in lines_of(tmp_path / "acked")]
    assert len(acked) == len({name for name, _ in acked})
    assert [] == [name for name, text in acked if text is not None and said.get(name) != text]

    sent = Counter(lines_of(tmp_path / "asked"))
    twice = {name for name, text in texts.items() if sent[text] > 1}
    log = log_of(tmp_path / "out.jsonl").read_bytes().splitlines()
    at_work = [len(json.loads(line[9:])["maybe_billed"]) for line in log if b'{"maybe_billed"' in line]
    with open_batch(tmp_path / "out.jsonl", tmp_path / "err.jsonl") as files:
        maybe = set(files.maybe_billed)
        assert 0 == files.quarantined
    assert twice <= maybe
    assert max(at_work, default=0) <= CONCURRENCY
    assert len(at_work) <= KILLS
    assert sent.total() <= ROWS + sum(at_work)
    sys.stdout.write(
        f"{KILLS} kills of {runs} runs, {sum(at_work)} at work then, {len(twice)} sent twice, {sent.total()} sends\n"
    )

"""Every count of a batch agrees wherever it is told: screen, ``--json``, report, ``results`` and the files."""

from __future__ import annotations

import csv
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROWS = 50_000 if os.environ.get("ANYFAST_LONG") else 1_500
SHARES = {"bad": 2, "cut": 3, "refused": 1, "failed": 1, "empty": 1, "filtered": 1}
"""Rows of a hundred that do not come to a good answer."""
WANTED = {name: share * ROWS // 100 for name, share in SHARES.items()}
COUNTS = {
    "rows": ROWS,
    "answered": ROWS - WANTED["bad"] - WANTED["failed"],
    **{name: WANTED[name] for name in ("empty", "cut", "filtered", "refused")},
    "failed": WANTED["bad"] + WANTED["failed"],
    "not_sent": 0,
    "in_doubt": 0,
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def kind_of(number: int) -> str:
    """What becomes of a row."""
    place = number % 100
    for kind, share in SHARES.items():
        if place < share:
            return kind
        place -= share
    return "ok"


class Answers(BaseHTTPRequestHandler):
    """Answers each request in the way that its prompt names."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = body["messages"][0]["content"].split()[0]
        finish = {"cut": "length", "filtered": "content_filter"}.get(kind, "stop")
        text = None if kind in ("empty", "refused") else "Fine."
        message = {"role": "assistant", "content": text} | ({"refusal": "No."} if kind == "refused" else {})
        answer: dict[str, Any] = {
            "id": "c",
            "object": "chat.completion",
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        }
        if kind == "failed":
            answer = {"error": {"message": "no", "type": "new_api_error", "code": "invalid_request"}}
        data = json.dumps(answer).encode()
        self.wfile.write(
            b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (400 if kind == "failed" else 200, len(data), data)
        )

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an input of all kinds of rows, and such a gateway."""
    with Server(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        monkeypatch.setenv("ANYFAST_BASE_URL", f"http://127.0.0.1:{server.server_address[1]}/v1")
        monkeypatch.setenv("ANYFAST_API_KEY", "sk-made-up")
        monkeypatch.setattr("anyfast_async.cli.overwriting.missing", lambda: None)
        monkeypatch.setattr("anyfast_async.cli.report.writing.svg", lambda _: "<svg></svg>")
        monkeypatch.chdir(tmp_path)
        with Path("in.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["key", "text"])
            kinds = map(kind_of, range(ROWS))
            table.writerows([f"k{n}", "" if kind == "bad" else f"{kind} {n}"] for n, kind in enumerate(kinds))
        yield tmp_path
        server.shutdown()
        thread.join()


BATCH = ("batch", "-i", "in.csv", "-o", "out.jsonl", "--id", "key", "--template", "{text}", "--skip-bad")


def counts_of(text: str) -> dict[str, int]:
    """The counts of a closing table."""
    found = {
        name.strip().replace(" ", "_"): int(n.replace(",", ""))
        for name, n in re.findall(r"^ *([a-z ]+?)  +([\d,]+)", text, re.MULTILINE)
    }
    return {name: found.get(name, 0) for name in COUNTS}


def those_of(values: dict[str, Any]) -> dict[str, int]:
    """The counts of a JSON object."""
    return {name: values[name] for name in COUNTS}


def lines_of(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def test_every_count_agrees(here: Path, anyfast: Callable[..., Any]) -> None:
    """The run that did it, a later one that does nothing, the reader and the files have the same counts."""
    first = anyfast(*BATCH, "--report", "run.html")
    again = anyfast(*BATCH, "--json", "--retry-failed", "none")
    idle = anyfast(*BATCH, "--retry-failed", "none")
    plain, joined = anyfast("results", "out.jsonl"), anyfast("results", "out.jsonl", "--input", "in.csv")
    for_program = anyfast("results", "out.jsonl", "--json")
    anyfast("results", "out.jsonl", "--input", "in.csv", "-o", "table.csv")

    assert (1, 1, 1, 0, 0) == (first.code, again.code, idle.code, plain.code, joined.code), first.err
    assert COUNTS == counts_of(first.out) == counts_of(idle.out) == counts_of(plain.out) == counts_of(joined.out)
    assert COUNTS == those_of(json.loads(again.out.splitlines()[-1])) == those_of(json.loads(for_program.out))
    tiles = {
        name: int(re.sub(r"<[^>]*>|,", "", value))
        for value, name in re.findall(
            r'<div class="tile"><b[^>]*>(.*?)</b><span class="soft">(.*?)</span>', here.joinpath("run.html").read_text()
        )
        if name in COUNTS
    }
    assert tiles.items() <= COUNTS.items()
    assert {"answered", "failed", "cut", "empty", "filtered", "refused"} == set(tiles)
    assert (COUNTS["answered"], COUNTS["failed"]) == (len(lines_of("out.jsonl")), len(lines_of("out.errors.jsonl")))
    with Path("table.csv").open(newline="") as file:
        outcomes = Counter(row["outcome"] for row in csv.DictReader(file))
    assert {word: COUNTS[word] for word in ("cut", "empty", "filtered", "refused")} == {
        word: outcomes[word] for word in ("cut", "empty", "filtered", "refused")
    }
    unsent = {f"k{n}" for n in range(ROWS) if kind_of(n) == "bad"}
    assert unsent == {one["custom_id"] for one in lines_of("out.errors.jsonl") if one["response"] is None}


def test_bad_rows_alone(here: Path, anyfast: Callable[..., Any]) -> None:
    """Without --skip-bad nothing is sent; with it the bad rows are named shortly, and how they are mended."""
    refused = anyfast(*BATCH[:-1])
    ran = anyfast(*BATCH, "--accept", "cut,empty,filtered")

    assert 2 == refused.code
    assert len(refused.err.splitlines()) <= 4
    assert f"lines 2, 3, 102 and {WANTED['bad'] - 3:,} more: text: nothing stands there" in refused.err
    assert 1 == ran.code
    assert f"{WANTED['bad']:,} rows cannot be sent: out.errors.jsonl says why; mend them in in.csv, then:" in ran.err


def test_left_out_and_then_taken_out(anyfast: Callable[..., Any], tmp_path: Path, monkeypatch: Any) -> None:
    """A row that could not be sent, and that the input has no more, stands nowhere any more, and counts nowhere."""
    monkeypatch.chdir(tmp_path)
    command = ("batch", "-i", "in.jsonl", "-o", "out.jsonl", "--simulate", "--skip-bad")
    rows = [json.dumps({"id": one, "messages": f"hi {one}"}) for one in ("a", "b", "a")]
    Path("in.jsonl").write_text("\n".join(rows))
    first = anyfast(*command)
    named = [one["custom_id"] for one in lines_of("out.errors.jsonl")]
    Path("in.jsonl").write_text("\n".join(rows[:2]))
    then = anyfast(*command)
    again = anyfast(*command)
    told = anyfast("results", "out.jsonl", "--json")

    assert (1, ["line-3"], 0, 0) == (first.code, named, then.code, again.code), first.err
    assert "out.errors.jsonl: 1 row taken out that could not be sent, and that in.jsonl has no more" in then.err
    assert "taken out" not in again.err
    assert not Path("out.errors.jsonl").exists()
    assert {"rows": 2, "answered": 2, "failed": 0}.items() <= json.loads(told.out).items()

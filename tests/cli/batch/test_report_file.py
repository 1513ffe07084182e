"""``anyfast batch --report``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J\u202e"
needs_charts = pytest.mark.skipif(not all(map(find_spec, ("vl_convert", "jinja2"))), reason="extra [report]")


@needs_charts
def test_a_page_for_each_run(gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """A run leaves a page, hostile errors as text; the next one replaces it, and the page is of both."""
    source, page = write_batch("good", "bad", "fine"), tmp_path / "run.html"
    gateway.fail(400, message=HOSTILE, when="bad")
    command = ("batch", "-i", source, "-o", tmp_path / "out.jsonl", "--report", page)

    first = anyfast(*command)
    text = page.read_text(encoding="utf-8")
    second = anyfast(*command)
    after = page.read_text(encoding="utf-8")
    idle = anyfast(*command)

    assert (1, 0, 0) == (first.code, second.code, idle.code)
    assert idle.err.endswith(f"report: {page}\n")
    assert after == page.read_text(encoding="utf-8")
    assert first.err.endswith(f"report: {page}\n")
    assert "<h1>out.jsonl</h1>" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert [] == re.findall(r"<script|<img|\x1b|\u202e", text)
    assert "gemini-2.5-flash (3 rows)" in text
    assert "<figcaption>Latency</figcaption>" in text
    assert ("one run" in text, "2 runs" in after) == (True, True)
    assert '<b>3</b><span class="soft">answered' in after
    assert {"in.jsonl", "out.jsonl", "out.jsonl.run", "run.html"} >= {path.name for path in tmp_path.iterdir()}


@needs_charts
def test_a_run_that_stopped(gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """A run that was stopped has a page too, with the reason and the rows that are left."""
    gateway.fail(401, times=None)
    page = tmp_path / "run.html"

    ran = anyfast("batch", "-i", write_batch("a", "b"), "-o", tmp_path / "out.jsonl", "--report", page)

    assert 3 == ran.code
    text = page.read_text(encoding="utf-8")
    assert "stopped (401" in text


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ("nowhere/run.html", "--report nowhere/run.html: there is no such directory"),
        (".", "--report .: is a directory"),
        ("out.jsonl", "--report out.jsonl is one of the batch's own files"),
        ("in.jsonl", "--report in.jsonl is one of the batch's own files"),
    ],
)
def test_what_cannot_be(
    gateway: Simulator,
    anyfast: Callable[..., Any],
    write_batch: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    report: str,
    words: str,
) -> None:
    """A page that could not be written is exit code 2 before anything is sent, and no file is touched."""
    monkeypatch.setattr("anyfast_async.cli.overwriting.missing", lambda: None)
    monkeypatch.chdir(tmp_path)
    write_batch("a")
    before = (tmp_path / "in.jsonl").read_bytes()

    ran = anyfast("batch", "-i", "in.jsonl", "-o", "out.jsonl", "--report", report)

    assert (2, [], before) == (ran.code, gateway.requests, (tmp_path / "in.jsonl").read_bytes())
    assert words in ran.err
    assert ["in.jsonl"] == [path.name for path in tmp_path.iterdir()]


def test_without_the_package(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the package that draws there is one line that installs it, exit code 2, and nothing is sent."""
    monkeypatch.setattr("anyfast_async.batch.report.rendering.find_spec", lambda name: None)

    ran = anyfast("batch", "-i", write_batch("a"), "-o", tmp_path / "out.jsonl", "--report", tmp_path / "run.html")

    assert (2, []) == (ran.code, gateway.requests)
    assert "--report needs more packages: pip install 'anyfast-async[report]'" in ran.err


@needs_charts
def test_a_page_that_cannot_be_written_in_the_end(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If the page cannot be written after all, that is said; the batch ends as it ended, and no half page is left."""

    def refuse(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    source, page = write_batch("a"), tmp_path / "run.html"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        ran = anyfast("batch", "-i", source, "-o", tmp_path / "out.jsonl", "--report", page)

    assert 0 == ran.code
    assert ran.err.endswith(f"error: no report: {page}: No space left on device\n")
    assert not [path for path in tmp_path.iterdir() if "html" in path.name]


def test_events(gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """--json prints events, one object a line: the start, each failed row, and at the end the summary."""
    gateway.fail(400, message=HOSTILE, when="bad")

    ran = anyfast("batch", "-i", write_batch("good", "bad"), "-o", tmp_path / "out.jsonl", "--json")

    start, failure, end = map(json.loads, ran.out.splitlines())
    assert {"event": "start", "rows": 2, "already_answered": 0} == start
    assert ("failure", "r2", "bad_request", "no") == tuple(failure[n] for n in ("event", "custom_id", "kind", "billed"))
    assert ("end", "complete", 1, 1) == tuple(end[name] for name in ("event", "status", "answered", "failed"))
    assert ran.out.replace("\n", "").isprintable()

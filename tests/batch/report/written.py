"""Batches that left their files, written line by line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from anyfast_async import Stats
from anyfast_async._core.answer import error_of
from anyfast_async._core.journal.journal_lines import answer_line, error_line, record
from anyfast_async._core.json import codec
from anyfast_async._core.usage import Used
from anyfast_async._journal.records import failures_of, log_of
from anyfast_async.batch.report.gathered import Gathered, gathered
from anyfast_async.batch.report.recorder import BEGUN, ENDED
from anyfast_async.batch.report.stretch import NOTE, Stretch
from anyfast_async.batch.results.results import Results
from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import AnyFastError

HOSTILE = (
    "</code></style></title><script>document.title='owned'</script><img src=x onerror=alert(2)>'\"\x1b[2J\u202e&amp;"
)
RIGHT_TO_LEFT = "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627"
STEM = "0" * 24


def answer(text: str = "Hi", finish: str = "stop", model: str = "m", **more: Any) -> ChatCompletion:
    """An answer that used 10 tokens and 5."""
    value = {
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        **more,
    }
    return codec.decode_completion(json.dumps(value).encode())


def refused(status: int, message: str) -> AnyFastError:
    """A refusal of the gateway."""
    body = {"error": {"message": message, "type": "new_api_error", "code": None}}
    return error_of(status, {}, json.dumps(body).encode(), now=0.0)


def stats(in_flight: int = 4, held_for: float = 0.0) -> Stats:
    """A sample."""
    return Stats(
        in_flight=in_flight,
        queued=2,
        limited_by=None,
        held_for=held_for,
        requests=0,
        tokens_used=0,
        tokens_reserved=0,
    )


Rows: TypeAlias = Iterable[tuple[str, ChatCompletion | AnyFastError]]


def leave(folder: Path, rows: Rows, stretches: Iterable[Stretch] = (), name: str = "out.jsonl", **said: Any) -> Path:
    """Write what a batch leaves; return its output."""
    output = folder / name
    kept: dict[bool, list[bytes]] = {True: [], False: []}
    for custom_id, what in rows:
        is_answer = isinstance(what, ChatCompletion)
        line = answer_line(custom_id, what, stem=STEM) if is_answer else error_line(custom_id, what, stem=STEM)  # type: ignore[arg-type]
        kept[is_answer].append(line)
    output.write_bytes(b"".join(kept[True]))
    failures_of(output).write_bytes(b"".join(kept[False]))
    lines: list[bytes] = []
    for run, one in {stretch.run: stretch for stretch in stretches}.items():
        lines.append(record(BEGUN, {"run": run, **said}))
        lines += [record(NOTE, stretch.as_json()) for stretch in stretches if stretch.run == run]
        lines.append(record(ENDED, {"run": run, "seconds": one.end, "status": "complete"}))
    if lines:
        log_of(output).write_bytes(b"".join(lines))
    return output


def gather(output: Path, **options: Any) -> Gathered:
    """Read what a batch left."""
    with Results(output, failures_of(output), log_of(output)) as found:
        return gathered(found, output, log_of(output), **options)


def busy(run: float = 1000.0, count: int = 60, seconds: float = 2.0) -> list[Stretch]:
    """Stretches of a run in which everything happened."""
    made = []
    for number in range(count):
        one = Stretch(run, number * seconds, (number + 1) * seconds)
        one.samples, one.in_flight, one.queued, one.peak = 4, 32, number % 5, 9
        one.held = 4 if 20 <= number < 30 else 0
        one.limits["throttling" if one.held else ""] = 4
        one.retried["server 500"] = 2
        one.retried["rate_limit 429"] = one.throttled = number % 3
        for model, factor in (("gemini-2.5-flash", 1), ("gemini-2.5-pro", 3)):
            figures = one.model(model)
            figures.answered, figures.failed = 10, number % 2
            for part in range(10):
                figures.add_used(Used(10 * factor, 5 + part))
                figures.latency.add(0.5 * factor + number / 50)
                figures.queue.add(0.1)
                figures.first_token.add(0.2 * factor)
        made.append(one)
    return made

"""What a batch of so many rows takes in memory and time, beside the network: reading, recording, going on.

Usage: python benchmarks/batch_memory.py [ROWS] [FOLDER]. Answers come from a function; all else is what `anyfast batch`
does. Prints one JSON object: MiB and seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from anyfast_async import AnyFast, AssistantMessage, ChatCompletion, Choice, Usage
from anyfast_async._client.calls import Calls
from anyfast_async.batch import BatchRun, open_batch, open_source, rows, survey

ANSWER = ChatCompletion(
    id="chatcmpl-1",
    model="gemini-2.5-flash",
    choices=(Choice(message=AssistantMessage("word " * 40), finish_reason="stop"),),
    usage=Usage(prompt_tokens=10, completion_tokens=40, total_tokens=50),
)


def resident(name: str = "VmRSS") -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


def write_input(path: Path, count: int) -> None:
    body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Say something about this."}]}
    with path.open("w", encoding="ascii") as file:
        for i in range(count):
            line = {"custom_id": f"row-{i:07}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")


class Canned(Calls):
    """Answers without sending anything."""

    async def complete(self, *_: Any, **__: Any) -> ChatCompletion:
        await asyncio.sleep(0)
        return ANSWER

    def plan_of_run(self, *_: Any) -> None:
        """Return none: every row goes through ``complete``."""


class CannedClient(AnyFast):
    """A client of which all but the sending is real."""

    def __init__(self) -> None:
        super().__init__("sk-benchmark-0123456789")
        self._calls = Canned(self._shared, self._calls.setup)


def first_run(folder: Path, found: dict[str, float]) -> None:
    began = time.process_time()
    surveyed = survey(open_source(folder / "in.jsonl"))
    found["survey_seconds"] = time.process_time() - began
    began = time.process_time()
    with open_batch(folder / "out.jsonl", folder / "err.jsonl", header={"input": surveyed.sha256}) as files:

        async def run() -> None:
            async with CannedClient() as client:
                todo = rows(surveyed, skip=files.done)
                await BatchRun(client, todo, files, total=surveyed.count).run()

        asyncio.run(run())
        found["after"] = resident()
    found["run_seconds"] = time.process_time() - began


def second_run(folder: Path, found: dict[str, float]) -> None:
    surveyed = survey(open_source(folder / "in.jsonl"))
    began = time.process_time()
    with open_batch(folder / "out.jsonl", folder / "err.jsonl", header={"input": surveyed.sha256}) as files:
        found["scan_seconds"] = time.process_time() - began
        assert files.answered == found["rows"]
        began = time.process_time()
        assert next(rows(surveyed, skip=files.done), None) is None
        found["skip_seconds"] = time.process_time() - began
        found["resumed"] = resident()


def measured(folder: Path, count: int) -> dict[str, float]:
    """Run a batch of *count* rows, then take it up again."""
    write_input(folder / "in.jsonl", count)
    found: dict[str, float] = {"rows": count, "before": resident()}
    first_run(folder, found)
    second_run(folder, found)
    found["peak"] = resident("VmHWM")
    return found


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        found = measured(Path(folder), count)
    print(json.dumps({name: round(value, 2) for name, value in found.items()}))


if __name__ == "__main__":
    main()

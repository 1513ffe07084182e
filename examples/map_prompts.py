"""Answer many prompts and write a CSV table.

    python examples/map_prompts.py [prompts.jsonl] > answers.csv

A line of the file is a request in OpenAI's Batch format, as in examples/prompts.jsonl, which is the default. Key and
model come from ANYFAST_API_KEY and ANYFAST_MODEL; a model that a line names wins.
"""

import asyncio
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from anyfast_async import AnyFast, AnyFastError, ChatRequest, Limits, Progress

COLUMNS: tuple[str, ...] = (
    *("id", "text", "outcome", "finish_reason", "prompt_tokens", "completion_tokens", "error_kind", "error"),
)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read *path* line by line, so that it may be larger than memory."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def request(line: dict[str, Any]) -> ChatRequest:
    """Return the request in a line of a Batch file."""
    return ChatRequest(**line["body"])


def show(progress: Progress) -> None:
    """Say now and then how far it is."""
    if progress.done % 50 == 0:
        print(f"{progress.done} done, {progress.failed} failed, {progress.rate:.0f}/s", file=sys.stderr)


async def main(path: Path, out: TextIO) -> int:
    """Write one row per line of *path*; return how many failed."""
    failed = 0
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    async with (
        AnyFast(limits=Limits(concurrency=32)) as client,
        client.map(lines(path), request=request, progress=show) as results,
    ):
        async for result in results:
            writer.writerow(result.row())
            failed += not result.ok
    return failed


if __name__ == "__main__":
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("prompts.jsonl")
    try:
        sys.exit(1 if asyncio.run(main(source, sys.stdout)) else 0)
    except AnyFastError as stopped:
        sys.exit(f"{stopped.kind}: {stopped}")

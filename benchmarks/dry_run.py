"""``anyfast batch --dry-run`` against reading the same file with orjson: seconds of the processor and peak memory.

    python -m benchmarks.dry_run --rows 300000

Each runs in a process of its own, in turns, with bytecode that is there already. What is read is a batch in OpenAI's
form, and a table of JSON lines with a template.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.join import measured

PEER = """
import orjson, sys
with open(sys.argv[1], "rb") as file:
    rows = sum(1 for line in file if orjson.loads(line))
print(rows)
"""


def files(folder: Path, rows: int) -> dict[str, list[str]]:
    """Write both inputs; return the arguments with which they are read."""
    chance = random.Random(1)
    batch, table = folder / "batch.jsonl", folder / "table.jsonl"
    with batch.open("w") as requests, table.open("w") as cells:
        for number in range(rows):
            text = " ".join(chance.choices(("fine", "broke", "after", "a", "day", "kettle"), k=20))
            messages = [{"role": "system", "content": "Good or bad?"}, {"role": "user", "content": text}]
            body = {"model": "gemini-2.5-flash", "messages": messages, "max_tokens": 20}
            row = {"custom_id": f"review-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            requests.write(f"{json.dumps(row)}\n")
            cells.write(f"{json.dumps({'review': f'review-{number}', 'stars': number % 5, 'text': text})}\n")
    given = ["-m", "gemini-2.5-flash", "--id", "review", "--template", "Good or bad? {text}"]
    return {"batch": [str(batch)], "table": [str(table), *given]}


def main() -> None:
    """Run each, in turns, and print the medians, and what they are to each other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--times", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        inputs = files(Path(name), given.rows)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(name) / "bytecode")
        ways = {}
        for form, arguments in inputs.items():
            ours = [sys.executable, "-m", "anyfast_async", "batch", "--dry-run", "-q", "--json", "-i", *arguments]
            ways |= {(form, "anyfast"): ours, (form, "orjson"): [sys.executable, "-c", PEER, arguments[0]]}
        measured(ways["table", "anyfast"])
        runs = [(way, *measured(command)) for _ in range(given.times) for way, command in ways.items()]
    for form in inputs:
        median = {}
        for way in ("anyfast", "orjson"):
            mine = [one[1:] for one in runs if one[0] == (form, way)]
            _, busy, memory = median[way] = tuple(map(statistics.median, zip(*mine, strict=True)))
            print(f"{form}, {way}: {given.rows:,} rows, {busy:.2f} s of processors, {memory:.0f} MiB")
        print(f"{form}: {median['anyfast'][1] / median['orjson'][1]:.2f} times as long")


if __name__ == "__main__":
    main()

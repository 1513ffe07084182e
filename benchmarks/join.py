"""``anyfast results --join`` to Parquet against a join by pyarrow of the same files: seconds and peak memory of each.

    python -m benchmarks.join --rows 300000

Each runs in a process of its own, in turns, with bytecode that is there already. The join by pyarrow reads both files
whole, takes the model, the tokens and the JSON in the texts out of the answers, joins by id in the order of the source
and writes Parquet.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEER = """
import json, sys
import pyarrow as pa, pyarrow.compute as pc, pyarrow.json as pj, pyarrow.parquet as pq
source, answers, target = sys.argv[1:]
table = pq.read_table(source)
lines = pj.read_json(answers, read_options=pj.ReadOptions(block_size=16 << 20))
body = pc.struct_field(lines["response"], "body")
choice = pc.list_element(pc.struct_field(body, "choices"), 0)
text = pc.struct_field(choice, ["message", "content"])
parsed = pj.read_json(pa.BufferReader("\\n".join(text.to_pylist()).encode()))
usage = pc.struct_field(body, "usage")
found = pa.table({
    "review": lines["custom_id"], **{name: parsed[name] for name in parsed.column_names},
    "finish_reason": pc.struct_field(choice, "finish_reason"), "model": pc.struct_field(body, "model"),
    "prompt_tokens": pc.struct_field(usage, "prompt_tokens"),
    "completion_tokens": pc.struct_field(usage, "completion_tokens"),
})
table = table.append_column("place", pa.array(range(table.num_rows)))
joined = table.join(found, "review", join_type="left outer").sort_by("place").drop(["place"])
pq.write_table(joined, target)
"""


def files(folder: Path, rows: int) -> tuple[Path, Path]:
    """Write the source, and answers to it as a batch writes them, a little out of order."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    from anyfast_async import AssistantMessage, ChatCompletion, Choice, Usage  # noqa: PLC0415
    from anyfast_async._core.journal.journal_lines import answer_line  # noqa: PLC0415

    chance = random.Random(1)
    ids = [f"review-{number}" for number in range(rows)]
    texts = [" ".join(chance.choices(("fine", "broke", "after", "a", "day", "kettle"), k=20)) for _ in ids]
    source, answers = folder / "in.parquet", folder / "out.jsonl"
    pq.write_table(pa.table({"review": ids, "stars": [n % 5 for n in range(rows)], "text": texts}), source)
    order = sorted(range(rows), key=lambda number: number + chance.random() * 64)
    with answers.open("wb") as file:
        for number in order:
            text = json.dumps({"label": chance.choice(("good", "bad")), "score": number % 11})
            completion = ChatCompletion(
                id=f"chatcmpl-{number}",
                object="chat.completion",
                created=1777288505,
                model="gemini-2.5-flash",
                choices=(Choice(index=0, message=AssistantMessage(text), finish_reason="stop"),),
                usage=Usage(prompt_tokens=40, completion_tokens=9, total_tokens=49),
            )
            file.write(answer_line(ids[number], completion, stem=f"{number:024x}"))
    return source, answers


def measured(command: list[str]) -> tuple[float, float, float]:
    """Run *command*; return its seconds, those of the processor, and its peak memory in MiB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        message = f"{command[:4]} ended with status {status}"
        raise RuntimeError(message)
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Run both, in turns, and print the medians of each, and what they are to each other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--times", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, answers = files(folder, given.rows)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
        join = ["results", str(answers), "--join", str(source), "--id", "review", "-o", str(folder / "ours.parquet")]
        ways = {
            "anyfast": [sys.executable, "-m", "anyfast_async", *join],
            "pyarrow": [sys.executable, "-c", PEER, str(source), str(answers), str(folder / "theirs.parquet")],
        }
        for command in ways.values():
            measured(command)
        runs = [(way, *measured(command)) for _ in range(given.times) for way, command in ways.items()]
    medians = {}
    for way in ways:
        mine = [one[1:] for one in runs if one[0] == way]
        seconds, busy, memory = medians[way] = tuple(map(statistics.median, zip(*mine, strict=True)))
        print(f"{way}: {given.rows:,} rows, {seconds:.2f} s ({busy:.2f} s of processors), {memory:.0f} MiB")
    (seconds, busy, memory), (their_seconds, their_busy, their_memory) = medians["anyfast"], medians["pyarrow"]
    print(
        f"{seconds / their_seconds:.2f} times as long ({busy / their_busy:.2f} of processors), "
        f"{memory - their_memory:+.0f} MiB"
    )


if __name__ == "__main__":
    main()

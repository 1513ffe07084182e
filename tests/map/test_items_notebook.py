"""A map in a notebook whose kernel is killed, and that is run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("pandas")

ROWS = 20_000 if os.environ.get("ANYFAST_LONG") == "1" else 2_000
CONCURRENCY = 64
GATEWAY = Path(__file__).parents[1] / "batch" / "programs" / "counting_gateway.py"

CELL = """
import os
import attrs
from anyfast_async import AnyFast

@attrs.frozen
class Label:
    good: bool

with open("pid", "w") as file:
    file.write(str(os.getpid()))

rows = [{{"id": f"row-{{i}}", "text": f"text {{i}}"}} for i in range({rows})]
client = AnyFast("sk-test-0123456789", base_url={url!r}, model="gemini-2.5-flash")
async with client:
    options = dict(into=Label, journal="labels.jsonl", progress=True, concurrency={concurrency})
    results = await client.map(rows, request=lambda row: row["text"], **options)

import pandas
table = pandas.DataFrame(r.row() for r in results)
table.to_json("table.json", orient="records")
sum(r.recorded for r in results)
"""

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # of the libraries around the kernel
]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[str]:
    """The URL of a gateway in another process, which writes what it was asked into ``asked``."""
    command = [sys.executable, str(GATEWAY), str(tmp_path / "asked"), "0", '{"good": true}']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate("")


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def run(cell: str, folder: Path) -> Any:
    """Run a notebook of one cell; return the value of its last line."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = notebook.cells[0].outputs
    said = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    assert f"{ROWS} of {ROWS}" in said, outputs
    return next(output["data"]["text/plain"] for output in outputs if output["output_type"] == "execute_result")


def test_a_killed_kernel(gateway: str, tmp_path: Path) -> None:
    """Killed at 30 % and run again, the table has every row once, and few were sent twice."""
    cell = CELL.format(rows=ROWS, url=gateway, concurrency=CONCURRENCY)

    def kill() -> None:
        while lines_in(tmp_path / "labels.jsonl") < 0.3 * ROWS:
            time.sleep(0.005)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with pytest.raises(nbclient.exceptions.DeadKernelError):
        run(cell, tmp_path)
    killer.join()
    reached = lines_in(tmp_path / "labels.jsonl")
    recorded = int(run(cell, tmp_path))

    table = json.loads((tmp_path / "table.json").read_text())
    asked = (tmp_path / "asked").read_text().splitlines()
    assert sorted(f"row-{i}" for i in range(ROWS)) == sorted(row["id"] for row in table)
    assert [True] * ROWS == [row["good"] for row in table]
    assert reached - 1 <= recorded <= reached  # the last line may be torn
    assert len(asked) <= ROWS + CONCURRENCY
    sys.stdout.write(f"killed at {recorded} of {ROWS}, {len(asked)} sends\n")

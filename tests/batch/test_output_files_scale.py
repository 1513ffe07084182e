"""What a batch takes in memory when it has a million rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LONG = os.environ.get("ANYFAST_LONG") == "1"
PROGRAM = Path(__file__).parents[2] / "benchmarks" / "batch_memory.py"
FEW, MANY = (10_000, 1_000_000) if LONG else (1_000, 10_000)

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc"),
    pytest.mark.skipif(not PROGRAM.exists(), reason="benchmarks are not here"),
]


def measured(rows: int, folder: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(rows), str(folder)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def test_memory_hardly_grows_with_the_rows(tmp_path: Path) -> None:
    """A million rows take 45 MiB more than ten thousand at most, never over 200; what they take in time is printed."""
    few, many = measured(FEW, tmp_path), measured(MANY, tmp_path)
    sys.stdout.write(f"{few}\n{many}\n")

    share = MANY / 1_000_000
    for when in ("after", "resumed", "peak"):
        assert many[when] - few[when] <= max(3, 45 * share), when
    assert many["peak"] <= 200

"""What a call takes in calls of our own functions, which is the same on every machine; time is not."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

pytestmark = pytest.mark.slow


def test_within_the_budget() -> None:
    """A completion, a text and a row take no more steps than budget.toml allows."""
    allowed = tomllib.loads((BENCHMARKS / "budget.toml").read_text(encoding="utf-8"))["steps"]
    command = [sys.executable, str(BENCHMARKS / "steps.py")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    taken = {name: float(count) for name, count in map(str.split, ended.stdout.splitlines())}

    assert allowed.keys() == taken.keys()
    assert {name: count for name, count in taken.items() if count > allowed[name]} == {}
    assert all(count > 0 for count in taken.values())

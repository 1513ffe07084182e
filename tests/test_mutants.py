"""Changes of the source that no test need notice: each is one that the program makes, and says why."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_what_no_test_need_notice() -> None:
    """A reason stands for a change that is still there; what has gone, or was changed, needs no excuse."""
    spec = importlib.util.spec_from_file_location("mutants", BENCHMARKS / "mutants.py")
    assert spec is not None
    assert spec.loader is not None
    mutants = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = mutants  # as dataclasses want it
    try:
        spec.loader.exec_module(mutants)
        listed = tomllib.loads((BENCHMARKS / "mutants.toml").read_text(encoding="utf-8"))["equal"]
        files = {one["place"].partition(" ")[0] for one in listed}
        there = {mutant.name for file in files for mutant in mutants.mutants_of(file)}
    finally:
        del sys.modules["mutants"]

    assert not {one["place"] for one in listed} - there
    assert len({one["place"] for one in listed}) == len(listed)
    assert all(len(one["why"].split()) > 3 for one in listed)

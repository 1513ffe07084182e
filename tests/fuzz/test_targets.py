"""The bytes that are kept: what a program thought of while it looked for what breaks the readers (``nox -s fuzz``)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .targets import TARGETS

SEEDS = Path(__file__).parents[1] / "data" / "fuzz"


def seeds(name: str) -> list[bytes]:
    """A literal a line."""
    return [ast.literal_eval(line) for line in (SEEDS / f"{name}.txt").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_kept(name: str) -> None:
    """What is promised of a reader holds for every input that is kept, and there are some."""
    kept = seeds(name)
    for data in kept:
        TARGETS[name](data)
    assert kept


def test_every_file_is_of_a_reader() -> None:
    """None is left that nothing replays."""
    assert {path.stem for path in SEEDS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_read(name: str) -> None:
    """No bytes at all, or a single one."""
    for data in (b"", *(bytes([one]) for one in range(0, 256, 7))):
        TARGETS[name](data)

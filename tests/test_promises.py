"""What the package promises stands in promises.toml, each with tests that are there, and on the page of the docs."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parent.parent
PROMISES: Final[list[dict[str, Any]]] = tomllib.loads((ROOT / "tests" / "promises.toml").read_text(encoding="utf-8"))[
    "promise"
]


@pytest.mark.parametrize("promise", PROMISES, ids=[str(number) for number in range(1, len(PROMISES) + 1)])
def test_each_has_its_tests(promise: dict[str, Any]) -> None:
    """Every test that is named is there, and a promise has at least one."""
    assert promise["tests"]
    for test in promise["tests"]:
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert not name or name in functions, test


def test_they_stand_in_the_docs() -> None:
    """The page has each promise in its words, with a figure that was seen."""
    page = (ROOT / "docs" / "explanation" / "reliability.md").read_text(encoding="utf-8")
    rows = {line.split(" | ")[1].partition("<br>")[0] for line in page.splitlines() if line.startswith("| ")}
    assert {promise["says"] for promise in PROMISES} <= rows

"""``anyfast models``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from anyfast_async.simulator import MODELS


def test_one_id_per_line_in_a_pipe(anyfast: Callable[..., Any]) -> None:
    """In a pipe there is one id per line and nothing else."""
    ran = anyfast("models", "--simulate")

    assert (0, list(MODELS), "") == (ran.code, ran.out.splitlines(), ran.err)


def test_as_json(anyfast: Callable[..., Any]) -> None:
    """--json prints the gateway's list."""
    value = json.loads(anyfast("models", "--simulate", "--json").out)

    assert list(MODELS) == [model["id"] for model in value]
    assert {"model"} == {model["object"] for model in value}


async def test_a_table_on_a_terminal(start: Callable[..., Any]) -> None:
    """On a terminal there is a table with a head."""
    ran = await (await start("models", "--simulate", terminal=True)).ended()

    assert 0 == ran.code
    assert "owner" in ran.out
    assert all(model in ran.out for model in MODELS)

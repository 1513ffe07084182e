"""``anyfast models``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from anyfast_async.simulator import MODELS, Simulator


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


def test_no_key(anyfast: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """--no-key needs a server of its own; one that wants a key all the same is said to; --key-file is another thing."""
    refused = anyfast("models", "--no-key")
    assert (2, "") == (refused.code, refused.out)
    assert "wants a key" in refused.err
    with Simulator.in_thread() as sim:
        monkeypatch.setenv("ANYFAST_BASE_URL", sim.base_url)
        monkeypatch.setenv("ANYFAST_API_KEY", "sk-of-another-gateway")
        for command in (["models"], ["chat", "Hi"]):
            ran = anyfast(*command, "--no-key")
            assert 3 == ran.code
            assert "this server wants a key, and NO_KEY (--no-key) sends none" in ran.err
        assert ["authorization" in request.headers for request in sim.requests] == [False, False]
    assert 2 == anyfast("models", "--no-key", "--key-file", "x").code

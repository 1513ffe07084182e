"""The prompts of the demonstration."""

from __future__ import annotations

from pathlib import Path

from anyfast_async.batch.input.source import Source
from anyfast_async.cli import demo_prompts


def test_two_hundred_different_good_lines() -> None:
    """The demo's 200 rows are all different and all valid lines of a batch."""
    source = Source(Path("prompts.jsonl"), "batch")
    rows = [source.line(n, demo_prompts.line(n, "m")) for n in range(200)]

    assert 200 == len({row.custom_id for row in rows})
    assert 200 == len({row.request.messages[0]["content"] for row in rows})  # type: ignore[index]  # plain dicts


def test_a_fault_hits_one_prompt() -> None:
    """No prompt is part of another: a fault scripted for one of them hits no other."""
    texts = [demo_prompts.prompt(n) for n in range(200)]

    assert all(sum(text in other for other in texts) == 1 for text in texts)

"""Inputs, a gateway in a thread, and workers that are threads: quick, and each call as a process would make it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest

from anyfast_async.scale import BatchSettings
from anyfast_async.simulator import Simulator

KEY = "sk-key-of-the-workers-0123456789"
WriteRows: TypeAlias = Callable[[int], Path]
SettingsOf: TypeAlias = Callable[..., BatchSettings]


@pytest.fixture
def write_rows(tmp_path: Path) -> WriteRows:
    """Writes an input of so many requests."""

    def write(number: int) -> Path:
        path = tmp_path / "in.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for n in range(number):
                body = {"messages": [{"role": "user", "content": f"row {n}"}], "max_tokens": 20}
                line = {"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
                file.write(json.dumps(line) + "\n")
        return path

    return write


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A gateway; the key is in the environment, as workers have it."""
    monkeypatch.setenv("ANYFAST_API_KEY", KEY)
    with Simulator.in_thread() as simulator:
        simulator.reply("fine")
        yield simulator


@pytest.fixture
def settings_of(gateway: Simulator) -> SettingsOf:
    """Settings for the gateway."""

    def make(**given: object) -> BatchSettings:
        return BatchSettings(**{"model": "gemini-2.5-flash", "base_url": gateway.base_url, "lease": 5.0} | given)  # type: ignore[arg-type]

    return make


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    """Two workers."""
    with ThreadPoolExecutor(2) as threads:
        yield threads

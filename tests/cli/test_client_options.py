"""Whom commands talk to, how patiently, and with which key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anyfast_async.simulator import Simulator


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """A gateway that the environment names, and that is not there."""
    monkeypatch.setenv("ANYFAST_API_KEY", "sk-made-up")
    monkeypatch.setenv("ANYFAST_BASE_URL", "http://127.0.0.1:9/v1")
    return "127.0.0.1:9"


@pytest.mark.parametrize(
    "command", [("chat", "hi"), ("models",), ("batch", "-i", "{in}", "-o", "{out}"), ("doctor", "--yes")]
)
@pytest.mark.usefixtures("elsewhere")
def test_base_url_goes_before_the_variable(
    anyfast: Callable[..., Any], tmp_path: Path, command: tuple[str, ...]
) -> None:
    """--base-url names the gateway, whatever ANYFAST_BASE_URL says."""
    (tmp_path / "in.txt").write_text("one\ntwo\n")
    words = [word.format(**{"in": tmp_path / "in.txt", "out": tmp_path / "out.jsonl"}) for word in command]
    with Simulator.in_thread() as sim:
        ran = anyfast(*words, "--base-url", sim.base_url)

        assert 0 == ran.code, ran.err
        assert sim.requests


def test_base_url_is_checked(anyfast: Callable[..., Any]) -> None:
    """What is no base URL is refused, and a password in it is not shown."""
    ran = anyfast("models", "--base-url", "https://me:pa55word@example.com")

    assert 2 == ran.code
    assert "base_url must hold no user" in ran.err
    assert "pa55word" not in ran.err


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (2, 3)])
def test_retries(
    anyfast: Callable[..., Any],
    gateway: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    retries: int,
    attempts: int,
) -> None:
    """--retries says how often more a request is sent."""
    monkeypatch.setattr("anyfast_async._retry.retries.backoff", lambda *_: 0.0)
    gateway.fail(500, times=9)

    assert 1 == anyfast("chat", "hi", "--retries", retries).code
    assert attempts == len(gateway.requests)


def test_timeout_of_one_call(anyfast: Callable[..., Any], gateway: Simulator) -> None:
    """--timeout ends a call that takes longer."""
    gateway.reply("late", ttft=30)

    ran = anyfast("chat", "hi", "--timeout", 0.2)

    assert 1 == ran.code
    assert "0.2 s" in ran.err


def test_key_options_exclude_each_other(anyfast: Callable[..., Any]) -> None:
    """--no-key and --key-file are not both meant."""
    assert "one of the two" in anyfast("models", "--no-key", "--key-file", "k").err

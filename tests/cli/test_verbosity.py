"""``-q`` and ``-v``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anyfast_async.simulator import Simulator


def test_quiet_says_nothing_when_all_is_well(anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """A batch with -q writes its files, and nothing else; its result is the exit code."""
    (tmp_path / "in.txt").write_text("one\ntwo\n")
    ran = anyfast("batch", "-q", "-i", tmp_path / "in.txt", "-o", tmp_path / "out.jsonl", "--simulate")

    assert (0, "", "") == (ran.code, ran.out, ran.err)
    assert 2 == (tmp_path / "out.jsonl").read_text().count("\n")


def test_quiet_says_what_failed(anyfast: Callable[..., Any], gateway: Simulator, tmp_path: Path) -> None:
    """With -q rows that failed are named all the same."""
    (tmp_path / "in.txt").write_text("one\ntwo\n")
    gateway.fail(400, times=1)
    ran = anyfast("batch", "-q", "-i", tmp_path / "in.txt", "-o", tmp_path / "out.jsonl")

    assert (1, "") == (ran.code, ran.out)
    assert "1 row failed" in ran.err


def test_quiet_chat_is_the_answer_alone(anyfast: Callable[..., Any]) -> None:
    """``chat -q`` says no model."""
    ran = anyfast("chat", "-q", "hi", "--simulate")

    assert ran.out
    assert "" == ran.err


def test_verbose_says_whom_it_talks_to(anyfast: Callable[..., Any], gateway: Simulator) -> None:
    """-v names the gateway, and what the package logs is said while the command runs, not after it."""
    ran = anyfast("models", "-v")

    assert f"gateway: {gateway.base_url}" in ran.err
    assert not [one for one in logging.getLogger("anyfast_async").handlers if type(one).__name__ == "_Sayer"]


def test_what_is_logged_is_said(
    anyfast: Callable[..., Any], gateway: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """-v shows lines of the logger from INFO, -vv from DEBUG."""
    logger = logging.getLogger("anyfast_async")
    asked = len(gateway.requests)

    def checked(*_: object) -> bool:
        logger.debug("a detail")
        logger.info("a retry")
        return False

    monkeypatch.setattr("anyfast_async.cli.models.is_live", checked)

    assert ("a retry" in anyfast("models", "-v").err, "a detail" in anyfast("models", "-v").err) == (True, False)
    assert "a detail" in anyfast("models", "-vv").err
    assert "a retry" not in anyfast("models").err
    assert asked + 4 == len(gateway.requests)


def test_both_is_refused(anyfast: Callable[..., Any]) -> None:
    """-q and -v are not both meant."""
    assert "one of the two" in anyfast("models", "-v", "-q").err

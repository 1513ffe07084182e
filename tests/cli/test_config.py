"""``anyfast config``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_FILE = """\
model = "m-file"
concurrency = 3
[profiles.reviews]
template = 'Good or "bad"?\\n {text} \\ ü'
timeout = 2.5
no_key = true
rpm = 7
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder to work in, with settings."""
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    for name in ("CONFIG", "PROFILE", "MODEL", "API_KEY", "API_KEY_FILE", "BASE_URL"):
        monkeypatch.delenv(f"ANYFAST_{name}", raising=False)
    (path / "anyfast.toml").write_text(_FILE, encoding="utf-8")
    return path


def test_round_trip(anyfast: Callable[..., Any], folder: Path) -> None:
    """What is printed of a profile is a file that says the same."""
    wanted = tomllib.loads(_FILE)
    profiles = wanted.pop("profiles")
    first = anyfast("config", "--profile", "reviews")
    assert {**wanted, **profiles["reviews"]} == tomllib.loads(first.out)

    (folder / "anyfast.toml").write_text(first.out, encoding="utf-8")
    assert tomllib.loads(first.out) == tomllib.loads(anyfast("config").out)


def test_where_each_is_said(anyfast: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, the profile, a variable: each value has its origin."""
    monkeypatch.setenv("ANYFAST_BASE_URL", "http://127.0.0.1:9")
    found = json.loads(anyfast("config", "--profile", "reviews", "--json").out)

    assert (str(folder / "anyfast.toml"), "reviews", ["reviews"]) == (
        found["file"],
        found["profile"],
        found["profiles"],
    )
    origins = {name: one["from"] for name, one in found["settings"].items()}
    assert {"anyfast.toml", "anyfast.toml, profile reviews", "ANYFAST_BASE_URL"} == set(origins.values())
    assert ("anyfast.toml", "ANYFAST_BASE_URL") == (origins["model"], origins["base_url"])


def test_without_a_file(anyfast: Callable[..., Any], folder: Path) -> None:
    """Where there is no file, that is said, and nothing printed."""
    (folder / "anyfast.toml").unlink()
    ran = anyfast("config")

    assert (0, "") == (ran.code, ran.out)
    assert "no file of settings" in ran.err

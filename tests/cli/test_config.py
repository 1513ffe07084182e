"""``anyfast config``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator

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


def test_how_many_at_once_may_be_left_to_the_gateway(anyfast: Callable[..., Any], folder: Path) -> None:
    """``concurrency = "auto"`` is a setting like a number; other words are refused with what is allowed."""
    (folder / "anyfast.toml").write_text('concurrency = "auto"\n', encoding="utf-8")
    assert tomllib.loads(anyfast("config").out) == {"concurrency": "auto"}

    (folder / "anyfast.toml").write_text('concurrency = "many"\n', encoding="utf-8")
    bad = anyfast("config")
    assert (2, True) == (bad.code, 'concurrency: must be a whole number from 1 or "auto"' in bad.err)


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


def test_fields_of_every_request(anyfast: Callable[..., Any], folder: Path) -> None:
    """[set] of a profile goes over that of the file; both are shown, and what was typed goes over them."""
    (folder / "anyfast.toml").write_text(
        "[set]\ntemperature = 1\nseed = 5\n[profiles.cold]\nrpm = 7\n[profiles.cold.set]\ntemperature = 0\n"
    )
    shown = anyfast("config", "--profile", "cold")
    told = json.loads(anyfast("config", "--profile", "cold", "--json").out)

    assert {"rpm": 7, "set": {"temperature": 0, "seed": 5}} == tomllib.loads(shown.out)
    assert {"temperature": 0, "seed": 5} == told["set"]
    assert "temperature = 0  # anyfast.toml, profile cold\nseed = 5  # anyfast.toml\n" in shown.out


def test_they_are_sent(
    anyfast: Callable[..., Any], folder: Path, gateway: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch and a chat send them, but for those that are given on the command line."""
    monkeypatch.setenv("ANYFAST_API_KEY", "sk-made-up")
    monkeypatch.setenv("ANYFAST_BASE_URL", gateway.base_url)
    (folder / "anyfast.toml").write_text('[set]\ntemperature = 1\nseed = 5\nstop = ["x"]\n')
    (folder / "in.txt").write_text("Hi\n")

    assert 0 == anyfast("chat", "Hi", "--temperature", "0.5", "--set", "seed=6").code
    assert 0 == anyfast("batch", "-i", "in.txt", "-o", "out.jsonl", "--set", "temperature=0").code

    chat, batch = (request.body for request in gateway.requests)
    assert (0.5, 6, ["x"]) == (chat["temperature"], chat["seed"], chat["stop"])
    assert (0, 5, ["x"]) == (batch["temperature"], batch["seed"], batch["stop"])


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("set = 1", "set must be a table"),
        ("[set]\ntemprature = 0", "[set] there is no field 'temprature'; did you mean 'temperature'"),
        ("[profiles.a.set]\nmodel = 'm'", "[profiles.a.set] model: is a setting of its own"),
        ("[set]\nuser = 'sk-secret'", "[set] user: a key does not belong"),
    ],
)
def test_wrong_fields(anyfast: Callable[..., Any], folder: Path, table: str, problem: str) -> None:
    """What is no field is named with the nearest one."""
    (folder / "anyfast.toml").write_text(table)
    ran = anyfast("config")

    assert (2, True) == (ran.code, problem in ran.err)

"""Which value counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anyfast_async.simulator import Simulator


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes the settings of the folder to work in."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("CONFIG", "PROFILE", "MODEL", "API_KEY", "API_KEY_FILE", "BASE_URL"):
        monkeypatch.delenv(f"ANYFAST_{name}", raising=False)

    def write(text: str) -> Path:
        (folder / "anyfast.toml").write_text(text)
        return folder

    return write


def test_precedence(
    anyfast: Callable[..., Any],
    project: Callable[[str], Path],
    bodies: Callable[[], list[Any]],
    gateway: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is typed, the variable, the profile, the file, the default: each over those after it."""
    project("model = 'm-file'\nmax_tokens = 3\n[profiles.p]\nmodel = 'm-profile'\n[profiles.q]\nmax_tokens = 4\n")
    monkeypatch.setenv("ANYFAST_BASE_URL", gateway.base_url)
    monkeypatch.setenv("ANYFAST_API_KEY", "sk-made-up")
    assert "model: m-file (anyfast.toml)" in anyfast("chat", "hi").err
    assert "(anyfast.toml, profile p)" in anyfast("chat", "hi", "--profile", "p").err
    anyfast("chat", "hi", "--profile", "q")
    monkeypatch.setenv("ANYFAST_PROFILE", "p")
    anyfast("chat", "hi", "--max-tokens", 7)
    monkeypatch.setenv("ANYFAST_MODEL", "m-variable")
    anyfast("chat", "hi")
    anyfast("chat", "hi", "-m", "m-typed")

    asked = [(body["model"], body["max_tokens"]) for body in bodies()]
    assert [
        ("m-file", 3), ("m-profile", 3), ("m-file", 4), ("m-profile", 7), ("m-variable", 3), ("m-typed", 3)
    ] == asked  # fmt: skip


def test_a_whole_batch_from_a_profile(
    anyfast: Callable[..., Any],
    project: Callable[[str], Path],
    gateway: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Template, ids, gateway and key of a profile: the command names the files alone, from wherever it is called."""
    monkeypatch.delenv("ANYFAST_BASE_URL")
    folder = project(
        f"profile = 'reviews'\n[profiles.reviews]\nbase_url = '{gateway.base_url}'\nkey_file = 'key'\n"
        "template = 'Good or bad? {text}'\nid = 'review'\nmodel = 'gemini-2.5-pro'\n"
    )
    (folder / "key").write_text("sk-of-the-profile")
    (folder / "in.csv").write_text("review,text\nr1,fine\nr2,awful\n")

    ran = anyfast("batch", "-i", "in.csv", "-o", "out.jsonl")

    assert 0 == ran.code, ran.err
    assert f"gateway: {gateway.base_url} (anyfast.toml, profile reviews)" in ran.err
    assert {("gemini-2.5-pro", "Good or bad? fine"), ("gemini-2.5-pro", "Good or bad? awful")} == {
        (one.body["model"], one.body["messages"][0]["content"]) for one in gateway.requests
    }
    assert {"Bearer sk-of-the-profile"} == {one.headers["authorization"] for one in gateway.requests}


@pytest.mark.parametrize(
    ("own", "typed", "sent"),
    [
        ("key_file = 'key'\nbase_url = '{url}'", (), "Bearer sk-file"),  # the key of the environment is another's
        ("no_key = true\nbase_url = '{url}'", (), None),
        ("key_file = 'key'", ("--base-url", "{url}"), "Bearer sk-variable"),
        ("key_file = 'key'\nbase_url = '{url}'", ("--no-key",), None),
        ("no_key = true\nbase_url = '{url}'", ("--key-file", "typed"), "Bearer sk-typed"),
        ("base_url = '{url}'", (), "Bearer sk-variable"),
        ("no_key = true\n[profiles.p]\nkey_file = 'key'\nbase_url = '{url}'", ("--profile", "p"), "Bearer sk-file"),
        ("key_file = 'key'\n[profiles.p]\nno_key = true\nbase_url = '{url}'", ("--profile", "p"), None),
    ],
)
def test_the_key_goes_with_the_gateway(  # noqa: PLR0917 - fixtures
    anyfast: Callable[..., Any],
    project: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    own: str,
    typed: tuple[str, ...],
    sent: str | None,
) -> None:
    """Where the file names the gateway its key is the one for it; else variables go before it."""
    with Simulator.in_thread() as sim:
        folder = project(own.replace("{url}", sim.base_url))
        (folder / "key").write_text("sk-file")
        (folder / "typed").write_text("sk-typed")
        monkeypatch.setenv("ANYFAST_API_KEY", "sk-variable")
        anyfast("chat", "hi", "-m", "m", *(word.replace("{url}", sim.base_url) for word in typed))

        assert [sent] == [one.headers.get("authorization") for one in sim.requests]


def test_no_such_profile(anyfast: Callable[..., Any], project: Callable[[str], Path]) -> None:
    """A profile that is not there is named with those that are; where no file is, that is said."""
    folder = project("[profiles.local]\nno_key = true\n")
    ran = anyfast("chat", "hi", "--profile", "locl", "--simulate")
    assert 2 == ran.code
    assert "anyfast.toml has no profile 'locl'; did you mean 'local'?" in ran.err
    assert "it has: local" in anyfast("chat", "hi", "--profile", "x", "--simulate").err
    (folder / "anyfast.toml").unlink()
    assert "there is no anyfast.toml" in anyfast("chat", "hi", "--profile", "x", "--simulate").err


def test_plain_http_is_not_for_a_file_to_allow(anyfast: Callable[..., Any], project: Callable[[str], Path]) -> None:
    """A file cannot send the key over plain http."""
    project("base_url = 'http://gateway.example'\nkey_file = 'key'\n")
    assert "plain http" in anyfast("models").err

"""The file of a project's settings."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from anyfast_async.cli.project_file import SETTINGS, found


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, two floors down."""
    folder = tmp_path / "project"
    (folder / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(folder / "a" / "b")
    monkeypatch.delenv("ANYFAST_CONFIG", raising=False)
    return folder


def test_the_nearest_counts(project: Path) -> None:
    """It is looked for upwards; the own file goes before pyproject.toml, whose other tables say nothing."""
    assert found() is None
    (project / "pyproject.toml").write_text("[tool.anyfast]\nmodel = 'far'\n[project]\nname = 'x'\n")
    (project / "a" / "pyproject.toml").write_text("[tool.ruff]\nline-length = 9\n")
    file = found()
    assert file is not None
    assert ("far", "../../pyproject.toml") == (file.table["model"], file.shown)
    (project / "anyfast.toml").write_text("model = 'own'\n")
    (project / "a" / "anyfast.toml").write_text("model = 'near'\n[profiles.p]\nrpm = 3\n")
    file = found()
    assert file is not None
    assert ({"model": "near"}, {"p": {"rpm": 3}}) == (file.table, file.profiles)


def test_a_named_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ANYFAST_CONFIG names it, wherever it is; an empty one says nothing."""
    (project / "anyfast.toml").write_text("model = 'own'\n")
    (project / "other.toml").write_text("model = 'other'\n")
    monkeypatch.setenv("ANYFAST_CONFIG", str(project / "other.toml"))
    file = found()
    assert file is not None
    assert "other" == file.table["model"]
    monkeypatch.setenv("ANYFAST_CONFIG", str(project / "none.toml"))
    with pytest.raises(click.UsageError, match="cannot read"):
        found()


def test_paths_are_meant_from_the_file(project: Path) -> None:
    """A relative path is one from the folder of the file, not from the working folder."""
    (project / "anyfast.toml").write_text("prices = 'p.toml'\nkey_file = '/run/key'\n")
    file = found()
    assert file is not None
    assert {"prices": "../../p.toml", "key_file": "/run/key"} == file.table


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modle = 'x'", ["anyfast.toml: modle: there is no such setting; did you mean 'model'?"]),
        ("max-tokens = 5", ["max-tokens: there is no such setting; did you mean 'max_tokens'?"]),
        ("[profiles.p]\nrpm = 0", ["[profiles.p] rpm: must be a whole number from 1"]),
        ("rpm = true", ["rpm: must be a whole number from 1"]),
        ("rpm = 1.5", ["rpm: must be a whole number from 1"]),
        ("timeout = 0", ["timeout: must be a number above 0"]),
        ("timeout = inf", ["timeout: must be a number above 0"]),
        ("timeout = nan", ["timeout: must be a number above 0"]),
        ("no_key = 1", ["no_key: must be true or false"]),
        ("key_file = '-'", ["key_file: must be a path"]),
        ("model = ' '", ["model: must be a text that is not empty"]),
        ("no_key = true\nkey_file = 'k'", ["no_key and key_file: one of the two"]),
        ("profile = 'x'\n[profiles.y]\n", ["profile: must be one of y"]),
        ("profile = 'x'", ["profile: must be one of the profiles, of which there are none"]),
        ("profiles = 3", ["profiles must be a table of tables, such as [profiles.fast]"]),
        ("[profiles]\nfast = 1", ["profiles.fast must be a table, [profiles.fast]"]),
        ("model = ", ["anyfast.toml: is no TOML"]),
        ("rpm = 0\nmodle = 1", ["rpm: must be", "modle: there is no"]),
    ],
)
def test_what_is_wrong_is_named(project: Path, text: str, words: list[str]) -> None:
    """File, table, key and what is allowed: all of what is wrong at once."""
    (project / "anyfast.toml").write_text(text)
    with pytest.raises(click.UsageError) as caught:
        found()
    assert all(word in caught.value.message for word in words)


@pytest.mark.parametrize(
    "line",
    [
        "api_key = 'xsecretx'",
        "key = 'xsecretx'",
        "API-KEY = 'xsecretx'",
        "model = 'sk-xsecretx'",
        "rpm = 'sk-xsecretx'",
    ],
)
@pytest.mark.parametrize("table", ["", "[profiles.p]\n"])
def test_never_a_key(project: Path, line: str, table: str) -> None:
    """A key in the file is refused, and not shown; the words say where it belongs."""
    (project / "anyfast.toml").write_text(table + line)
    with pytest.raises(click.UsageError) as caught:
        found()
    assert "a key does not belong" in caught.value.message
    assert "key_file" in caught.value.message
    assert "xsecretx" not in caught.value.message


def test_problems_of_pyproject(project: Path) -> None:
    """A pyproject.toml that is no TOML matters only if it speaks of this program."""
    path = project / "pyproject.toml"
    path.write_text("[tool.ruff")
    assert found() is None
    path.write_text("[tool.anyfast")
    with pytest.raises(click.UsageError, match=r"pyproject.toml: is no TOML"):
        found()
    path.write_text("[tool.anyfast.profiles.p]\nmodle = 1\n")
    with pytest.raises(click.UsageError, match=r"\[tool.anyfast.profiles.p\] modle: there is no such setting"):
        found()
    path.write_text("[tool]\nanyfast = 3\n")
    with pytest.raises(click.UsageError, match=r"tool[.]anyfast must be a table"):
        found()


def test_who_may_say_where_the_key_goes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that everybody can write, or that is another user's, is refused unless it is named."""
    path = project / "anyfast.toml"
    path.write_text("model = 'm'\n")
    path.chmod(0o646)
    with pytest.raises(click.UsageError, match=r"can be written by everybody.*ANYFAST_CONFIG="):
        found()
    path.chmod(0o644)
    with monkeypatch.context() as patch:
        patch.setattr("os.geteuid", lambda: path.stat().st_uid + 1)
        if path.stat().st_uid:
            with pytest.raises(click.UsageError, match="belongs to another user"):
                found()
    path.chmod(0o646)
    monkeypatch.setenv("ANYFAST_CONFIG", str(path))
    assert found() is not None


def test_settings_are_options() -> None:
    """Every setting is the name of an option, in every command that it is for."""
    from anyfast_async.cli.app import anyfast  # noqa: PLC0415 - loads all commands

    for setting in SETTINGS.values():
        for name in setting.commands:
            command = anyfast.commands[name]
            options = {parameter.name: parameter.opts for parameter in command.params}
            if (setting.name, name) == ("no_key", "demo"):
                continue
            assert f"--{setting.name.replace('_', '-')}" in options[setting.parameter], (setting.name, name)

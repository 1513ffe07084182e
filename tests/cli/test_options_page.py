"""The reference of options is made from the commands. Run as a program this writes it anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from anyfast_async.cli.app import SUMMARIES, anyfast
from anyfast_async.cli.project_file import SETTINGS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "options.md"
VARIABLES = {"profile": "ANYFAST_PROFILE", "model": "ANYFAST_MODEL", "key_file": "ANYFAST_API_KEY_FILE"}
"""Those that click does not know of, by the name of the option."""
ALONE = {
    "ANYFAST_API_KEY": "the key",
    "ANYFAST_ALLOW_HTTP": "hosts that may be talked to over plain http, with commas between them",
    "ANYFAST_LOG": "`debug`, `info`, `warning` or `error`: what is logged to the standard error, from that level on",
    "ANYFAST_CONFIG": "the file of the project, instead of the nearest one",
}
"""Variables that no option says."""
HEAD = """# Options, variables, settings

Made from the commands themselves; `anyfast COMMAND --help` says the same. What was typed counts first, then the
variable, the profile and the [file of the project](cli.md#settings-of-a-project), the default.
"""


def options_of(command: str) -> list[click.Option]:
    """The options of a command, as its help lists them."""
    return [one for one in anyfast.commands[command].params if isinstance(one, click.Option) and not one.hidden]


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def cell(text: str) -> str:
    return text.replace("|", r"\|")


def long_name(option: click.Option) -> str:
    return max(option.opts, key=len)


def value_of(option: click.Option) -> str:
    """What stands behind an option."""
    if option.is_flag or option.count:
        return ""
    choices = getattr(option.type, "choices", None)
    if option.metavar is None and choices:
        return "|".join(map(str, choices))
    return option.metavar or option.type.name.upper()


def words_of(option: click.Option) -> tuple[str, str]:
    """Meaning and default: what the help calls the default, else the one that click has."""
    meaning = " ".join((option.help or "").split())
    found = re.search(r"\s*\(?\bDefault: (.+?)\.?\)?$", meaning)
    if found is not None:
        return meaning[: found.start()].strip(), found[1]
    default = option.default
    if (
        option.is_flag
        or option.count
        or default in (None, "", ())
        or callable(default)
        or "UNSET" in repr(default).upper()
    ):
        return meaning, ""
    return meaning, str(default)


def setting_of(command: str, option: click.Option) -> str:
    """The key in the file of a project that says the same."""
    return next((s.name for s in SETTINGS.values() if command in s.commands and s.parameter == option.name), "")


def variable_of(command: str, option: click.Option) -> str:
    if isinstance(option.envvar, str):
        return option.envvar
    if option.name == "model" and command == "batch":
        return ""  # it says the model of rows that name another; the variable does not
    return VARIABLES.get(option.name or "", "")


def rows_of(command: str) -> Iterator[str]:
    for option in options_of(command):
        meaning, default = words_of(option)
        names = ", ".join(code(f"{name} {value_of(option)}".strip()) for name in sorted(option.opts, key=len))
        yield f"| {cell(names)} | {cell(meaning)} | {cell(default)} | {code(setting_of(command, option))} |"


def all_rows() -> Iterator[str]:
    """One row for each option that says one thing, whichever commands have it."""
    found: dict[tuple[str, ...], list[str]] = {}
    for command in SUMMARIES:
        for option in options_of(command):
            _, default = words_of(option)
            key = (long_name(option), default, variable_of(command, option), setting_of(command, option))
            found.setdefault(key, []).append(command)
    for (name, default, variable, setting), commands in sorted(found.items()):
        yield f"| {code(name)} | {', '.join(commands)} | {cell(default)} | {code(variable)} | {code(setting)} |"
    for variable, meaning in ALONE.items():
        yield f"| none | {meaning} | | {code(variable)} | |"


def page() -> str:
    """The page as it has to be."""
    parts = [
        HEAD,
        "## All of them\n",
        "| option | of | default | variable | in `anyfast.toml` |",
        "|---|---|---|---|---|",
    ]
    parts += [*all_rows(), ""]
    for command, summary in SUMMARIES.items():
        arguments = " ".join(
            one.metavar or (one.name or "").upper()
            for one in anyfast.commands[command].params
            if isinstance(one, click.Argument)
        )
        parts.append(f"## {f'anyfast {command} {arguments}'.strip()}\n\n{summary}\n")
        if options_of(command):
            parts += ["| option | meaning | default | in `anyfast.toml` |", "|---|---|---|---|", *rows_of(command), ""]
    return "\n".join(parts).rstrip() + "\n"


def test_the_page_is_what_the_commands_say() -> None:
    """The page on options is the one that is made now: ``nox -s snapshot`` writes it."""
    assert page() == PAGE.read_text(encoding="utf-8")


def test_every_variable_is_in_it() -> None:
    """So is each variable of the environment that is read."""
    package = PAGE.parents[2] / "anyfast_async"
    read = {
        name
        for path in package.rglob("*.py")
        for name in re.findall(r"(?<![A-Z_])ANYFAST_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))
    }
    assert read == set(re.findall(r"`(ANYFAST_[A-Z_]+)`", PAGE.read_text(encoding="utf-8")))


def test_every_setting_of_the_file_is_an_option() -> None:
    """Each key that a file may have stands in the page."""
    text = PAGE.read_text(encoding="utf-8")
    assert [] == [name for name in SETTINGS if f"| `{name}` |" not in text]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""The file of a project's settings: ``anyfast.toml``, or ``[tool.anyfast]`` of ``pyproject.toml``."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import attrs
import click

from anyfast_async._values.text import did_you_mean, escaped

VARIABLE: Final = "ANYFAST_CONFIG"
"""Names the file; then none is looked for."""
OWN: Final = "anyfast.toml"
PYPROJECT: Final = "pyproject.toml"
_PROFILES: Final = "profiles"
_DEFAULT: Final = "profile"
_FIELDS: Final = "set"
_KEYS: Final = frozenset(
    {"api_key", "apikey", "key", "token", "secret", "authorization", "anyfast_api_key", "password"}
)
_KEY_SIGN: Final = "sk-"
_NO_KEY_HERE: Final = (
    "a key does not belong into a file of settings, which is shared; name a file that holds it (key_file), or set "
    "ANYFAST_API_KEY"
)

Kind = Literal["text", "path", "whole", "number", "flag"]


@attrs.frozen
class Setting:
    """What a file may say: the long name of an option, with ``_`` for ``-``."""

    name: str
    kind: Kind
    commands: tuple[str, ...]
    """That have the option in this meaning."""
    parameter: str = attrs.field(default=attrs.Factory(lambda self: self.name, takes_self=True))
    """How click calls it."""
    least: float = 0
    above: bool = False
    """Whether *least* itself is too little."""
    variable: str | None = None
    """Of the environment, which goes before."""
    word: str | None = None
    """That it may be in place of a number."""

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        bound = f"{'above' if self.above else 'from'} {self.least:g}" + (f' or "{self.word}"' if self.word else "")
        return {
            "text": "a text that is not empty",
            "path": "a path, as a text",
            "whole": f"a whole number {bound}",
            "number": f"a number {bound}",
            "flag": "true or false",
        }[self.kind]

    def takes(self, value: object) -> bool:
        """Tell whether it may be *value*."""
        if self.word is not None and value == self.word:
            return True
        if self.kind == "flag":
            return isinstance(value, bool)
        if self.kind in ("text", "path"):
            return isinstance(value, str) and bool(value.strip()) and (self.kind == "text" or value != "-")
        is_number = type(value) is int or (type(value) is float and self.kind == "number")
        if not is_number or not isinstance(value, (int, float)):
            return False
        return self.least < value < float("inf") if self.above else self.least <= value < float("inf")


_ALL: Final = ("batch", "bench", "chat", "demo", "doctor", "models")
_ASKING: Final = tuple(name for name in _ALL if name != "models")
_PRICED: Final = ("batch", "bench", "chat", "report", "results")
SETTINGS: Final = {
    setting.name: setting
    for setting in (
        Setting("model", "text", _ASKING, variable="ANYFAST_MODEL"),
        Setting("base_url", "text", _ALL, variable="ANYFAST_BASE_URL"),
        Setting("key_file", "path", _ALL, variable="ANYFAST_API_KEY_FILE"),
        Setting("no_key", "flag", _ALL),
        Setting("timeout", "number", ("batch", "chat", "models"), above=True),
        Setting("retries", "whole", ("batch", "chat", "demo", "models")),
        Setting("system", "text", ("batch", "chat")),
        Setting("max_tokens", "whole", ("batch", "chat"), least=1),
        Setting("temperature", "number", ("chat",)),
        Setting("concurrency", "whole", ("batch",), least=1, word="auto"),
        Setting("rpm", "whole", ("batch",), least=1),
        Setting("tpm", "whole", ("batch",), least=1),
        Setting("budget_tokens", "whole", ("batch",)),
        Setting("budget_usd", "number", ("batch",)),
        Setting("template", "text", ("batch",)),
        Setting("id", "text", ("batch",), "id_column"),
        Setting("prices", "path", _PRICED),
        Setting("price_factor", "number", _PRICED, above=True),
    )
}
"""All that a file may say. What is about one run alone, such as its files, is not among it."""


@attrs.frozen
class ProjectFile:
    """A file that was read and is right."""

    path: Path
    table: Mapping[str, Any]
    """What counts for all profiles."""
    profiles: Mapping[str, Mapping[str, Any]]
    default: str | None = None
    """The profile where none is named."""
    fields: Mapping[str, Any] = attrs.field(factory=dict)
    """Fields of every request, for all profiles."""
    profile_fields: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    """Those of a profile."""

    @property
    def shown(self) -> str:
        """The file for people: as it is seen from here."""
        relative = os.path.relpath(self.path)
        return str(self.path) if relative.count("..") > 2 else relative  # noqa: PLR2004 - further up it is no help


def found() -> ProjectFile | None:
    """Return the file that counts here: the one that ANYFAST_CONFIG names, else the nearest one upwards.

    Raises:
        click.UsageError: it is not right, or belongs to somebody else.

    """
    named = os.environ.get(VARIABLE)
    if named:
        path = Path(named).expanduser()
        return _checked(path, _table(path, is_named=True) or {})
    try:
        here = Path.cwd()
    except OSError:  # the folder is gone
        return None
    for folder in (here, *here.parents):
        for path in (folder / OWN, folder / PYPROJECT):
            table = _table(path) if path.is_file() else None
            if table is not None:
                _check_owner(path)
                return _checked(path, table)
    return None


def _table(path: Path, *, is_named: bool = False) -> Mapping[str, Any] | None:
    """Return what a file says of this program; None if it is another's."""
    content = b""
    try:
        content = path.read_bytes()
        whole = tomllib.loads(content.decode())
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
        if path.name == PYPROJECT and not is_named:
            return None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"{path}: is no TOML: {error}"
        if path.name == PYPROJECT and b"anyfast" not in content:
            return None  # not broken for us
    else:
        if path.name != PYPROJECT:
            return whole
        tools = whole.get("tool")
        return tools.get("anyfast") if isinstance(tools, dict) else None
    raise click.UsageError(message)


def _check_owner(path: Path) -> None:
    """Refuse a file that another user wrote or can write: it says where the key is sent to."""
    if not hasattr(os, "geteuid"):
        return
    about = path.stat()
    if about.st_uid in (0, os.geteuid()) and not about.st_mode & stat.S_IWOTH:
        return
    problem = "can be written by everybody" if about.st_mode & stat.S_IWOTH else "belongs to another user"
    message = f"{path} {problem}, and it says where the key is sent to; to use it all the same: {VARIABLE}={path}"
    raise click.UsageError(message)


def _checked(path: Path, whole: object) -> ProjectFile:
    prefix = "tool.anyfast" if path.name == PYPROJECT else ""
    problems: list[str] = []
    table = whole if isinstance(whole, Mapping) else {}
    if table is not whole:
        problems.append(f"{prefix} must be a table")
    given = table.get(_PROFILES, {})
    profiles: dict[str, Mapping[str, Any]] = {}
    if not isinstance(given, Mapping):
        problems.append(f"{_PROFILES} must be a table of tables, such as [{_dotted(prefix, _PROFILES, 'fast')}]")
        given = {}
    for name, values in given.items():
        where = _dotted(prefix, _PROFILES, escaped(name, 60))
        if isinstance(values, Mapping):
            profiles[name] = {one: value for one, value in values.items() if one != _FIELDS}
            problems.extend(_problems(where, profiles[name], extra=(_FIELDS,)))
            problems.extend(_field_problems(_dotted(where, _FIELDS), values.get(_FIELDS, {})))
        else:
            problems.append(f"{where} must be a table, [{where}]")
    own = {name: value for name, value in table.items() if name not in (_PROFILES, _DEFAULT, _FIELDS)}
    problems.extend(_problems(prefix, own, extra=(_PROFILES, _DEFAULT, _FIELDS)))
    problems.extend(_field_problems(_dotted(prefix, _FIELDS), table.get(_FIELDS, {})))
    default = table.get(_DEFAULT)
    if default is not None and default not in profiles:
        problems.append(f"{_dotted(prefix, _DEFAULT)}: must be one of {_named(profiles)}")
    if problems:
        raise click.UsageError("\n".join(f"{path}: {problem}" for problem in problems))
    return ProjectFile(
        path,
        _placed(path, own),
        {name: _placed(path, values) for name, values in profiles.items()},
        default,
        table.get(_FIELDS, {}),
        {name: given[name].get(_FIELDS, {}) for name in profiles},
    )


def _dotted(*names: str) -> str:
    return ".".join(filter(None, names))


def _named(profiles: Mapping[str, Any]) -> str:
    return ", ".join(escaped(name, 60) for name in profiles) or f"the {_PROFILES}, of which there are none"


def _problems(where: str, table: Mapping[str, Any], extra: tuple[str, ...]) -> Iterator[str]:
    """Yield what is wrong in a table. No value is shown: it may be a key after all."""
    at = f"[{where}] " if where else ""
    for name, value in table.items():
        setting = SETTINGS.get(name)
        shown = escaped(name, 60)
        if name.lower().replace("-", "_") in _KEYS or (isinstance(value, str) and value.startswith(_KEY_SIGN)):
            yield f"{at}{shown}: {_NO_KEY_HERE}"
        elif setting is None:
            near = did_you_mean(name.replace("-", "_"), (*SETTINGS, *extra))
            yield f"{at}{shown}: there is no such setting; {near or 'there are ' + ', '.join((*SETTINGS, *extra))}"
        elif not setting.takes(value):
            yield f"{at}{shown}: must be {setting.allowed}"
    if table.get("no_key") is True and "key_file" in table:
        yield f"{at}no_key and key_file: one of the two"


def _field_problems(where: str, fields: object) -> Iterator[str]:
    """Yield what is wrong in a table of fields of the request."""
    if not isinstance(fields, Mapping):
        yield f"{where} must be a table of fields of the request, [{where}]"
        return
    from anyfast_async.cli.option_values import field_problem  # noqa: PLC0415 - few files have such a table

    for name, value in fields.items():
        if name.lower().replace("-", "_") in _KEYS or (isinstance(value, str) and value.startswith(_KEY_SIGN)):
            yield f"[{where}] {escaped(name, 60)}: {_NO_KEY_HERE}"
        elif name in SETTINGS and set(SETTINGS[name].commands) >= {"batch", "chat"}:
            yield f"[{where}] {escaped(name, 60)}: is a setting of its own; write it above [{where}]"
        elif (problem := field_problem(name)) is not None:
            yield f"[{where}] {problem}extra_body = {{name = value}}"


def _placed(path: Path, table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *table* with its paths as they are meant: from where the file is."""
    return {
        name: os.path.relpath(path.parent / Path(value).expanduser())
        if SETTINGS[name].kind == "path" and not Path(value).expanduser().is_absolute()
        else str(Path(value).expanduser())
        if SETTINGS[name].kind == "path"
        else value
        for name, value in table.items()
    }

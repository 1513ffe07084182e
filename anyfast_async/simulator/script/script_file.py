r"""Scripts for the simulator as TOML files, for programs that run it without being written in Python.

::

    # The top-level tables are the simulator's scripting methods; their keys are those methods' arguments.

    [simulator]                      # options of the simulator itself
    strict = true                    # refuse what no [[reply]] or fault is for

    [latency]                        # how fast it answers, in seconds
    ttft = 0.3
    per_token = 0.02

    [limit]                          # 429 beyond so many requests
    requests_per_minute = 60

    [[reply]]                        # for all requests
    text = "I do not know."

    [[reply]]                        # for those with this text in their messages
    when = "capital"
    json = { city = "Paris", population = 2_100_000 }

    [[reply]]                        # for those in which this regular expression is found
    pattern = '(?i)\bweather\b'
    tool_calls = [{ name = "forecast", arguments = { city = "Paris" } }]

    [[fail]]                         # the first two requests are refused
    status = 429
    retry_after = 1
    times = 2

    [[cut]]                          # then the connection breaks after three events of a stream
    after = 3

    [[stall]]                        # then there is silence after the first event
    after = 1
    seconds = 5

    [[quirk]]                        # answers deviate from the documented format, as some gateways do
    name = "usage-on-every-chunk"
    when = "odd"

    [[drop]]                         # and this one gets no answer at all, every time
    when = "never"
    times = "always"

Faults apply in the order of the file, whatever their kind; see :class:`~anyfast_async.simulator.Simulator` for what
wins where several fit. A cassette (:class:`anyfast_async.testing.Cassette`) is a script, too: of tables
``[[exchange]]``, each a request and the answer to it, byte by byte.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from typing import TYPE_CHECKING, Any, cast

import attrs

from anyfast_async.simulator.model.latency import Latency
from anyfast_async.simulator.script.exchange import request_value
from anyfast_async.simulator.script.rules import Script
from anyfast_async.simulator.script.script_tables import MANY, ONE, Kind
from anyfast_async.simulator.script.scripting import Scripting

if TYPE_CHECKING:
    from pathlib import Path

    from anyfast_async.simulator.simulator import SimulatorOptions

__all__ = ["ScriptError", "ScriptFile", "load_script", "parse_script"]

_NEEDED = {"fail": "status", "quirk": "name"}
_SHOWN = 60


class ScriptError(ValueError):
    """A script file that cannot be used; the message has a line for every problem."""

    def __init__(self, source: str, problems: tuple[str, ...]) -> None:
        super().__init__(source, problems)
        self.source = source
        self.problems = problems
        """Each with its line in the file, table, key, value and what is allowed."""

    def __str__(self) -> str:
        return "\n".join(f"{self.source}{problem}" for problem in self.problems)


@attrs.frozen
class _Step:
    method: str
    arguments: dict[str, Any]

    def __call__(self, simulator: Scripting) -> None:
        getattr(simulator, self.method)(**self.arguments)


@attrs.frozen
class ScriptFile:
    """What a script file says.

    Make the simulator with the options, then apply the rest to it::

        script = load_script(path)
        async with Simulator(**script.options) as sim:
            script.apply(sim)
    """

    options: SimulatorOptions
    """From the tables ``[simulator]`` and ``[latency]``."""

    _steps: tuple[_Step, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The models that the requests of recorded exchanges name, each once."""
        requests = (request_value(str(step.arguments.get("request") or "").encode()) for step in self._steps)
        named = (request.get("model") for request in requests if isinstance(request, dict))
        return tuple(dict.fromkeys(model for model in named if isinstance(model, str)))

    def apply(self, simulator: Scripting) -> None:
        """Script *simulator*; what it was told before stays."""
        for step in self._steps:
            step(simulator)


def load_script(path: Path) -> ScriptFile:
    """Read a script file.

    Raises:
        OSError: it cannot be read.
        ScriptError: it is no script.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ScriptError(str(path), (f": not UTF-8 (byte {error.start})",)) from None
    return parse_script(text, str(path))


def parse_script(text: str, source: str = "script") -> ScriptFile:
    """Return what the TOML *text* says.

    Args:
        text: the script.
        source: its name in error messages.

    Raises:
        ScriptError: it is no TOML, or says something that the simulator does not know.
    """
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScriptError(source, (f": no valid TOML: {error}",)) from None
    reader = _StepReader()
    for line, name, table in _tables(text):
        reader.take(line, name, table)
    if reader.problems:
        raise ScriptError(source, tuple(reader.problems))
    return ScriptFile(cast("SimulatorOptions", reader.options), tuple(reader.steps))


# -- tables in the order of the file -------------------------------------------------------------------------

_HEADER = re.compile(r"""^[ \t]*\[\[?[ \t]*(?:\w|-|["'])[^.\]]*\]""")


def _tables(text: str) -> list[tuple[int, str, Any]]:
    """The top-level entries of a valid TOML text, each with its line.

    ``tomllib`` gathers the tables of one name, which loses the order of different ones. So the text is cut where
    a line looks like the header of a top-level table, and what is before it is complete: then the line is not
    part of a longer string.
    """
    found: list[tuple[int, str, Any]] = []
    piece: list[str] = []
    start = 1
    lines = [*text.split("\n"), None]
    for number, line in enumerate(lines, 1):
        if line is None or (_HEADER.match(line) and _is_complete("\n".join(piece))):
            for name, value in tomllib.loads("\n".join(piece)).items():
                found += [(start, name, one) for one in value] if _is_list_of_tables(value) else [(start, name, value)]
            piece, start = [], number
        if line is not None:
            piece.append(line)
    return found


def _is_complete(piece: str) -> bool:
    try:
        tomllib.loads(piece)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


# -- what they say --------------------------------------------------------------------------------------------


class _StepReader:
    """Turns tables into options and steps, and collects everything that is wrong with them."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.steps: list[_Step] = []
        self.problems: list[str] = []
        self._counts: dict[str, int] = {}
        self._dry = Scripting(Script())

    def take(self, line: int, name: str, table: Any) -> None:
        """Take the next top-level entry of a file."""
        keys = MANY.get(name) or ONE.get(name)
        if keys is None:
            known = [f"[[{one}]]" for one in MANY] + [f"[{one}]" for one in ONE]
            self._wrong(line, f"{name}: no table of a script{_nearest(name, [*MANY, *ONE])}", ", ".join(known))
            return
        self._counts[name] = number = self._counts.get(name, 0) + 1
        where = f"[[{name}]] {number}" if name in MANY else f"[{name}]"
        if not isinstance(table, dict):
            self._wrong(line, f"{where} = {_shown(table)}", "a table")
            return
        if name in ONE and number > 1:
            self._wrong(line, where, "one such table")
            return
        arguments = self._checked(line, where, table, keys)
        if arguments is not None:
            self._add(line, where, name, arguments)

    def _checked(self, line: int, where: str, table: dict[str, Any], keys: dict[str, Kind]) -> dict[str, Any] | None:
        before = len(self.problems)
        arguments: dict[str, Any] = {}
        for key, value in table.items():
            if key not in keys:
                self._wrong(line, f"{where} {key}: no such key{_nearest(key, list(keys))}", ", ".join(keys))
                continue
            kind = keys[key]
            if kind.fits(value):
                arguments[key] = kind.convert(value)
            else:
                self._wrong(line, f"{where} {key} = {_shown(value)}", kind.allowed)
        return arguments if len(self.problems) == before else None

    def _add(self, line: int, where: str, name: str, arguments: dict[str, Any]) -> None:
        if name == "simulator":
            self.options |= arguments
            return
        if name == "latency":
            self.options["latency"] = Latency(**arguments)
            return
        needed = _NEEDED.get(name)
        if needed is not None and needed not in arguments:
            self._wrong(line, f"{where} has no {needed}", MANY[name][needed].allowed)
            return
        if "pattern" in arguments:
            if "when" in arguments:
                self._wrong(line, f"{where} has both when and pattern", "one of them")
                return
            arguments["when"] = arguments.pop("pattern")
        step = _Step(name, arguments)
        try:
            step(self._dry)  # what keys forbid each other is the methods' own knowledge
        except (ValueError, TypeError) as error:
            self.problems.append(f":{line}: {where}: {error}")
            return
        self.steps.append(step)

    def _wrong(self, line: int, what: str, allowed: str) -> None:
        self.problems.append(f":{line}: {what}; allowed: {allowed}")


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

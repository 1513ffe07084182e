"""What ``anyfast results`` says and writes for going on with a batch: commands, and requests without an answer."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from anyfast_async._core.json import codec
from anyfast_async._core.prompt_template import TEXT
from anyfast_async._journal.disk import replace
from anyfast_async._journal.records import failures_of
from anyfast_async._map.media_columns import MediaTemplate
from anyfast_async._values.text import counted
from anyfast_async.batch.input.request_lines import URL, LineError
from anyfast_async.batch.input.source import Source
from anyfast_async.batch.input.stdin_copy import StdinCopy
from anyfast_async.batch.results.results import Results
from anyfast_async.batch.run_header import recorded_header
from anyfast_async.cli.display.figures import rows_of
from anyfast_async.cli.display.terminal import say
from anyfast_async.requests import as_request

STDIN: Final = "-"
_ID: Final = "custom_id"
_INPUT: Final = "IN"
"""Stands for an input that is not known."""


@attrs.frozen
class NextSteps:
    """The batch that is gone on with."""

    output: Path
    errors: Path
    source: Source | None
    header: Mapping[str, Any] = attrs.field(
        default=attrs.Factory(lambda self: recorded_header(self.output) or {}, takes_self=True)
    )
    """What it was begun with."""

    def command(self, *more: str) -> str:
        """Return the command that goes on with it, with *more* options."""
        return self._command(self._input, {}, *more)

    def _command(self, given: str, asked: Mapping[str, str | None], *more: str) -> str:
        words = ["anyfast", "batch", "-i", given, "-o", str(self.output)]
        if self.errors != failures_of(self.output):
            words += ["--errors", str(self.errors)]
        asked = {name: value for name, value in self._begun_with() if name not in more} | dict(asked)
        words += [word for name, value in asked.items() for word in ((name, value) if value is not None else (name,))]
        return shlex.join((*words, *(f"--set={name}" for name in self._settings()), *more)) + self._redirected

    @property
    def mending(self) -> str:
        """What to do about rows that would fail again as they are."""
        again = "again.jsonl"
        ask = ("anyfast", "results", str(self.output), "--input", self._input, "--failed-input", again)
        send = shlex.join(("anyfast", "batch", "-i", again, "-o", str(self.output), "--changed"))
        how = self.header.get("input") or {}
        if how.get("image") or how.get("document"):
            send = self._command(again, {"--id": how.get("id") or _ID}, "--changed")
        return f"{shlex.join(ask)}; mend the rows in {again}, then: {send}"

    @property
    def mending_input(self) -> str:
        """What to do about rows of which no request could be made."""
        return f"mend them in {self._input}, then: {self.command('--retry-failed', 'all', '--changed')}"

    @property
    def _is_piped(self) -> bool:
        return self.source is None and StdinCopy(self.output).kept.exists()

    @property
    def _input(self) -> str:
        return str(self.source.path) if self.source is not None else STDIN if self._is_piped else _INPUT

    @property
    def _redirected(self) -> str:
        return " </dev/null" if self._is_piped else ""

    def _begun_with(self) -> Iterator[tuple[str, str | None]]:
        """Yield the options without which the batch would be another one."""
        how, fields = self.header.get("input") or {}, self.header.get("fields") or {}
        is_text = how.get("format") == "text"
        if how.get("format") in ("csv", "parquet", "rows") or (is_text and how.get("template") != TEXT.text):
            yield "--template", str(how.get("template"))
        for name in ("id", "image", "document", "encoding"):
            if how.get(name):
                yield f"--{name}", str(how[name])
        if how.get("image") or how.get("document"):
            yield "--files-under", "DIR"
        if how.get("bad"):
            yield "--skip-bad", None
        if isinstance(schema := self.header.get("schema"), Mapping) and schema.get("given"):
            yield "--schema", str(schema["given"])
        if self.header.get("system"):
            yield "--system", str(self.header["system"])
        if fields.get("model"):
            yield "--model", str(fields["model"])
        if fields.get("max_tokens"):
            yield "--max-tokens", str(fields["max_tokens"])

    def _settings(self) -> Iterator[str]:
        for name, value in (self.header.get("fields") or {}).items():
            if name not in ("model", "max_tokens"):
                yield f"{name}={codec.dumps(value).decode()}"

    # -- the requests ------------------------------------------------------------------------------------------------

    def write(self, path: Path, found: Results) -> None:
        """Write the requests of the rows that have no answer, whole: with the batch's model, fields and system message.

        Rows with images or documents stay rows of a table: a request would hold their files, which only the batch may
        read.

        Raises:
            OSError: it cannot be written, or the input not be read.

        """
        assert self.source is not None  # noqa: S101 - checked before
        count = unreadable = 0

        def lines(source: Source) -> Iterator[bytes]:
            nonlocal count, unreadable
            for number, value in source.records():
                if isinstance(value, LineError):
                    unreadable += 1
                    continue
                custom_id = source.id_of(number, value)
                if custom_id is not None and found.find(custom_id).is_answered:
                    continue
                try:
                    yield self._line(source, number, value)
                    count += 1
                except (LineError, TypeError):
                    unreadable += 1

        replace(path, lines(self.source))
        if isinstance(self.source.template, MediaTemplate):
            say(
                f"{path}: {rows_of(count)} without an answer, with the paths of their files as they were; to send them:"
            )
            say(f"  {self._command(str(path), {'--id': _id_name(self.source)}, '--changed')}")
        else:
            say(f"{path}: {counted(count)} requests of rows without an answer")
        if unreadable:
            say(f"note: {rows_of(unreadable)} of {self.source.path} hold no request, and are not among them")

    def _line(self, source: Source, number: int, value: Mapping[str, Any]) -> bytes:
        if isinstance(source.template, MediaTemplate):
            own_id = {_id_name(source): source.id_of(number, value)}
            if None in own_id.values():
                raise LineError(("has no id",))
            return codec.dumps(source.template.as_json(value) | own_id) + b"\n"
        row = source.line(number, value)
        fields = self.header.get("fields") or {}
        own = {"model": self.header.get("model")} if row.request.model is None else {}
        request = as_request(row.request, own | fields, system=self.header.get("system"))
        body = codec.body_of(request, stream=False)
        return codec.dumps({"custom_id": row.custom_id, "method": "POST", "url": URL, "body": body}) + b"\n"


def _id_name(source: Source) -> str:
    """Return what ids are called in a table of rows that go out again."""
    name = source.id_column or _ID
    while source.id_column is None and name in source.columns:
        name = f"_{name}"
    return name

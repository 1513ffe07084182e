"""What bytes that nobody has thought of may do to what reads them: one function a reader, `TARGETS` has all.

Each takes any bytes, and raises if what is promised of the reader does not hold: no exception but the public ones, one
verdict however the bytes were cut, the quick way and the thorough one alike, what is written is what is read. The
program that thinks of bytes is ``benchmarks/fuzz.py``; what it found worth keeping is replayed by ``test_targets.py``.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import pickle
import random
import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from anyfast_async import AnyFastError, ChatCompletion
from anyfast_async._core import answer
from anyfast_async._core.http.body_end import MalformedError, TruncatedError
from anyfast_async._core.http.head import HeadReader
from anyfast_async._core.journal import journal_lines
from anyfast_async._core.journal.log_replay import LogReplay
from anyfast_async._core.json import codec
from anyfast_async._core.prompt_template import PromptTemplate
from anyfast_async._core.retry.retry_after import retry_after
from anyfast_async._core.sse import Bare, Decoder, type_of
from anyfast_async._core.stream.fold import Fold
from anyfast_async._core.stream.reader import AnswerReader
from anyfast_async._core.usual_answer import usual_completion
from anyfast_async._structured.json_in_text import NoJsonError, json_in
from anyfast_async._structured.parsing import FieldMismatchError, parse
from anyfast_async._structured.partial_json import PartialJson
from anyfast_async._structured.partial_values import plain
from anyfast_async.batch.input.csv_rows import CsvTable
from anyfast_async.batch.input.file_lines import lines_of, pieces_of
from anyfast_async.batch.input.formats import Format
from anyfast_async.batch.input.request_lines import LineError, SourceError
from anyfast_async.batch.input.source import Source, open_source
from anyfast_async.batch.input.survey import rows, survey
from anyfast_async.cli import option_values

NOW: Final = 1_704_067_200.0


def cut(data: bytes) -> tuple[bytes, list[bytes]]:
    """What is read, and the same in pieces: the first two bytes say where it is cut."""
    draw, body = random.Random(data[:2]), data[2:]
    places = sorted(draw.randrange(len(body) + 1) for _ in range(draw.randrange(1, 8)))
    return body, [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


def same(one: Any, other: Any, what: str) -> None:
    """Raise unless both are equal."""
    if one != other:
        message = f"{what}: {one!r} is not {other!r}"
        raise AssertionError(message)


# -- what a gateway sends ----------------------------------------------------------------------------------------------


def _decoded(pieces: Iterable[bytes]) -> Any:
    decoder, events = Decoder(max_line=64, max_event=96), list[Any]()
    end: Any = None
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        end = decoder.close()
    except AnyFastError as error:
        end = str(error)
    told = [(bytes(one), type_of(one), getattr(one, "id", ""), isinstance(one, Bare)) for one in events]
    return told, end, decoder.retry, decoder.last_event_id


def event_stream(data: bytes) -> None:
    """Events are the same however their bytes are cut, limits included."""
    body, pieces = cut(data)
    whole = _decoded([body])
    same(_decoded(pieces), whole, "cut")
    same(_decoded(body[at : at + 1] for at in range(len(body))), whole, "by the byte")


def _answered(pieces: Iterable[bytes]) -> Any:
    reader, head, got, surplus = HeadReader(300), None, b"", b""
    try:
        for piece in pieces:
            rest = piece
            if head is None:
                found = reader.feed(piece)
                if found is None:
                    continue
                head, rest = found
            if head.body.done:
                surplus += rest
                continue
            more = head.body.feed(rest)
            while more:
                got += more
                more = head.body.more()
        if head is None:
            return None
        head.body.end()
    except TruncatedError:
        return head.status if head else None, got, "truncated"
    except MalformedError as error:
        return "malformed", error.status
    return head.status, dict(head.headers), got, head.reusable, head.body.rest + surplus


def http_answer(data: bytes) -> None:
    """Head and body have one verdict, however their bytes are cut."""
    body, pieces = cut(data)
    whole = _answered([body])
    same(_answered(pieces), whole, "cut")
    same(_answered(body[at : at + 1] for at in range(len(body))), whole, "by the byte")


def chunked_body(data: bytes) -> None:
    """What was sent is what comes, whatever lines it holds: what stands between zero bytes is a chunk."""
    chunks = [chunk for chunk in data[2:].split(b"\0") if chunk]
    sent = b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"
    sent += b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    _, pieces = cut(data[:2].ljust(2) + sent)
    for found in (_answered([sent]), _answered(pieces)):
        same(found[2], b"".join(chunks), "sent")


STATUSES: Final = (200, 200, 200, 201, 204, 301, 400, 401, 404, 408, 409, 429, 500, 503, 504, 524)
LABELS: Final = ("application/json", "text/event-stream", "text/plain", "text/html", "")


def _told(error: AnyFastError) -> Any:
    """What an error says; it can be shown, and sent to another process."""
    repr(error)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    same(str(again), str(error), "pickled")
    return type(error).__name__, str(error), error.billed, error.retryable


def whole_answer(data: bytes) -> None:
    """An answer in one piece is a completion or an error; what comes out goes back in, the quick way too."""
    if len(data) < 2:
        return
    status, label, body = STATUSES[data[0] % len(STATUSES)], LABELS[data[1] % len(LABELS)], data[2:]
    headers = {"content-type": label} if label else {}
    try:
        found = answer.completion_of(status, headers, body, now=NOW)
    except AnyFastError as error:
        _told(error)
        if status == 200 and usual_completion(status, headers, body) is not None:
            message = f"quick takes it, thorough does not: {error}"
            raise AssertionError(message) from error
        return
    value = codec.as_dict(found)
    same(codec.as_dict(codec.structure(value, ChatCompletion)), value, "back and forth")
    same(codec.as_dict(codec.decode_completion(codec.dumps(value))), value, "by JSON")
    assert found.outcome
    repr(found), found.text, found.tool_calls, found.reasoning
    if usual_completion(status, headers, body) is not None and "event-stream" not in label and _is_json(body):
        same(codec.as_dict(answer._read(headers, body, now=NOW, hide=str)), value, "thorough")


def _is_json(body: bytes) -> bool:
    """Whether it is, to the letter: where strings hold line breaks, lines of an event stream cannot keep them all."""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _read(pieces: Iterable[bytes], *, quick: bool = False, alike: bool = True) -> Any:
    """What a stream comes to; *quick*: texts are taken where one is expected; *alike*: chunks are compared at all."""
    reader, fold = AnswerReader({}, clock=lambda: NOW), Fold()
    if not alike:
        reader._trials = 0
    for piece in pieces:
        if reader.done or reader.error is not None:
            break
        if not (quick and reader.expects and reader.take(piece) is not None):
            reader.feed(piece)
    if not reader.done and reader.error is None:
        reader.close()
    for item in reader.items:
        fold.take(item)
    error = None if reader.error is None else _told(reader.error)
    return codec.as_dict(fold.completion()), reader.done, error, reader.ignored


def streamed_answer(data: bytes) -> None:
    """A stream is one answer however it is cut, and by templates of its chunks as by reading each."""
    body, pieces = cut(data)
    whole = _read([body])
    same(_read([body], alike=False), whole, "each by itself")
    same(_read(pieces, quick=True), whole, "cut")
    events = [one + b"\n\n" for one in body.split(b"\n\n")]
    events[-1] = events[-1][:-2]
    same(_read(events, quick=True), whole, "by the event")


def streamed_texts(data: bytes) -> None:
    """What was said is what is read, to the last space: each line is a chunk's text, however the stream is cut."""
    texts = [line.decode("utf-8", "replace") for line in data[2:].split(b"\n")]
    chunks = [{"id": "c", "choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    events = [f"data: {json.dumps(one, ensure_ascii=data[:1] > b'a')}\n\n".encode() for one in chunks]
    _, pieces = cut(data[:2].ljust(2) + b"".join(events))
    for found, *_ in (_read([b"".join(events)]), _read(pieces, quick=True), _read(events, quick=True)):
        read = [choice["message"].get("content") or "" for choice in found["choices"]]
        same("".join(read), "".join(texts), "said")


def delay(data: bytes) -> None:
    """Whatever asks to wait, it is for a finite time, or not at all."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    headers = {name.strip().lower(): value for name, colon, value in (one.partition(":") for one in lines) if colon}
    body: Any = None
    with contextlib.suppress(codec.InvalidJSONError):
        body = codec.loads(lines[-1].encode("utf-8", "surrogateescape"))
    for throttled in (True, False):
        found = retry_after(headers, body, lines[0], NOW, throttled=throttled)
        assert found is None or 0 <= found < math.inf, found


# -- what a model writes -----------------------------------------------------------------------------------------------


@dataclass
class Place:
    name: str
    people: int = 0
    parts: list[str] | None = None


def _grows(before: Any, after: Any) -> bool:
    if isinstance(before, str) and isinstance(after, str):
        return after.startswith(before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) <= len(after) and all(map(_grows, before, after))
    if isinstance(before, dict) and isinstance(after, dict):
        return all(name in after for name in before)  # a name that is given twice has the later value
    return bool(before == after)


def structured_text(data: bytes) -> None:
    """JSON in a text is one value or none, the same in pieces; what can be seen of it only grows."""
    body, pieces = cut(data)
    text, wrapped = body.decode("utf-8", "replace"), bool(data[:1] > b"\x7f")
    cuts = [piece.decode("utf-8", "replace") for piece in pieces]
    by_piece, at_once, seen = PartialJson(wrapped=wrapped), PartialJson(wrapped=wrapped), None
    if "".join(cuts) == text:
        for piece in cuts:
            by_piece.feed(piece)
            now = plain(by_piece.so_far())
            if seen is not None and not wrapped:
                assert _grows(seen, now), f"{seen!r} became {now!r}"
            seen = now
        at_once.feed(text)
        same(plain(by_piece.so_far()), plain(at_once.so_far()), "cut")
    value: Any = None
    with contextlib.suppress(NoJsonError):
        value = json_in(text, wrapped=wrapped)
    if value is not None:
        same(json_in(json.dumps(value), wrapped=wrapped), value, "written and read")
    try:
        parse(text, Place)
    except FieldMismatchError as error:
        same(bool(error.errors), True, "says what does not fit")


# -- what is on the disk -----------------------------------------------------------------------------------------------

STEM: Final = "0123456789abcdef01234567"
IDS: Final = ("a", "row-1", "é", 'quo"te', "back\\slash", " ")


def _lines(kinds: bytes) -> Iterator[tuple[str, bytes]]:
    """What a run writes: the id of a line of answers or failures, and the line."""
    for kind in kinds:
        custom_id = IDS[kind % len(IDS)]
        if kind & 64:
            yield custom_id, journal_lines.error_line(custom_id, AnyFastError("it broke"), stem=STEM)
        else:
            body = {"choices": [{"message": {"content": "x" * (kind >> 3)}, "finish_reason": "stop"}]}
            completion = codec.structure(body, ChatCompletion)
            yield custom_id, journal_lines.answer_line(custom_id, completion, stem=STEM)


def results_file(data: bytes) -> None:
    """Of a file that was cut or damaged at one place every other line is read, and nothing that was not written."""
    if len(data) < 4:
        return
    kinds = data[3:11]
    written = [*_lines(kinds)]
    whole = b"".join(line for _, line in written)
    at = int.from_bytes(data[:2], "big") % (len(whole) + 1)
    harm = bytes([data[2]]) if data[2] else b""
    damaged = whole[:at] + harm + whole[at + len(harm) :] if harm else whole[:at]
    found = [journal_lines.recorded_id(line) for line in damaged.splitlines(keepends=True) if line.endswith(b"\n")]
    allowed = [custom_id for custom_id, _ in written]
    before = sum(end <= at for end in _ends(written))
    same(found[:before], allowed[:before], "before it")
    left = [one for one in found if one is not None]
    assert len(left) >= (len(allowed) - 2 if harm else before), "more than what it touched was lost"
    rest = iter(allowed)
    assert all(one in rest for one in left), f"{left} of {allowed}"


def _ends(written: Sequence[tuple[str, bytes]]) -> Iterator[int]:
    end = 0
    for _, line in written:
        end += len(line)
        yield end


def log_file(data: bytes) -> None:
    """A log says of its beginning what it said when that was all; any other bytes say nothing, and break nothing."""
    log, state = [journal_lines.holder(7, "host")], dict[str, bool]()
    for kind in data[2:18]:
        custom_id = IDS[kind % len(IDS)]
        if kind & 128:
            state.pop(custom_id, None)
            log.append(journal_lines.failed_record(journal_lines.error_line(custom_id, AnyFastError("x"), stem=STEM)))
        elif kind & 64:
            state.pop(custom_id, None)
            log.append(journal_lines.record("unsent", custom_id))
        else:
            state[custom_id] = True
            log.append(journal_lines.record("started", custom_id))
    whole = b"".join(log)
    replay = LogReplay()
    for line in whole.splitlines(keepends=True):
        replay.add(line)
    same(set(replay.open), set(state), "open")
    at = int.from_bytes(data[:2], "big") % (len(whole) + 1)
    torn, alone = LogReplay(), LogReplay()
    for line in whole[:at].splitlines(keepends=True):
        torn.add(line)
    for line in whole[: whole.rfind(b"\n", 0, at) + 1].splitlines(keepends=True):
        alone.add(line)
    later = whole[at - 1 : at] == b"}"  # whole but for its end
    if not later:
        same(set(torn.open), set(alone.open), "torn")
    odd = LogReplay()
    for line in (data[18:], b"", *data[18:].splitlines(keepends=True)):
        journal_lines.read_holder(line)
        journal_lines.may_be_log(line)
        journal_lines.failure_in(line)
        if journal_lines.record_in(line) is None:
            odd.add(line)
    same((odd.known, dict(odd.open)), (False, {}), "known")


def other_programs_line(data: bytes) -> None:
    """A line of results that another program wrote can be asked everything."""
    custom_id = journal_lines.recorded_id(data)
    value = journal_lines.value_of(data)
    is_answer = journal_lines.is_answer(data)
    completion = journal_lines.completion_in(data)
    if completion is not None:
        codec.as_dict(completion)
        repr(completion), completion.outcome
    _told(journal_lines.error_in(data))
    journal_lines.twin_in(data)
    assert value is not None or (completion is None and not is_answer)
    assert custom_id is None or not journal_lines.is_damaged(data)


# -- what a user brings ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _file(data: bytes) -> Iterator[Path]:
    """A file with these bytes, in memory where there is such a place."""
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108, PTH112 - a name of its own is made there
    with tempfile.TemporaryDirectory(dir=place) as folder:
        path = Path(folder, "in")
        path.write_bytes(data)
        yield path


def csv_table(data: bytes) -> None:
    """Rows are those that the standard library finds in the whole text, and survive being written and read."""
    lines = [*io.BytesIO(data)]
    try:
        table = CsvTable(iter(enumerate(lines, 1)), 200)
    except LineError:
        return
    records = [record for _, record in table]
    rows = [one for one in records if not isinstance(one, LineError)]
    assert all(list(row) == list(dict.fromkeys(table.columns)) for row in rows)
    if len(rows) < len(records) or not rows:
        return
    text = io.StringIO(data.decode(), newline="")
    there = [row for row in csv.reader(text, delimiter=table.delimiter, strict=True) if row][1:]
    same([list(row.values()) for row in rows], [list(dict(zip(table.columns, one)).values()) for one in there], "rows")  # noqa: B905


KINDS: Final[tuple[tuple[Format, str | None, str | None], ...]] = (
    ("batch", None, None),
    ("requests", None, None),
    ("gemini", None, None),
    ("text", "Say {text}!", None),
    ("csv", "{a}", None),
    ("csv", "{a} {b}", "b"),
    ("rows", "{a} {b.c}", None),
    ("rows", "{a}", "id"),
)


def _slowly(source: Source) -> tuple[list[tuple[int, str, bytes]], set[int]]:
    """Rows as they are read one by one, and the numbers of those that are none, or have the id of an earlier one."""
    good, bad, ids = list[tuple[int, str, bytes]](), set[int](), set[str]()
    for number, record in source.records():
        custom_id = None if isinstance(record, LineError) else source.id_of(number, record)
        try:
            if isinstance(record, LineError):
                raise record
            row = source.line(number, record)
        except LineError:
            bad.add(number)
        else:
            if row.custom_id in ids:
                bad.add(number)
            else:
                good.append((number, row.custom_id, codec.encode(row.request, stream=False)))
        ids |= {custom_id} if custom_id is not None else set()
    return good, bad


def batch_input(data: bytes) -> None:
    """A file is read many rows at a time as it is row by row; its lines are the same either way."""
    if not data:
        return
    kind, template, id_column = KINDS[data[0] % len(KINDS)]
    with _file(data[1:]) as path:
        limit = 300
        in_turn = [*lines_of(path, limit)]
        at_once = [pair for numbers, lines in pieces_of(path, limit) for pair in zip(numbers, lines, strict=True)]
        same(str(at_once), str(in_turn), "lines")
        try:
            source = open_source(path, kind=kind, template=template, id_column=id_column, max_line=limit)
        except (SourceError, LineError) as error:
            _told(error)
            return
        good, bad = _slowly(source)
        found = survey(source, skip_bad=True)
        same({*found.bad}, bad, "bad rows")
        many = [(one.number, one.custom_id, codec.encode(one.request, stream=False)) for one in rows(found)]
        same(many, good, "rows")


def template(data: bytes) -> None:
    """A template is read or refused; literal text comes out as it went in."""
    head, _, tail = data.partition(b"\0")
    text = head.decode("utf-8", "replace")
    literal = text.replace("{", "{{").replace("}", "}}")
    same(PromptTemplate.parse(literal + "{x}").fill({"x": "v"}), text + "v", "literal")
    try:
        made = PromptTemplate.parse(text)
    except ValueError:
        return
    same(made.fill(dict.fromkeys(made.columns, "v")), "v".join(_around(text)), "filled")
    try:
        row = codec.loads(tail)
    except codec.InvalidJSONError:
        return
    if isinstance(row, Mapping) and not made.lacks(row):
        with contextlib.suppress(TypeError):
            made.fill(row)


def _around(text: str) -> list[str]:
    """What stands around the columns of a template, character by character."""
    pieces, at = [""], 0
    while at < len(text):
        if text[at : at + 2] in ("{{", "}}"):
            pieces[-1] += text[at]
            at += 2
        elif text[at] == "{":
            pieces.append("")
            at = text.index("}", at) + 1
        else:
            pieces[-1] += text[at]
            at += 1
    return pieces


def options(data: bytes) -> None:
    """What is typed is a value in its range, or an error that says what is allowed."""
    text = data.decode("utf-8", "replace").replace("\0", "")
    for read, is_fine in (
        (option_values.size, lambda found: type(found) is int and found > 0),
        (option_values.share, lambda found: found >= 0 and (type(found) is int or found < 1)),
        (option_values.seconds, lambda found: 0 <= found < math.inf),
        (option_values.words, lambda found: found == text),
        (option_values.outcomes, lambda found: isinstance(found, frozenset)),
        (lambda said: option_values.fields_of(said.split("\n"), {}), lambda found: isinstance(found, dict)),
    ):
        try:
            found = read(text)
        except click.UsageError as error:
            same(bool(error.message), True, "says what is wrong")
        else:
            assert is_fine(found), f"{read}: {found!r}"
    shown = option_values.setting_of("--temperatur", ["--temperatur", text], ())
    assert shown is None or len(shlex.split(shown)) == 2


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    one.__name__: one
    for one in (
        event_stream,
        http_answer,
        chunked_body,
        whole_answer,
        streamed_answer,
        streamed_texts,
        delay,
        structured_text,
        results_file,
        log_file,
        other_programs_line,
        csv_table,
        batch_input,
        template,
        options,
    )
}

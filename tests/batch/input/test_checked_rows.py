"""Rows that are checked together: of each is told what is told of it alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anyfast_async.batch.input import checked_rows as together
from anyfast_async.batch.input.checked_rows import Checked, Measure, checked_rows
from anyfast_async.batch.input.source import Source, open_source
from anyfast_async.requests import as_request

MEASURE = Measure(lambda request: as_request(request, {"n": 2}, system="abc"))

TEXTS = st.one_of(
    st.text(max_size=12), st.sampled_from(["", " ", 'a "q"', "\\", "é\u2028", "\0", "12345678901234567890"])
)
DEFECTS: list[Callable[[dict[str, Any]], object]] = [
    lambda row: row.pop("custom_id"),
    lambda row: row.update(custom_id=""),
    lambda row: row.update(custom_id=5),
    lambda row: row.update(method="GET"),
    lambda row: row.update(url="/v1/responses"),
    lambda row: row.pop("body"),
    lambda row: row.update(body=[]),
    lambda row: row.update(more={"content": "x"}),
    lambda row: row["body"].pop("messages"),
    lambda row: row["body"].update(messages=[]),
    lambda row: row["body"].update(messages=""),
    lambda row: row["body"].update(messages="Hi"),
    lambda row: row["body"].update(model=" "),
    lambda row: row["body"].update(model="other"),
    lambda row: row["body"].update(max_tokens=0),
    lambda row: row["body"].update(max_tokens=7, n=3),
    lambda row: row["body"].update(seed=2**63),
    lambda row: row["body"].update(temperature=1e400),
    lambda row: row["body"].update(stream=True),
    lambda row: row["body"].update(stream=False),
    lambda row: row["body"].update(metadata={"messages": [{"role": "user", "content": "x"}]}),
    lambda row: row["body"]["messages"][0].update(role=""),
    lambda row: row["body"]["messages"][0].update(content=None),
    lambda row: row["body"]["messages"][0].update(content=5),
    lambda row: row["body"]["messages"][0].update(content=[{"type": "text", "text": "abcdefgh"}]),
    lambda row: row["body"]["messages"][0].update(name="x"),
    lambda row: row["body"]["messages"].append({"role": "assistant", "content": "abc"}),
]
LINES = [
    b"\n",
    b"  \r\n",
    b"no\n",
    b"[]\n",
    b"{}\n",
    b'{"custom_id":"\xff"}\n',
    b'{"custom_id": "a", "custom_id": "b"}\n',
]
DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda line: line.replace(b"}", b"", 1),
    lambda line: line.replace(b"Hi", b"\xff"),
    lambda line: line.replace(b"Hi", b"\\ud800"),
    lambda line: line.replace(b"Hi", b"\\"),
    lambda line: line.replace(b"Hi", b'","'),
    lambda line: line.replace(b"Hi", b'",["'),
    lambda line: line.replace(b"Hi", b'"],"'),
    lambda line: line.replace(b"Hi", b"\t"),
    lambda line: line.replace(b"Hi", b"\\q"),
    lambda line: line.replace(b'"Hi"', b'"x","content":"Hi"'),
    lambda line: line.replace(b"\n", b"\r\n"),
    lambda line: line.replace(b"\n", b" \n"),
    lambda line: line.replace(b'"user"', b'"us\\u0065r"'),
    lambda line: line[: len(line) // 2] + b"\n",
    lambda line: line[:-1] + line,
]


@st.composite
def lines(draw: st.DrawFn, *, is_batch: bool) -> bytes:
    """A line: usually of the commonest shape, else with one defect or another."""
    content = draw(TEXTS)
    body = {"model": "m", "messages": [{"role": "user", "content": content}], "max_tokens": 9}
    row: dict[str, Any] = {
        "custom_id": draw(TEXTS) or "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": body,
    }
    defect = draw(st.none() | st.sampled_from(DEFECTS))
    if defect is not None and draw(st.booleans()):
        defect(row)
    if not is_batch:
        given = row.get("body")
        own: dict[str, Any] = given if isinstance(given, dict) else {"messages": "x", "temperature": 3}
        row = {name: row[name] for name in ("custom_id",) if name in row} | own
    compact = (",", ":") if draw(st.booleans()) else None
    line = json.dumps(row, separators=compact, ensure_ascii=draw(st.booleans())).encode("utf-8", "replace") + b"\n"
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(LINES))
    if draw(st.integers(0, 5)) == 0:
        line = json.dumps(row).replace(json.dumps(content), '"Hi"').encode() + b"\n"
        return draw(st.sampled_from(DAMAGES))(line)
    return line


def one_by_one(source: Source, measure: Measure | None, *, digests: bool) -> Iterator[tuple[int, Checked]]:
    """The rows as the rules say of each alone."""
    check = together._Check(source, measure, digests=digests)
    for number, record in source.records():
        yield number, check.row(number, record)


def plain(rows: Sequence[tuple[int, Checked]]) -> list[Any]:
    """Rows to compare: errors by what they say."""
    return [
        (number, custom_id, kind, cells, error and (error.problems, error.custom_id, error.is_end))
        for number, (custom_id, kind, cells, error) in rows
    ]


def same(source: Source, *, digests: bool = True) -> list[Any]:
    """Check that both ways say the same; return it."""
    alone: list[Any] = []
    for measure in (MEASURE, None):
        alone = plain([*one_by_one(source, measure, digests=digests)])
        some = checked_rows(source, measure, digests=digests)
        assert alone == plain(
            [row for numbers, rows in some for row in zip(numbers, zip(*rows, strict=True), strict=True)]
        )
    return alone


@pytest.mark.parametrize("kind", ["batch", "requests"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), digests=st.booleans())
def test_any_lines(tmp_path: Path, kind: Any, data: st.DataObject, *, digests: bool) -> None:
    """Whatever stands on the lines, and whatever is wrong with them."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(data.draw(st.lists(lines(is_batch=kind == "batch"), min_size=1, max_size=30))))

    same(open_source(path, kind=kind), digests=digests)


def test_every_defect(tmp_path: Path, make_line: Callable[..., bytes]) -> None:
    """Each defect among many good lines of one shape, which are read together."""
    path = tmp_path / "in.jsonl"
    good = [make_line(f"r{n}") for n in range(40)]
    bad = [damage(make_line("a", {"method": "POST"})) for damage in DAMAGES] + LINES
    for defect in DEFECTS:
        row = json.loads(make_line("b"))
        defect(row)
        bad.append(json.dumps(row).encode() + b"\n")
    path.write_bytes(b"".join(b"".join(good[n % 7 :]) + one for n, one in enumerate(bad)))

    told = same(open_source(path, kind="batch"))

    assert len(told) > 1500
    assert 20 < sum(error is not None for *_, error in told) < len(bad)


@pytest.mark.parametrize("kind", ["requests", "rows"])
def test_a_piece_of_a_file(tmp_path: Path, kind: Any) -> None:
    """Rows are numbered, and called, as in the file that it is a piece of."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"messages": "Hi"}\n' * 3 + b"no\n")
    source = open_source(path, kind=kind, template="{messages}" if kind == "rows" else None)

    told = same(attrs.evolve(source, before=10))

    assert [(11, "line-11"), (12, "line-12"), (13, "line-13"), (14, None)] == [(n, name) for n, name, *_ in told]


def test_lines_that_make_up_for_one_another(tmp_path: Path, make_line: Callable[..., bytes]) -> None:
    """Two lines that are none by themselves and would be two if they were read together are none."""
    path = tmp_path / "in.jsonl"
    good = make_line("r")
    for first, second in ((b"a\\", b',"b'), (b'","', b"\\"), (b'",["', b'"],"'), (b'",{"a":"', b'b":"c"},"')):
        torn = good.replace(b"Hi", first) + good.replace(b"Hi", second)
        path.write_bytes(good * 3 + torn + good)

        told = same(open_source(path, kind="batch"))

        assert [4, 5] == [number for number, *_, error in told if error is not None]


def test_one_shape_is_checked_once(
    tmp_path: Path, make_line: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a thousand lines in three shapes a handful is checked by itself, also with a bad one among them."""
    path = tmp_path / "in.jsonl"
    given = [make_line(f"r{n}", model=("a", "b", None)[n % 3]) for n in range(1000)]
    path.write_bytes(b"".join([*given, b"no\n"]))
    alone: list[int] = []
    row = together._Check.row

    def counted(check: Any, number: int, record: Any) -> Checked:
        alone.append(number)
        return row(check, number, record)

    monkeypatch.setattr(together._Check, "row", counted)
    rows = [
        one for _, some in checked_rows(open_source(path), MEASURE, digests=True) for one in zip(*some, strict=True)
    ]

    assert (1001, [1, 2, 3, 1001]) == (len(rows), sorted(set(alone)))


CELLS = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(), st.floats(), st.lists(TEXTS, max_size=2))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    given=st.lists(
        st.fixed_dictionaries({}, optional={"text": CELLS, "lang": CELLS, "id": CELLS, "in": st.just({"x": "y"})}),
        max_size=25,
    ),
    template=st.sampled_from(["{text}", "{{{text}}} in {lang}: {text}", "{text}{in.x}"]),
    id_column=st.sampled_from([None, "id"]),
    junk=st.sampled_from([b"", b"no\n", b"\n", b"[]\n", b'{"text":12345678901234567890}\n', b'{"text":"\\ud800"}\n']),
)
def test_any_table(tmp_path: Path, given: list[Any], template: str, id_column: str | None, junk: bytes) -> None:
    """Whatever is in a table, and whatever is missing."""
    path = tmp_path / "in.jsonl"
    usual = [{"text": f"a{n}", "lang": "é", "id": n, "in": {"x": None}} for n in range(12)]
    path.write_bytes(b"".join(json.dumps(one).encode() + b"\n" for one in [*usual, *given, *usual]) + junk)

    same(open_source(path, kind="rows", template=template, id_column=id_column))


def test_a_csv_table(tmp_path: Path) -> None:
    """A table of another form, with rows that are too short, blank and empty."""
    path = tmp_path / "in.csv"
    path.write_text("id,text\n" + "a,b\n" * 30 + "c\n\n,d\ne,\n" + "f,é\n" * 30)

    told = same(open_source(path, template="x {text}", id_column="id"))

    assert [32, 34, 35] == [number for number, *_, error in told if error is not None]

"""``anyfast results``."""

from __future__ import annotations

import csv
import errno
import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator

HOSTILE = '=HYPERLINK("http://x/","y")\x1b]0;title\x07\u202egnp\x9b31m<script>alert(1)</script>'


def line(custom_id: str, text: str, finish: str = "stop") -> str:
    """An answer, as the OpenAI Batch API writes it."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
    body = {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}
    return json.dumps(
        {"id": "b", "custom_id": custom_id, "response": {"status_code": 200, "body": body}, "error": None}
    )


def failure(custom_id: str, status: int, message: str) -> str:
    """A failed row, as vLLM writes it."""
    return json.dumps({"custom_id": custom_id, "response": {"status_code": status, "body": None}, "error": message})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """What a batch left behind: 4 answers that are objects, one of them hostile, 1 cut off, 3 failures, a torn line."""
    objects = [{"label": "good", "score": 0.5}, {"label": "bad", "score": 1}, {"label": HOSTILE, "score": -1}]
    answers = [line(f"r{n}", json.dumps(value)) for n, value in enumerate(objects, 1)]
    answers += [line("r4", '{"label": "cut"}', "length"), '{"custom_id":"r9","response":{"sta']
    failures = [failure("r5", 400, HOSTILE), failure("r6", 503, "busy"), failure(HOSTILE, 503, "busy")]
    (tmp_path / "out.jsonl").write_text("\n".join(answers))
    (tmp_path / "out.errors.jsonl").write_text("\n".join(failures) + "\n")
    return tmp_path / "out.jsonl"


def test_summary(anyfast: Callable[..., Any], out: Path) -> None:
    """Without -o there is a summary; broken lines are counted and named, and are no reason to fail."""
    ran = anyfast("results", out)

    assert 0 == ran.code
    counts = [["rows", "7"], ["answered", "4"], ["cut", "1"], ["failed", "3"], ["broken", "lines", "1"]]
    assert [*counts, ["no", "usage", "4", "rows"]] == [row.split() for row in ran.out.splitlines()]
    assert [
        f"note: 1 line is no result of a batch: {out}, line 5",
        f"what went wrong: anyfast results {out} --errors",
    ] == ran.err.splitlines()


def test_table(anyfast: Callable[..., Any], out: Path, tmp_path: Path) -> None:
    """Fields of the answers are columns beside the rows' own; hostile answers are inert in every cell."""
    path = tmp_path / "table.csv"

    ran = anyfast("results", out, "-o", path)

    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (0, "", f"{path}: 7 rows, 10 columns") == (ran.code, ran.out, ran.err.splitlines()[-1])
    assert ["custom_id", "label", "score", "outcome"] == list(rows[0])[:4]
    assert [("r1", "good", "0.5"), ("r2", "bad", "1")] == [(r["custom_id"], r["label"], r["score"]) for r in rows[:2]]
    assert ("ok", "cut", "failed", "bad_request") == (
        *(rows[n]["outcome"] for n in (2, 3, 4)),
        rows[4]["error_kind"],
    )
    text = path.read_text(encoding="utf-8")
    assert all(char.isprintable() or char == "\n" for char in text)
    assert not [cell for row in rows for cell in row.values() if cell[:1] in tuple("=+@\t\r") and cell]
    assert rows[2]["label"].startswith("'=HYPERLINK")


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_other_formats(format_: str, anyfast: Callable[..., Any], out: Path, tmp_path: Path) -> None:
    """JSON lines and Parquet keep what a model said as it is."""
    path = tmp_path / f"table.{format_}"

    ran = anyfast("results", out, "-o", path)

    assert 0 == ran.code, ran.err
    if format_ == "parquet":
        rows = pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
    else:
        rows = [json.loads(one) for one in path.read_text(encoding="utf-8").splitlines()]
    assert ["good", "bad", HOSTILE, "cut", None, None, None] == [row["label"] for row in rows]


def test_errors(anyfast: Callable[..., Any], out: Path) -> None:
    """--errors has each kind with its count, an example, whether it may be billed, and a command that goes on."""
    ran = anyfast("results", out, "--errors")

    assert 0 == ran.code
    assert (
        "server: 2 rows, for example r6\n"
        "  503: busy\n"
        "  retryable: yes, billed: maybe\n"
        f"  next: anyfast batch -i IN -o {out} --retry-failed server\n" in ran.out
    )
    assert "bad_request: 1 row, for example r5\n  400: =HYPERLINK" in ran.out
    assert (
        f"  next: anyfast results {out} --input IN --failed-input again.jsonl; mend the rows in again.jsonl, then: "
        f"anyfast batch -i again.jsonl -o {out} --changed\n" in ran.out
    )
    assert f"  next: anyfast batch -i IN -o {out} --retry-failed cut --max-tokens N\n" in ran.out
    assert "cut: 1 row, for example r4\n" in ran.out
    assert ran.out.replace("\n", "").isprintable()


def test_errors_as_a_table(anyfast: Callable[..., Any], out: Path, tmp_path: Path) -> None:
    """--errors with -o writes the rows that did not go well, and no others."""
    anyfast("results", out, "--errors", "-o", tmp_path / "e.jsonl")

    rows = [json.loads(one) for one in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert ["r4", "r5", "r6", HOSTILE] == [row["custom_id"] for row in rows]


def test_as_json(anyfast: Callable[..., Any], out: Path) -> None:
    """--json prints the summary, and the kinds of errors, as one JSON value."""
    summary = json.loads(anyfast("results", out, "--json").out)
    errors = json.loads(anyfast("results", out, "--json", "--errors").out)

    assert (7, 4, 3, 1) == tuple(summary[name] for name in ("rows", "answered", "failed", "broken_lines"))
    assert {"server": 2, "bad_request": 1, "cut": 1} == {one["kind"]: one["count"] for one in errors}


def test_with_its_input(anyfast: Callable[..., Any], out: Path, write_batch: Any, tmp_path: Path) -> None:
    """Joined with the input, rows come in its order with their prompts, and those without a result are missing."""
    source = write_batch(*(f"prompt {n}" for n in range(1, 9)))

    ran = anyfast("results", out, "--input", source, "-o", tmp_path / "t.jsonl")
    errors = anyfast("results", out, "--input", source, "--errors").out

    rows = [json.loads(one) for one in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert 0 == ran.code, ran.err
    assert [(f"r{n}", f"prompt {n}") for n in range(1, 9)] == [(row["custom_id"], row["prompt"]) for row in rows]
    assert ["ok", "ok", "ok", "cut", "failed", "failed", "missing", "missing"] == [row["outcome"] for row in rows]
    assert "missing: 2 rows, for example r7\n" in errors
    assert f"  next: anyfast batch -i {source} -o {out}\n" in errors
    assert "not sent      2\n" in anyfast("results", out, "--input", source).out


def test_after_a_real_batch(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the batch command wrote reads back, and a row that failed is sent again by the command that is shown."""
    source, answers = write_batch("good", "bad"), tmp_path / "answers.jsonl"
    gateway.fail(400, when="bad")
    anyfast("batch", "-i", source, "-o", answers)

    shown = anyfast("results", answers, "--input", source, "--errors").out
    first, then, second = shown.partition("next: anyfast ")[2].partition(
        "; mend the rows in again.jsonl, then: anyfast "
    )
    monkeypatch.chdir(tmp_path)
    asked, again = anyfast(*first.split()), anyfast(*second.split())

    assert then
    assert (0, 0) == (asked.code, again.code), asked.err + again.err
    assert ["bad"] == [
        json.loads(one)["body"]["messages"][0]["content"] for one in Path("again.jsonl").read_text().splitlines()
    ]
    assert "every row went well\n" == anyfast("results", answers, "--errors").out


def test_disk_that_is_full(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is said which file cannot be written: no standard output was meant."""
    out, table = tmp_path / "out.jsonl", tmp_path / "t.csv"
    anyfast("batch", "-i", write_batch("one"), "-o", out)

    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("anyfast_async.cli.results.job.write_table", full)
    ran = anyfast("results", out, "-o", table)

    assert (2, True) == (ran.code, f"{table}: No space left on device" in ran.err)
    assert 1 == len(gateway.requests)


def test_the_page_on_it(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every command on the page on reading results runs as it stands."""
    pytest.importorskip("vl_convert")
    page = Path(__file__).parents[3] / "docs" / "howto" / "read-results.md"
    commands = re.findall(
        r"^anyfast (.*)$", "".join(re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)), re.MULTILINE
    )
    monkeypatch.chdir(tmp_path)
    write_batch("one", "two")
    (tmp_path / "errors.jsonl").touch()

    begun = [f"batch -i in.jsonl -o {name}.jsonl --report run.html" for name in ("other", "out")]

    codes = {command: anyfast(*command.split()).code for command in [*begun, *commands]}

    assert dict.fromkeys(codes, 0) == codes
    assert {"table.csv", "table.jsonl", "errors.csv", "run.html"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl does not exist"),
        (["."], ". is no regular file"),
        (["out.jsonl", "-o", "t.xlsx"], "-o t.xlsx: it must end in one of .csv, .parquet, .jsonl, .csv.gz,"),
        (["out.jsonl", "-o", "out.jsonl"], "-o out.jsonl is one of the files that are read"),
        (["out.jsonl", "-o", "nowhere/t.csv"], "nowhere"),
        (["out.jsonl", "--input", "nowhere"], "--input nowhere: No such file or directory"),
        (["out.jsonl", "--error-file", "nowhere"], "nowhere does not exist"),
        (["notes.txt"], "notes.txt holds no results of a batch"),
    ],
)
def test_what_cannot_be(
    arguments: list[str], words: str, anyfast: Callable[..., Any], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong paths are exit code 2 with the reason, and no file is touched."""
    monkeypatch.chdir(out.parent)
    (out.parent / "notes.txt").write_text("dear diary\n")
    before = {path.name: path.read_bytes() for path in out.parent.iterdir()}

    ran = anyfast("results", *arguments)

    assert (2, "") == (ran.code, ran.out)
    assert words in ran.err
    assert before == {path.name: path.read_bytes() for path in out.parent.iterdir()}


async def test_on_a_terminal(start: Callable[..., Awaitable[Any]], out: Path) -> None:
    """A terminal shows the first rows as a table; no hostile answer reaches it as anything but text."""
    ran = await (await start("results", "out.jsonl", terminal=True)).ended()
    errors = await (await start("results", "out.jsonl", "--errors", terminal=True)).ended()

    assert (0, 0) == (ran.code, errors.code)
    assert "good" in ran.out
    for shown in (ran.out, errors.out):
        assert not any(code in shown for code in ("\x1b]", "\x07", "\x9b", "\u202e"))


@pytest.fixture
def all_failed(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of which every row failed, so that there is no output."""
    monkeypatch.chdir(tmp_path)
    gateway.fail(400, message="unknown field foo", times=None)
    anyfast("batch", "-i", write_batch("a", "b", "c"), "-o", "out.jsonl")
    assert not Path("out.jsonl").exists()


@pytest.mark.usefixtures("all_failed")
@pytest.mark.parametrize("name", ["out.jsonl", "out.errors.jsonl"])
def test_a_run_that_failed_as_a_whole(anyfast: Callable[..., Any], name: str) -> None:
    """It is read as any other one, by the name of its output or of its error file, and no advice writes over a file."""
    summary, errors = anyfast("results", name), anyfast("results", name, "--errors")
    table = anyfast("results", name, "-o", "table.csv")

    assert (0, 0, 0) == (summary.code, errors.code, table.code), summary.err
    assert "failed    3" in summary.out
    assert "unknown field foo" in errors.out
    assert "-o out.jsonl --changed" in errors.out
    assert "-o out.errors.jsonl" not in errors.out
    assert 4 == len(Path("table.csv").read_text().splitlines())


def test_rows_that_could_not_be_sent_are_joined(
    gateway: Simulator, anyfast: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the input, too, every row that --skip-bad left out is there once, under its own name, in its place."""
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("id,text\na,good\nb,\nc,too,many\na,again\n,nameless\nd,fine\n")
    command = ("batch", "-i", "in.csv", "-o", "out.jsonl", "--id", "id", "--template", "{text}", "--skip-bad")
    assert 1 == anyfast(*command).code

    told = [json.loads(anyfast("results", "out.jsonl", "--json", *more).out) for more in ((), ("--input", "in.csv"))]
    anyfast("results", "out.jsonl", "--input", "in.csv", "-o", "table.csv")

    assert (told[0], 6, 2, 4) == (told[1], told[0]["rows"], told[0]["answered"], told[0]["failed"])
    with Path("table.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["custom_id"], row["prompt"], row["outcome"]) for row in csv.DictReader(file)]
    assert [
        ("a", "good", "ok"),
        ("b", "", "failed"),
        ("line-4", "", "failed"),
        ("line-5", "again", "failed"),
        ("line-6", "", "failed"),
        ("d", "fine", "ok"),
    ] == rows


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl.gz", "t.csv.zst", "t.jsonl.zst"])
def test_packed_tables(name: str, anyfast: Callable[..., Any], out: Path, tmp_path: Path) -> None:
    """A table is packed as its name says: what unpacks it finds the table, and it may be written again."""
    plain = tmp_path / name.rpartition(".")[0]
    anyfast("results", out, "-o", plain)
    for _ in range(2):
        ran = anyfast("results", out, "-o", tmp_path / name)
        assert 0 == ran.code, ran.err

    packed = (tmp_path / name).read_bytes()
    data = gzip.decompress(packed) if name.endswith(".gz") else pytest.importorskip("backports.zstd").decompress(packed)
    assert plain.read_bytes() == data
    if name.endswith(".gz") and (tool := shutil.which("gzip")):
        done = subprocess.run([tool, "-dc", str(tmp_path / name)], capture_output=True, check=True)
        assert (data, b"") == (done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("t.parquet.gz", "Parquet is packed inside"),
        ("t.csv.xz", "packed as .gz or .zst, not as .xz"),
        ("t.gz", ".csv.gz"),
        ("t", "not ''"),
    ],
)
def test_names_of_tables(name: str, reason: str, anyfast: Callable[..., Any], out: Path, tmp_path: Path) -> None:
    """What cannot be packed so is refused with the reason."""
    ran = anyfast("results", out, "-o", tmp_path / name)

    assert 2 == ran.code
    assert reason in ran.err
    assert not (tmp_path / name).exists()


def test_a_packed_file_of_others_stays(anyfast: Callable[..., Any], out: Path, tmp_path: Path) -> None:
    """A packed file that is no table of results is not replaced, nor one that is damaged."""
    for data in (gzip.compress(b"a,b\n1,2\n"), gzip.compress(b"custom_id,outcome\n")[:12]):
        (tmp_path / "t.csv.gz").write_bytes(data)
        ran = anyfast("results", out, "-o", tmp_path / "t.csv.gz")
        assert 2 == ran.code
        assert data == (tmp_path / "t.csv.gz").read_bytes()

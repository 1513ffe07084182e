"""``anyfast batch``."""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anyfast_async.batch import open_batch

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator


def ids_of(path: Path) -> list[str]:
    """The ids in a file of results, sorted."""
    return sorted(json.loads(line)["custom_id"] for line in path.read_bytes().splitlines()) if path.exists() else []


def test_the_example_and_a_second_run(anyfast: Callable[..., Any], examples: Path, tmp_path: Path) -> None:
    """The 200 example prompts give one line per custom_id in OpenAI's shape; a second run sends nothing and says so."""
    source, out = examples / "prompts.jsonl", tmp_path / "out.jsonl"
    command = ("batch", "--simulate", "-i", source, "-o", out)

    first = anyfast(*command)
    written = out.read_bytes()
    second = anyfast(*command)

    assert (0, 0, f"{source}: OpenAI Batch lines\n") == (first.code, second.code, first.err)
    assert [f"prompt-{n:03}" for n in range(1, 201)] == ids_of(out)
    for line in map(json.loads, written.splitlines()):
        assert ["custom_id", "id", "response", "error"] == list(line)
        assert ["status_code", "request_id", "body"] == list(line["response"])
        assert (200, None) == (line["response"]["status_code"], line["error"])
        assert ("chat.completion", True) == (line["response"]["body"]["object"], line["id"].startswith("batch_req_"))
    assert "answered                 200\n" in first.out
    assert "nothing to do: every row (200) has its result; nothing was sent\n" == second.out
    assert written == out.read_bytes()
    assert {"out.jsonl", "out.jsonl.run"} == {path.name for path in tmp_path.iterdir()}


def bad_file() -> bytes:
    """A line that is good, and five that are not."""
    good = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"messages": [{"role": "user", "content": "x"}]},
    }
    values = [
        good,
        "not json",
        {name: value for name, value in good.items() if name != "custom_id"},
        good,
        good | {"custom_id": "b", "method": "GET", "url": "/v1/embeddings", "body": {"temperature": 2.1, "n": 0}},
        good | {"custom_id": "c", "body": {"messages": ["x"], "stream": True}},
    ]
    return b"".join((value if isinstance(value, str) else json.dumps(value)).encode() + b"\n" for value in values)


def test_every_problem_before_anything_is_sent(gateway: Simulator, anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """A bad file is exit code 2 with every problem and its line; nothing is sent, no file is made."""
    (tmp_path / "bad.jsonl").write_bytes(bad_file())

    ran = anyfast("batch", "-i", tmp_path / "bad.jsonl", "-o", tmp_path / "out.jsonl")

    assert (2, "", []) == (ran.code, ran.out, gateway.requests)
    what, *problems, last = ran.err.splitlines()
    assert what == f"{tmp_path / 'bad.jsonl'}: OpenAI Batch lines"
    assert [
        "line 2: is not JSON",
        "line 3: custom_id: is missing",
        "line 4: custom_id: 'a' stands on line 1 already",
        "line 5: method: is 'GET'; must be 'POST'",
        "line 5: url: is '/v1/embeddings'; must be '/v1/chat/completions'",
        "line 5: body.messages: must not be empty: at least one message with content",
        "line 5: body.temperature: must be a number from 0 to 2, not 2.1",
        "line 5: body.n: must be an integer of at least 1, not 0",
        "line 6: body.stream: must be absent or false in a batch",
        "line 6: body.messages[0]: must be a message or a dict with role and content, not str of 1 characters",
    ] == [problem.removeprefix(f"{tmp_path / 'bad.jsonl'}, ") for problem in problems]
    assert f"error: 10 problems in {tmp_path / 'bad.jsonl'}; nothing was sent, nothing written" in last
    assert last.endswith("; --skip-bad leaves such rows out")
    assert ["bad.jsonl"] == [path.name for path in tmp_path.iterdir()]


def test_nothing_but_bad_rows(gateway: Simulator, anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """With --skip-bad, too, it is said what is wrong, if that leaves nothing to send."""
    source = tmp_path / "bad.jsonl"
    source.write_text('{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": []}}\n')

    ran = anyfast("batch", "-i", source, "-o", tmp_path / "out.jsonl", "--skip-bad")

    assert (2, []) == (ran.code, gateway.requests)
    assert f"{source}, line 1: body.messages: must not be empty" in ran.err
    assert f"{source} holds no requests that can be sent" in ran.err


@pytest.mark.parametrize(
    ("source", "output", "words"),
    [
        ("nowhere.jsonl", "out.jsonl", "does not exist"),
        ("empty.jsonl", "out.jsonl", "holds no requests"),
        ("-", "out.jsonl", "the standard input is empty"),
        ("in.jsonl", "-", "must be files"),
        (".", "out.jsonl", "no regular file"),
        ("in.jsonl", "in.jsonl", "three different files"),
        ("in.jsonl", "./in.jsonl", "three different files"),
        ("in.jsonl", "notes.txt", "notes.txt was not written by a batch"),
        ("in.jsonl", "nowhere/out.jsonl", "nowhere: there is no such directory"),
    ],
)
def test_files_that_cannot_be(
    anyfast: Callable[..., Any],
    write_batch: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    source: str,
    output: str,
    words: str,
) -> None:
    """Files that cannot be read or written are exit code 2 with the reason, and no file is touched."""
    write_batch("hi")
    (tmp_path / "empty.jsonl").write_bytes(b"\n")
    (tmp_path / "notes.txt").write_text("dear diary")
    monkeypatch.chdir(tmp_path)

    ran = anyfast("batch", "--simulate", "-i", source, "-o", output)

    assert (2, "", "dear diary") == (ran.code, ran.out, (tmp_path / "notes.txt").read_text())
    assert words in ran.err


def test_failed_rows_and_going_on(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """Failed rows are exit code 1 and stand in OUT.errors.jsonl; the same command sends them, and only them, again."""
    source, out, errors = write_batch("good", "bad", "fine"), tmp_path / "out.jsonl", tmp_path / "out.errors.jsonl"
    gateway.fail(400, when="bad")

    first = anyfast("batch", "-i", source, "-o", out)
    assert (1, ["r1", "r3"], ["r2"]) == (first.code, ids_of(out), ids_of(errors))
    assert f"1 row failed: {errors}; the same command sends them again" in first.err
    assert "failed                   1 (bad_request 1)" in first.out

    second = anyfast("batch", "-i", source, "-o", out)

    assert (0, ["r1", "r2", "r3"], False) == (second.code, ids_of(out), errors.exists())
    assert (4, "bad") == (len(gateway.requests), gateway.requests[-1].body["messages"][0]["content"])


def test_a_torn_line_is_done_again(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """What a killed run left half written is cut off and sent again, nothing else is."""
    source, out = write_batch("one", "two", "three"), tmp_path / "out.jsonl"
    anyfast("batch", "-i", source, "-o", out)
    whole = out.read_bytes()
    torn = json.loads(whole.splitlines()[-1])["custom_id"]
    out.write_bytes(whole[:-25])

    ran = anyfast("batch", "-i", source, "-o", out)

    number = int(torn.removeprefix("r")) - 1
    assert (0, ["r1", "r2", "r3"], 4) == (ran.code, ids_of(out), len(gateway.requests))
    assert ("one", "two", "three")[number] == gateway.requests[-1].body["messages"][0]["content"]
    assert "answered                 3 (2 of them before)" in ran.out


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, None, "check ANYFAST_API_KEY"),
        (403, "insufficient_user_quota", "Add credit"),
    ],
)
def test_stopped_early(
    gateway: Simulator,
    anyfast: Callable[..., Any],
    write_batch: Any,
    tmp_path: Path,
    *,
    status: int,
    code: str | None,
    words: str,
) -> None:
    """A refused key or an empty account stop the run: no row is failed, the way to go on is shown."""
    source, out = write_batch(*(f"row {n}" for n in range(20))), tmp_path / "out.jsonl"
    gateway.fail(status, code=code, times=None)

    ran = anyfast("batch", "-i", source, "-o", out, "--concurrency", 2)

    assert (3, 2, ["in.jsonl"]) == (ran.code, len(gateway.requests), [path.name for path in tmp_path.iterdir()])
    assert words in ran.err
    assert ran.err.endswith(f"20 rows left; to go on:\n  anyfast batch -i {source} -o {out} --concurrency 2\n")


def test_an_unknown_model(gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """Rows that were sent to an unknown model have failed, the others are left, with the reason."""
    source, out = write_batch(*(f"row {n}" for n in range(20))), tmp_path / "out.jsonl"
    gateway.fail(503, code="model_not_found", times=None)

    ran = anyfast("batch", "-i", source, "-o", out, "--concurrency", 2)

    assert (3, 2, 2) == (ran.code, len(gateway.requests), len(ids_of(tmp_path / "out.errors.jsonl")))
    assert "gemini-2.5-flash" in ran.err.partition("error: ")[2].splitlines()[0]
    assert "Choose one with -m." in ran.err
    assert ran.err.endswith(f"18 rows left; to go on:\n  anyfast batch -i {source} -o {out} --concurrency 2\n")


def test_no_network(anyfast: Callable[..., Any], closed_gateway: str, write_batch: Any, tmp_path: Path) -> None:
    """Without a connection the run stops with exit code 3; no row is failed."""
    ran = anyfast("batch", "-i", write_batch("a", "b"), "-o", tmp_path / "out.jsonl")

    assert (3, ["in.jsonl"]) == (ran.code, [path.name for path in tmp_path.iterdir()])
    assert f"error: {closed_gateway}: cannot connect" in ran.err
    assert "2 rows left" in ran.err


def test_no_key(anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """Without a key nothing is written and the way without one is named."""
    ran = anyfast("batch", "-i", write_batch("a"), "-o", tmp_path / "out.jsonl")

    assert (2, "", ["in.jsonl"]) == (ran.code, ran.out, [path.name for path in tmp_path.iterdir()])
    assert "--simulate" in ran.err


def test_options(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, bodies: Any, tmp_path: Path
) -> None:
    """The model, system message and max_tokens of the command win over those of the rows."""
    source = write_batch("a", model="gemini-2.5-pro", max_tokens=7)
    options = ("-m", "gemini-2.0-flash", "--system", "Be brief", "--max-tokens", 50, "--rpm", 100, "--tpm", 10000)

    assert 0 == anyfast("batch", "-i", source, "-o", tmp_path / "out.jsonl", *options).code

    (body,) = bodies()
    assert ("gemini-2.0-flash", 50, "Be brief") == (body["model"], body["max_tokens"], body["messages"][0]["content"])


def test_rows_without_a_model(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """Rows that name no model get the default one, which is said; the others keep theirs."""
    source = write_batch("a", "b")
    lines = [json.loads(line) for line in source.read_text().splitlines()]
    lines[0]["body"]["model"] = "gemini-2.5-pro"
    del lines[1]["body"]["model"]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))

    ran = anyfast("batch", "-i", source, "-o", tmp_path / "out.jsonl")

    assert ran.err.endswith(": OpenAI Batch lines\n1 of 2 rows without a model of their own\nmodel: gemini-2.5-flash\n")
    sent = {request.body["messages"][0]["content"]: request.body["model"] for request in gateway.requests}
    assert {"a": "gemini-2.5-pro", "b": "gemini-2.5-flash"} == sent


@pytest.mark.parametrize("option", [("--max-tokens", 0), ("--concurrency", 0), ("--rpm", 0), ("--tpm", -1)])
def test_bad_options(anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path, option: tuple[str, int]) -> None:
    """Options out of range are exit code 2, and nothing is written."""
    ran = anyfast("batch", "--simulate", "-i", write_batch("a"), "-o", tmp_path / "out.jsonl", *option)

    assert (2, "", ["in.jsonl"]) == (ran.code, ran.out, [path.name for path in tmp_path.iterdir()])


def test_the_limits_hold(anyfast: Callable[..., Any], gateway: Simulator, write_batch: Any, tmp_path: Path) -> None:
    """--concurrency is the most requests that the gateway ever sees at once."""
    gateway.reply(ttft=0.01)
    source = write_batch(*(f"row {n}" for n in range(30)))

    anyfast("batch", "-i", source, "-o", tmp_path / "out.jsonl", "--concurrency", 3)

    assert (30, 3) == (len(gateway.requests), gateway.peak_in_flight)


def test_the_gateway_may_decide_how_many_go_at_once(
    anyfast: Callable[..., Any], gateway: Simulator, write_batch: Any, tmp_path: Path
) -> None:
    """With --concurrency auto rows begin by four, wait for the window, and all are answered."""
    gateway.reply(ttft=0.02)
    source, out = write_batch(*(f"row {n}" for n in range(60))), tmp_path / "out.jsonl"

    ran = anyfast("batch", "-i", source, "-o", out, "--concurrency", "auto")

    assert (0, 60, True) == (ran.code, len(gateway.requests), 4 <= gateway.peak_in_flight < 60)
    assert "limited by --concurrency" not in ran.err
    plan = anyfast("batch", "-i", source, "-o", out, "--concurrency", "auto", "--dry-run", "--json")
    assert "--concurrency" not in plan.err
    bad = anyfast("batch", "-i", source, "-o", out, "--concurrency", "many")
    assert (2, True) == (bad.code, "'many' is neither a whole number from 1 up nor auto" in bad.err)


def test_rows_that_went_bad_after_they_were_answered(
    gateway: Simulator, anyfast: Callable[..., Any], tmp_path: Path
) -> None:
    """They have their answer, so the error file says nothing of them; the failed ones are counted as they are."""
    source = tmp_path / "in.csv"
    command = ("batch", "-i", source, "-o", tmp_path / "out.jsonl", "--id", "id", "--template", "{text}", "--skip-bad")
    source.write_text("id,text\na,good\nb,bad\n")
    gateway.fail(400, when="bad", times=2)
    anyfast(*command)
    source.write_text("id,text\na,\nb,bad\n")

    ran = anyfast(*command)

    assert (1, True) == (ran.code, "1 row failed: " in ran.err), ran.err
    assert "cannot be sent: " not in ran.err


def test_as_json(gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """--json prints one object, with the same keys whether rows failed, all is well, or there was nothing to do."""
    source, out = write_batch("good", "bad"), tmp_path / "out.jsonl"
    gateway.fail(400, when="bad")
    command = ("batch", "-i", source, "-o", out, "--json")

    failed, done, idle = (json.loads(anyfast(*command).out.splitlines()[-1]) for _ in range(3))

    names = ("status", "rows", "already_answered", "answered", "failed", "left")
    assert ("complete", 2, 0, 1, 1, 0) == tuple(failed[name] for name in names)
    assert ("complete", 2, 1, 2, 0, 0) == tuple(done[name] for name in names)
    assert ("complete", 2, 2, 2, 0, 0) == tuple(idle[name] for name in names)
    assert set(failed) == set(done) == set(idle)
    assert str(tmp_path / "out.errors.jsonl") == failed["errors"]
    gateway.fail(401, times=None)
    out.unlink()
    stopped = json.loads(anyfast(*command).out.splitlines()[-1])
    assert ("stopped", "auth") == (stopped["status"], stopped["stopped_by"]["kind"])


def test_odd_answers_are_counted(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """Answers without text, and those cut at max_tokens, are answers, and have lines of their own in the summary."""
    gateway.reply("", finish_reason="length", when="think")
    gateway.reply("half", finish_reason="length", when="talk")

    ran = anyfast("batch", "-i", write_batch("think", "talk", "hi"), "-o", tmp_path / "out.jsonl")

    assert (1, 3) == (ran.code, len(ids_of(tmp_path / "out.jsonl")))
    assert "  empty                  1 (" in ran.out
    assert "  cut                    1 (" in ran.out
    again = anyfast("batch", "-i", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "--accept", "cut,empty")
    assert (0, 3) == (again.code, len(gateway.requests))


def test_answers_to_other_rows(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """Another input is refused, and nothing is touched; without the log its answers are kept, and that is said."""
    out = tmp_path / "out.jsonl"
    anyfast("batch", "-i", write_batch("a", "b", "c"), "-o", out)
    written = out.read_bytes()

    refused = anyfast("batch", "-i", write_batch("a"), "-o", out)
    (tmp_path / "out.jsonl.run").unlink()
    ran = anyfast("batch", "-i", tmp_path / "in.jsonl", "-o", out, "--ordered")

    assert (2, written, 3) == (refused.code, out.read_bytes(), len(gateway.requests))
    assert f"was begun with another input than {tmp_path / 'in.jsonl'}" in refused.err
    assert f"note: {out} holds 2 answers to rows that are not in {tmp_path / 'in.jsonl'}\n" in ran.err
    assert "is not put in order" in ran.err
    assert "nothing to do" in ran.out


# -- signals ---------------------------------------------------------------------------------------------------------


def lines(path: Path) -> int:
    """How many lines a file has."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


async def lines_in(path: Path, count: int) -> None:
    """Wait until a file has so many lines."""
    while lines(path) < count:
        await asyncio.sleep(0.005)


async def test_interrupted(
    slow_gateway: Simulator, start: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """SIGTERM lets the rows in work finish, says how to go on, and loses nothing; going on sends only the rest."""
    write_batch(*(f"row {n}" for n in range(60)))
    out = tmp_path / "out.jsonl"
    command = ("batch", "-i", "in.jsonl", "-o", "out.jsonl", "--concurrency", 4)
    started = await start(*command)
    await asyncio.wait_for(lines_in(out, 8), 10)
    started.send(signal.SIGTERM)
    ran = await started.ended()

    done = len(ids_of(out))
    assert (143, done, done) == (ran.code, len(set(ids_of(out))), len(slow_gateway.requests))
    assert 8 <= done < 60
    assert f"{60 - done} rows left; to go on:\n  anyfast batch -i in.jsonl -o out.jsonl --concurrency 4\n" in ran.err
    assert "Traceback" not in ran.err
    second = await (await start(*command)).ended()
    assert (0, 60, 60) == (second.code, len(set(ids_of(out))), len(slow_gateway.requests))


async def test_interrupted_twice(
    gateway: Simulator, start: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """The second signal leaves the rows in work at once, and names them: they may be billed."""
    gateway.stall(when="hang", times=None)
    write_batch("quick", "hang 2", "hang 3")
    started = await start("batch", "-i", "in.jsonl", "-o", "out.jsonl")
    await asyncio.wait_for(lines_in(tmp_path / "out.jsonl", 1), 10)

    started.send(signal.SIGINT)
    assert b"OpenAI Batch lines" in await started.process.stderr.readline()
    assert b"stopping" in await started.process.stderr.readline()
    started.send(signal.SIGINT)
    ran = await started.ended()

    assert (130, ["r1"]) == (ran.code, ids_of(tmp_path / "out.jsonl"))
    assert "perhaps billed now and again when sent again: r2, r3\n" in ran.err


async def test_interrupted_again_and_again(
    gateway: Simulator, start: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """However often and late a signal comes: the end is told, and the exit code is that of a signal."""
    gateway.stall(when="hang", times=None)
    write_batch("quick", "hang 2")
    started = await start("batch", "-i", "in.jsonl", "-o", "out.jsonl", "--json", "--grace", 0)
    await asyncio.wait_for(lines_in(tmp_path / "out.jsonl", 1), 10)

    started.send(signal.SIGTERM)
    ending = asyncio.ensure_future(started.ended())
    while started.process.returncode is None and not ending.done():
        with suppress(ProcessLookupError):  # not by started.send: it may take the exit code away
            os.kill(started.process.pid, signal.SIGINT)
        await asyncio.sleep(0.02)
    ran = await ending

    told = json.loads(ran.out.splitlines()[-1])
    assert ran.code in (130, 143)  # of two that come at once Python takes the lower number first
    assert ("end", ["r2"]) == (told["event"], told["maybe_billed"])


async def test_killed(slow_gateway: Simulator, start: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """After kill -9 a rerun gives every row exactly once; only rows that were in work are sent twice."""
    write_batch(*(f"row {n}" for n in range(60)))
    out = tmp_path / "out.jsonl"
    command = ("batch", "-i", "in.jsonl", "-o", "out.jsonl", "--concurrency", 8)
    started = await start(*command)
    await asyncio.wait_for(lines_in(out, 20), 10)
    started.send(signal.SIGKILL)
    await started.ended()

    ran = await (await start(*command)).ended()

    assert (0, 60, 60) == (ran.code, len(ids_of(out)), len(set(ids_of(out))))
    assert len(slow_gateway.requests) <= 60 + 8


async def test_on_a_terminal(start: Callable[..., Any], write_batch: Any) -> None:
    """On a terminal there is a bar that fills and a table at the end; with NO_COLOR nothing has a colour."""
    write_batch(*(f"row {n}" for n in range(50)))
    command = ("batch", "--simulate", "-i", "in.jsonl", "-o")

    ran = await (await start(*command, "out.jsonl", terminal=True)).ended()
    plain = await (await start(*command, "out2.jsonl", terminal=True, NO_COLOR="1")).ended()

    assert (0, 0) == (ran.code, plain.code)
    assert "of 50" in ran.out
    assert "━" in ran.out
    assert "latency p50 / p95 / p99" in ran.out
    assert "\x1b[38;5;" in ran.out
    assert "\x1b[3" not in plain.out


def test_a_disk_that_refuses_at_the_end(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When what was written does not reach the disk, that is exit code 3 with the way to go on, not a traceback."""

    def refuse(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    source, out = write_batch("a"), tmp_path / "out.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        ran = anyfast("batch", "-i", source, "-o", out)

    assert 3 == ran.code
    assert ran.err.endswith(f"Input/output error\nto go on:\n  anyfast batch -i {source} -o {out}\n")


# -- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_a_table(gateway: Simulator, anyfast: Callable[..., Any], bodies: Any, tmp_path: Path, *, packed: bool) -> None:
    """A CSV file is a batch: a template makes the prompts, a column the ids, --set wins over everything."""
    text = b'id,text\na,good\nb,"so, so"\n'
    source = tmp_path / ("in.csv.gz" if packed else "in.csv")
    source.write_bytes(gzip.compress(text) if packed else text)
    out = tmp_path / "out.jsonl"
    command = ("batch", "-i", source, "-o", out, "--id", "id", "--template", "Label: {text}")

    ran = anyfast(*command, "--set", "temperature=0", "--set", 'stop=["\\n"]', "--set", "user=me")

    assert (0, ["a", "b"]) == (ran.code, ids_of(out))
    assert f"{source}: CSV with a header\nmodel: gemini-2.5-flash\n" == ran.err
    assert {"Label: good", "Label: so, so"} == {body["messages"][0]["content"] for body in bodies()}
    assert [(0, ["\n"], "me")] * 2 == [(body["temperature"], body["stop"], body["user"]) for body in bodies()]


def test_parquet(gateway: Simulator, anyfast: Callable[..., Any], bodies: Any, tmp_path: Path) -> None:
    """So is a Parquet file."""
    source, out = tmp_path / "in.parquet", tmp_path / "out.jsonl"
    pq.write_table(pa.table({"key": [1, 2], "text": ["good", "bad"]}), source)

    ran = anyfast("batch", "-i", source, "-o", out, "--template", "Label: {text}", "--id", "key")

    assert (0, ["1", "2"]) == (ran.code, ids_of(out))
    assert {"Label: good", "Label: bad"} == {body["messages"][0]["content"] for body in bodies()}


def test_a_missing_column(gateway: Simulator, anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """A column that is not there is exit code 2 with those that are; nothing is sent or written."""
    (tmp_path / "in.csv").write_text("id,text\n1,good\n")

    ran = anyfast("batch", "-i", tmp_path / "in.csv", "-o", tmp_path / "out.jsonl", "--template", "{txt}")

    assert (2, [], ["in.csv"]) == (ran.code, gateway.requests, [path.name for path in tmp_path.iterdir()])
    assert "there is no column 'txt'; did you mean 'text'? The columns are: id, text\n" in ran.err


def test_a_format_that_is_said(gateway: Simulator, anyfast: Callable[..., Any], bodies: Any, tmp_path: Path) -> None:
    """--format wins over what the file looks like, and then nothing is said of it."""
    (tmp_path / "in.jsonl").write_text('{"messages": "good"}\n')

    ran = anyfast(
        "batch", "-i", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "--format", "text", "-m", "gemini-2.5-pro"
    )

    assert (0, "", ["line-1"]) == (ran.code, ran.err, ids_of(tmp_path / "out.jsonl"))
    assert ['{"messages": "good"}'] == [body["messages"][0]["content"] for body in bodies()]


def test_lines_that_are_too_long(anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """--max-line bounds the lines; a longer one is a problem with its number."""
    (tmp_path / "in.txt").write_text("short\n" + "long " * 20 + "\n")

    ran = anyfast("batch", "-i", tmp_path / "in.txt", "-o", tmp_path / "out.jsonl", "--max-line", "50B")

    assert 2 == ran.code
    assert f"{tmp_path / 'in.txt'}, line 2: is longer than 50 bytes\n" in ran.err


def test_the_standard_input(gateway: Simulator, anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """The standard input is a batch too; nothing of it is left when all rows are answered."""
    ran = anyfast("batch", "-i", "-", "-o", tmp_path / "out.jsonl", stdin="good\nbad\n")

    assert (0, ["line-1", "line-2"]) == (ran.code, ids_of(tmp_path / "out.jsonl"))
    assert {"out.jsonl", "out.jsonl.run"} == {path.name for path in tmp_path.iterdir()}


def test_going_on_with_the_standard_input(gateway: Simulator, anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """What failed is sent again from the copy that was kept, without the input, and then the copy is removed."""
    out, kept = tmp_path / "out.jsonl", tmp_path / "out.jsonl.stdin"
    gateway.fail(400, when="bad")

    first = anyfast("batch", "-i", "-", "-o", out, stdin="good\nbad\n")
    assert (1, 0o600, "good\nbad\n") == (first.code, kept.stat().st_mode & 0o777, kept.read_text())
    assert f"is kept in {kept}" in first.err
    none = anyfast("batch", "-i", "-", "-o", out, "--retry-failed", "none")
    assert (1, True) == (none.code, kept.exists())
    other = anyfast("batch", "-i", "-", "-o", out, stdin="other\n")
    assert (2, "good\nbad\n", 2) == (other.code, kept.read_text(), len(gateway.requests))
    second = anyfast("batch", "-i", "-", "-o", out)

    assert (0, ["line-1", "line-2"], 3) == (second.code, ids_of(out), len(gateway.requests))
    assert {"out.jsonl", "out.jsonl.run"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("stdin", ["good\n", ""])
def test_a_file_of_ones_own_is_no_kept_input(
    gateway: Simulator, anyfast: Callable[..., Any], tmp_path: Path, stdin: str
) -> None:
    """A file where the standard input is to be kept is neither written over nor sent, also with a log beside it."""
    out, own = tmp_path / "out.jsonl", tmp_path / "out.jsonl.stdin"
    own.write_text("my notes\n")

    ran = anyfast("batch", "-i", "-", "-o", out, stdin=stdin)
    assert (2, [own]) == (ran.code, list(tmp_path.iterdir()))
    assert f"{own} is there already" in ran.err
    own.unlink()
    gateway.fail(400, when="good")
    anyfast("batch", "-i", "-", "-o", out, stdin="good\n")
    own.write_text("my notes\n")
    ran = anyfast("batch", "-i", "-", "-o", out, stdin=stdin)

    assert (2, "my notes\n", 1) == (ran.code, own.read_text(), len(gateway.requests))


def test_a_kept_input_of_a_run_that_came_to_nothing(
    gateway: Simulator, anyfast: Callable[..., Any], tmp_path: Path
) -> None:
    """It is known as one, also where the run can be begun with another model; and other lines may take its place."""
    out = tmp_path / "out.jsonl"
    gateway.fail(404, code="model_not_found", when="good")
    for model, lines in (("m1", "good\n"), ("m2", ""), ("m3", "good\nas well\n")):
        ran = anyfast("batch", "-i", "-", "-o", out, "-m", model, stdin=lines)
        assert (1, f"{out}.stdin") == (ran.code, str(*tmp_path.glob("*.stdin"))), ran.err
        assert lines in ("", (tmp_path / "out.jsonl.stdin").read_text())


async def test_the_standard_input_interrupted(
    slow_gateway: Simulator, start: Callable[..., Any], tmp_path: Path
) -> None:
    """A pipe that is gone is no obstacle: after SIGTERM the printed command finishes the batch."""
    command = ("batch", "-i", "-", "-o", "out.jsonl", "--concurrency", 4)
    started = await start(*command, stdin=b"".join(b"row %d\n" % n for n in range(60)))
    await asyncio.wait_for(lines_in(tmp_path / "out.jsonl", 8), 10)
    started.send(signal.SIGTERM)
    ran = await started.ended()
    assert 143 == ran.code
    assert "to go on:\n  anyfast batch -i - -o out.jsonl --concurrency 4 </dev/null\n" in ran.err

    second = await (await start(*command)).ended()

    assert (0, 60, 60) == (second.code, len(set(ids_of(tmp_path / "out.jsonl"))), len(slow_gateway.requests))


async def test_terminated_while_checking(start: Callable[..., Any], tmp_path: Path) -> None:
    """SIGTERM before anything was sent leaves no file behind, the copy of the standard input included."""
    started = await start("batch", "--simulate", "-i", "-", "-o", "out.jsonl", stdin=b"good\n" * 100_000)
    while not list(tmp_path.iterdir()):  # noqa: ASYNC240 - an empty directory
        await asyncio.sleep(0.005)
    started.send(signal.SIGTERM)
    ran = await started.ended()

    assert (143, []) == (ran.code, list(tmp_path.iterdir()))  # noqa: ASYNC240
    assert "Traceback" not in ran.err


# -- how it is run ---------------------------------------------------------------------------------------------------


def test_order(slow_gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """With --ordered the answers stand in the order of the input at the end, without it in that of their coming."""
    source, out = write_batch(*(f"row {n}" for n in range(40))), tmp_path / "out.jsonl"
    command = ("batch", "-i", source, "-o", out, "--concurrency", 20)
    expected = [f"r{n}" for n in range(1, 41)]

    first = anyfast(*command)
    came = [json.loads(line)["custom_id"] for line in out.read_bytes().splitlines()]
    second = anyfast(*command, "--ordered")

    assert (0, 0, sorted(expected)) == (first.code, second.code, sorted(came))
    assert came != expected
    assert expected == [json.loads(line)["custom_id"] for line in out.read_bytes().splitlines()]
    assert 40 == len(slow_gateway.requests)


def test_a_budget(gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """--budget-tokens stops the run before it is overdrawn; it is the file's: only a higher one goes on."""
    source, out = write_batch(*(f"row {n}" for n in range(40))), tmp_path / "out.jsonl"

    ran = anyfast("batch", "-i", source, "-o", out, "--budget-tokens", 2000, "--concurrency", 1)

    assert (3, True) == (ran.code, 0 < len(ids_of(out)) < 40)
    assert "the budget of 2,000 tokens has no room" in ran.err
    used = sum(json.loads(line)["response"]["body"]["usage"]["total_tokens"] for line in out.read_bytes().splitlines())
    assert used <= 2000

    again = anyfast("batch", "-i", source, "-o", out, "--budget-tokens", 2000, "--concurrency", 1)
    assert 3 == again.code
    assert f"{used:,} spent, {used:,} of it by earlier runs" in again.err
    more = anyfast("batch", "-i", source, "-o", out, "--budget-tokens", 20_000, "--concurrency", 1)
    assert (0, 40) == (more.code, len(ids_of(out)))


def test_a_budget_of_money(gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """--budget-usd needs a price for every model before anything is sent, and is held as a ceiling."""
    gateway.reply("x", usage={"prompt_tokens": 10, "completion_tokens": 100, "total_tokens": 110})
    source, out = write_batch(*(f"row {n}" for n in range(40)), max_tokens=100), tmp_path / "out.jsonl"
    prices = tmp_path / "prices.toml"
    prices.write_text('currency = "USD"\n[models."gemini-2.5-flash"]\nprompt = 0\ncompletion = 1000\n')

    other = anyfast("batch", "-i", source, "-o", out, "-m", "m-1", "--prices", prices, "--budget-usd", 1)
    ran = anyfast("batch", "-i", source, "-o", out, "--prices", prices, "--budget-usd", 1)

    assert (2, "has no price for m-1") == (other.code, other.err.strip()[-len("has no price for m-1") :])
    assert (3, 10) == (ran.code, len(ids_of(out)))
    assert "spent" in ran.out
    assert "1.00 USD (your file prices.toml)" in ran.out
    assert "the budget of 1 USD (your file prices.toml) has no room: 1.0000 USD spent" in ran.err


@pytest.mark.parametrize(("limit", "failed"), [("2", 3), ("10%", 5), ("0", 1)])
def test_too_many_failures(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path, *, limit: str, failed: int
) -> None:
    """--max-failures stops the run with the first failure that is too much."""
    gateway.fail(400, times=None)
    source, out = write_batch(*(f"row {n}" for n in range(40))), tmp_path / "out.jsonl"

    ran = anyfast("batch", "-i", source, "-o", out, "--concurrency", 1, "--max-failures", limit)

    assert (3, failed) == (ran.code, len(ids_of(tmp_path / "out.errors.jsonl")))
    assert "max_failures" in ran.err


def test_failed_rows_that_are_left(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """--retry-failed none sends none of them again, a kind those that failed with it."""
    source, out = write_batch("good", "bad", "gone"), tmp_path / "out.jsonl"
    gateway.fail(400, when="bad", times=None)
    gateway.fail(404, when="gone")
    command = ("batch", "-i", source, "-o", out, "--retry-failed")
    anyfast(*command, "all")

    none = anyfast(*command, "none")
    assert (1, 3) == (none.code, len(gateway.requests))
    assert {"rows": "3", "answered": "1", "failed": "2", "sent": "now"}.items() <= {
        row.split()[0]: row.split()[1] for row in none.out.splitlines()
    }.items()
    kind = anyfast(*command, "not_found")

    assert (1, 4, ["r2"]) == (kind.code, len(gateway.requests), ids_of(tmp_path / "out.errors.jsonl"))
    assert ["r1", "r3"] == ids_of(out)


def test_other_parameters(gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """Going on with other parameters is refused, naming them; a run of which nothing came may be begun with others."""
    source, out = write_batch("a"), tmp_path / "out.jsonl"
    gateway.fail(503, code="model_not_found")

    wrong = anyfast("batch", "-i", source, "-o", out, "-m", "gemini-2.0-flash")
    right = anyfast("batch", "-i", source, "-o", out, "-m", "gemini-2.5-pro")
    other = anyfast("batch", "-i", source, "-o", out, "-m", "gemini-2.5-flash")

    assert (1, 0, 2) == (wrong.code, right.code, other.code)
    assert 'fields.model was "gemini-2.5-pro", is "gemini-2.5-flash"' in other.err
    assert 2 == len(gateway.requests)


def test_a_second_process(
    slow_gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """Files that another process writes are left alone: exit code 2 with its number."""
    source, out = write_batch("a"), tmp_path / "out.jsonl"
    with open_batch(out, tmp_path / "out.errors.jsonl"):
        ran = anyfast("batch", "-i", source, "-o", out)

    assert (2, []) == (ran.code, slow_gateway.requests)
    assert str(os.getpid()) in ran.err


def test_the_first_rows(anyfast: Callable[..., Any], gateway: Simulator, tmp_path: Path) -> None:
    """--limit sends the first rows; said again it sends none; without it the batch goes on with the others."""
    source, out = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("".join(f"prompt {number}\n" for number in range(1, 11)))

    first = anyfast("batch", "-i", source, "-o", out, "--limit", 3, "--json")
    end = json.loads(first.out.splitlines()[-1])
    assert (0, "limited", 3) == (first.code, end["status"], end["answered"])
    assert {"line-1", "line-2", "line-3"} == {json.loads(line)["custom_id"] for line in out.read_text().splitlines()}
    assert "7 rows left" in first.err
    assert "--limit" not in first.err

    again = anyfast("batch", "-i", source, "-o", out, "--limit", 3)
    assert (0, 3) == (again.code, len(gateway.requests))
    assert "the first 3 rows have their results" in again.err
    assert "nothing to do" not in again.out

    assert 0 == anyfast("batch", "-i", source, "-o", out).code
    assert 10 == len(gateway.requests)
    plan = json.loads(anyfast("batch", "-i", source, "--dry-run", "--json", "--limit", 4).out)
    assert (4, {"gemini-2.5-flash": 4}) == (plan["rows"], plan["models"])
    assert "one of the two" in anyfast("batch", "-i", source, "-o", out, "--limit", 3, "--estimate", 3).err


@pytest.mark.parametrize("code", [404, 405, 501])
def test_a_wrong_base_url_ends_it(anyfast: Callable[..., Any], gateway: Simulator, tmp_path: Path, code: int) -> None:
    """A few equal answers of something that is no chat endpoint end the batch, which goes on when it is mended."""
    source, out = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("".join(f"prompt {number}\n" for number in range(50)))
    gateway.fail(code, times=8, body="<html>nothing here</html>", headers={"Content-Type": "text/html"})
    command = ("batch", "-i", source, "-o", out, "--concurrency", 2)

    ran = anyfast(*command)
    assert (3, True) == (ran.code, len(gateway.requests) < 8)
    assert "no chat endpoint behind this base URL" in ran.err
    gateway.reset()
    assert 0 == anyfast(*command).code

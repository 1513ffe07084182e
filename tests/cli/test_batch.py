"""``anyfast batch``."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

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

    assert (0, 0, "") == (first.code, second.code, first.err)
    assert [f"prompt-{n:03}" for n in range(1, 201)] == ids_of(out)
    for line in map(json.loads, written.splitlines()):
        assert ["custom_id", "id", "response", "error"] == list(line)
        assert ["status_code", "request_id", "body"] == list(line["response"])
        assert (200, None) == (line["response"]["status_code"], line["error"])
        assert ("chat.completion", True) == (line["response"]["body"]["object"], line["id"].startswith("batch_req_"))
    assert "answered                 200\n" in first.out
    assert f"nothing to do: {out} holds an answer to every row (200); nothing was sent\n" == second.out
    assert written == out.read_bytes()
    assert {"out.jsonl"} == {path.name for path in tmp_path.iterdir()}


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
    *problems, last = ran.err.splitlines()
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
    assert f"error: 10 problems in {tmp_path / 'bad.jsonl'}; nothing was sent, nothing written" == last
    assert ["bad.jsonl"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("source", "output", "words"),
    [
        ("nowhere.jsonl", "out.jsonl", "does not exist"),
        ("empty.jsonl", "out.jsonl", "holds no requests"),
        ("-", "out.jsonl", "files only"),
        (".", "out.jsonl", "no regular file"),
        ("in.jsonl", "in.jsonl", "three different files"),
        ("in.jsonl", "./in.jsonl", "three different files"),
        ("in.jsonl", "notes.txt", "notes.txt, line 1, is no result of a batch"),
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
        (503, "model_not_found", "-m"),
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
    """A refused key, an empty account or a wrong model stop the run: no row is failed, the way to go on is shown."""
    source, out = write_batch(*(f"row {n}" for n in range(20))), tmp_path / "out.jsonl"
    gateway.fail(status, code=code, times=None)

    ran = anyfast("batch", "-i", source, "-o", out, "--concurrency", 2)

    assert (3, 2, ["in.jsonl"]) == (ran.code, len(gateway.requests), [path.name for path in tmp_path.iterdir()])
    assert words in ran.err
    assert ran.err.endswith(f"20 rows left; to go on:\n  anyfast batch -i {source} -o {out} --concurrency 2\n")


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

    assert "1 of 2 rows without a model of their own\nmodel: gemini-2.5-flash\n" == ran.err
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


def test_as_json(gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """--json prints one object, with the same keys whether rows failed, all is well, or there was nothing to do."""
    source, out = write_batch("good", "bad"), tmp_path / "out.jsonl"
    gateway.fail(400, when="bad")
    command = ("batch", "-i", source, "-o", out, "--json")

    failed, done, idle = (json.loads(anyfast(*command).out) for _ in range(3))

    names = ("status", "rows", "already_answered", "answered", "failed", "left")
    assert ("complete", 2, 0, 1, 1, 0) == tuple(failed[name] for name in names)
    assert ("complete", 2, 1, 1, 0, 0) == tuple(done[name] for name in names)
    assert ("complete", 2, 2, 0, 0, 0) == tuple(idle[name] for name in names)
    assert set(failed) == set(done) == set(idle)
    assert str(tmp_path / "out.errors.jsonl") == failed["errors"]
    gateway.fail(401, times=None)
    out.unlink()
    stopped = json.loads(anyfast(*command).out)
    assert ("stopped", "auth") == (stopped["status"], stopped["stopped_by"]["kind"])


def test_odd_answers_are_counted(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """Answers without text, and those cut at max_tokens, are answers, and have lines of their own in the summary."""
    gateway.reply("", finish_reason="length", when="think")
    gateway.reply("half", finish_reason="length", when="talk")

    ran = anyfast("batch", "-i", write_batch("think", "talk", "hi"), "-o", tmp_path / "out.jsonl")

    assert (0, 3) == (ran.code, len(ids_of(tmp_path / "out.jsonl")))
    assert "  without text           1 (" in ran.out
    assert "  cut at max_tokens      1\n" in ran.out


def test_answers_to_other_rows(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """An output that holds answers to rows of another input is used all the same, and that is said."""
    out = tmp_path / "out.jsonl"
    anyfast("batch", "-i", write_batch("a", "b", "c"), "-o", out)

    ran = anyfast("batch", "-i", write_batch("a"), "-o", out)

    assert f"note: {out} holds 2 answers to rows that are not in {tmp_path / 'in.jsonl'}\n" == ran.err
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
    assert b"stopping" in await started.process.stderr.readline()
    started.send(signal.SIGINT)
    ran = await started.ended()

    assert (130, ["r1"]) == (ran.code, ids_of(tmp_path / "out.jsonl"))
    assert "perhaps billed now and again when sent again: r2, r3\n" in ran.err


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
    assert "50/50" in ran.out
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

    assert (3, f"error: a file: Input/output error\nto go on:\n  anyfast batch -i {source} -o {out}\n") == (
        ran.code,
        ran.err,
    )

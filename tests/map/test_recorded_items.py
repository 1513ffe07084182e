"""A map with a journal: what is found there, sent for, written down, and asked again."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import errno
import json
import os
import threading
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from anyfast_async import AnyFast, AuthenticationError, ConfigurationError, OutputError, Result, RetryPolicy
from anyfast_async._journal import disk
from anyfast_async._journal.journal import open_journal
from anyfast_async._journal.records import failures_of, log_of
from anyfast_async._map import recorded_items
from anyfast_async._map.map_run import MapRun

if TYPE_CHECKING:
    from conftest import Connect

    from anyfast_async.simulator import Simulator


@pytest.fixture(autouse=True)
async def _nothing_left(no_leaks: None) -> None:
    """No task and no descriptor outlives its test."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def lines_in(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def texts_in(path: Path) -> list[str]:
    return [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines_in(path)]


def ids_in(path: Path) -> set[str]:
    return {line["custom_id"] for line in lines_in(path)}


def put(path: Path, text: str) -> None:
    log_of(path).unlink(missing_ok=True)
    path.write_text(text)


async def run_of(client: AnyFast, source: Any, path: Path, **options: Any) -> list[Result[Any]]:
    results: list[Result[Any]] = await client.map(source, journal=path, **options)
    return results


async def test_recorded_results_are_given_again(sim: Simulator, client: AnyFast, path: Path) -> None:
    """A second run sends nothing and gives the same answers, marked as recorded; the file has each line once."""
    prompts = [f"prompt {i}" for i in range(20)]
    first = await run_of(client, prompts, path)

    second = await run_of(client, iter(prompts), path)

    assert (20, {False}, {True}) == (len(sim.requests), {r.recorded for r in first}, {r.recorded for r in second})
    assert [(r.item, r.unwrap()) for r in first] == [(r.item, r.unwrap()) for r in second]
    assert sorted(texts_in(path)) == sorted(r.text for r in first)
    assert {path, log_of(path)} == set(path.parent.iterdir())


async def test_a_run_goes_on_where_it_was_left(sim: Simulator, client: AnyFast, path: Path) -> None:
    """Left in the middle, nothing that was given out is sent again, and what was at work may be billed twice."""
    prompts = [f"prompt {i}" for i in range(100)]
    seen: list[str] = []
    endless: MapRun[Any] = client.map(prompts, journal=str(path), concurrency=4)
    async with endless as results:
        async for result in results:
            seen.append(result.item)
            if len(seen) == 30:
                break
    sent = len(sim.requests)

    second = await run_of(client, prompts, path)

    recorded = {r.item for r in second if r.recorded}
    assert set(seen) <= recorded
    assert sent - len(recorded) <= 4
    assert len(sim.requests) - sent == 100 - len(recorded)
    assert 100 == len(texts_in(path))


async def test_equal_prompts_are_told_apart_by_their_number(sim: Simulator, client: AnyFast, path: Path) -> None:
    """The same prompt five times is five answers; a longer source sends for the new ones only."""
    await run_of(client, ["same"] * 5, path)
    assert 5 == len(ids_in(path))

    again = await run_of(client, ["same"] * 7, path)

    assert ([True] * 5 + [False] * 2, 7) == (sorted((r.recorded for r in again), reverse=True), len(sim.requests))


async def test_items_are_known_by_their_id(sim: Simulator, client: AnyFast, path: Path) -> None:
    """In any order, and with others between them, an item's answer is found by its id."""
    rows = [{"id": f"row-{i}", "q": f"What is {i}?"} for i in range(10)]
    first = {r.id: r.text for r in await run_of(client, rows, path, request=lambda row: row["q"])}

    mixed = [*reversed(rows), {"id": "new", "q": "New?"}]
    second = await run_of(client, mixed, path, request=lambda row: row["q"])

    assert (first, 11) == ({r.id: r.text for r in second if r.recorded}, len(sim.requests))
    assert set(first) | {"new"} == ids_in(path)


async def test_an_id_whose_request_has_changed(sim: Simulator, client: AnyFast, path: Path) -> None:
    """Its old answer is not taken for one to the new request: the item fails with the way out, nothing is sent."""
    rows = [{"id": "a", "q": "One?"}, {"id": "b", "q": "Two?"}]
    await run_of(client, rows, path, request=lambda row: row["q"])
    rows[1]["q"] = "Three?"

    results = await run_of(client, rows, path, request=lambda row: row["q"])

    assert (True, False) == (results[0].recorded, results[1].ok)
    assert "'b' was recorded for another request; take another id or another journal" in str(results[1].error)
    warmer = await run_of(client, rows[:1], path, request=lambda row: row["q"], temperature=1)
    assert ("validation", 2) == (warmer[0].error and warmer[0].error.kind, len(sim.requests))


async def test_how_a_request_is_sent_does_not_change_it(sim: Simulator, client: AnyFast, path: Path) -> None:
    """via_stream is no other request: what was recorded without it is given."""
    await run_of(client, ["a", "b"], path)

    results = await run_of(client, ["a", "b", "c"], path, via_stream=True)

    assert ([True, True, False], [True] * 3) == ([r.recorded for r in results], [r.ok for r in results])
    assert 3 == len(sim.requests)


async def test_an_id_that_comes_twice(sim: Simulator, client: AnyFast, path: Path) -> None:
    """The second one fails alone: its answer could not be told from the first one's."""
    results = await run_of(client, [{"id": i} for i in (1, "1", 1)], path, request=lambda _: "x", concurrency=1)

    assert ([True, True, False], 2) == ([r.ok for r in results], len(sim.requests))
    assert "id: 1 came before in this map" in str(results[2].error)


async def test_ids_are_told_apart_by_their_type(sim: Simulator, client: AnyFast, path: Path) -> None:
    """7 and "7", a number and a UUID: each has its own answer, which a rerun finds, and keeps its type."""
    ids = [7, "7", 7.0, "int:7", uuid.UUID(int=7), decimal.Decimal(7), dt.date(2026, 1, 7), (7, "7"), b"7"]
    items = [{"sku": each, "text": f"number {n}"} for n, each in enumerate(ids)]
    for recorded in (False, True):
        results = await run_of(client, items, path, request=lambda row: row["text"], id="sku")

        assert [(type(each), each) for each in ids] == [(type(r.id), r.row()["id"]) for r in results]
        assert [recorded] * 9 == [r.recorded for r in results]
        assert all(f"number {n}" in r.text for n, r in enumerate(results))
    assert 9 == len(sim.requests) == len({line["custom_id"] for line in lines_in(path)})


async def test_an_id_that_cannot_be_recorded(sim: Simulator, client: AnyFast, path: Path) -> None:
    """It is that item's failure, before anything is sent."""
    results = await run_of(client, [1, 2], path, request=str, id=lambda item: frozenset({item}))

    assert ["validation"] * 2 == [r.error and r.error.kind for r in results]
    assert [] == sim.requests


async def test_which_failures_are_sent_again(sim: Simulator, connect: Connect, path: Path) -> None:
    """Those that may succeed are; others are given again with their error, and not sent."""
    client = connect(sim.base_url, retry=RetryPolicy(attempts=1))
    sim.fail(400, when="bad", times=1, message="I will not")
    sim.fail(500, when="broken", times=1)
    prompts = ["good", "bad", "broken"]
    assert [None, "bad_request", "server"] == [r.error and r.error.kind for r in await run_of(client, prompts, path)]
    assert 2 == len(lines_in(failures_of(path)))

    results = await run_of(client, prompts, path)

    assert [True, True, False] == [r.recorded for r in results]
    assert [True, False, True] == [r.ok for r in results]
    assert "I will not" in str(results[1].error)
    assert (4, 1) == (len(sim.requests), len(lines_in(failures_of(path))))


async def test_what_is_no_items_fault_is_not_recorded(sim: Simulator, client: AnyFast, path: Path) -> None:
    """A refused key ends the run; with a good one every item is sent, and none may be billed twice."""
    sim.fail(401, times=2)
    with pytest.raises(AuthenticationError):
        refused: MapRun[Any] = client.map([str(i) for i in range(20)], journal=path, concurrency=2)
        async with refused as results:
            async for _ in results:
                pass

    again = await run_of(client, [str(i) for i in range(20)], path)

    assert [(True, False)] * 20 == [(r.ok, r.recorded) for r in again]
    assert ([], False) == (lines_in(failures_of(path)), "maybe_billed" in log_of(path).read_text())


async def test_what_ends_a_run_now_is_tried_again(sim: Simulator, client: AnyFast, path: Path) -> None:
    """An item that failed with an error which is to end this run is sent: its old failure does not end it."""
    sim.fail(400, when="bad", times=1)
    assert [False, True] == [r.ok for r in await run_of(client, ["bad", "good"], path)]

    again = await run_of(client, ["bad", "good"], path, stop_on=("bad_request",))

    assert [(True, False), (True, True)] == [(r.ok, r.recorded) for r in again]


@attrs.frozen
class City:
    name: str


async def test_recorded_answers_are_parsed(sim: Simulator, client: AnyFast, path: Path) -> None:
    """With into= the value is there again; an answer that did not fit is not paid for twice."""
    sim.reply('{"name": "Paris"}', when="France")
    sim.reply("I do not know", when="Atlantis")
    prompts = ["France", "Atlantis"]
    for recorded in (False, True):
        results = await run_of(client, prompts, path, into=City)

        assert (City("Paris"), recorded) == (results[0].value, results[0].recorded)
        assert (OutputError, "I do not know", recorded) == (
            type(results[1].error),
            results[1].text,
            results[1].recorded,
        )
    assert 2 == len(sim.requests)


async def test_bad_items_are_no_matter_for_the_journal(sim: Simulator, client: AnyFast, path: Path) -> None:
    """An item that is no request fails, is not recorded, and may be mended for the next run."""
    results = await run_of(client, ["good", ""], path)
    assert [True, False] == [r.ok for r in results]

    again = await run_of(client, ["good", "better"], path)

    assert [True, False] == [r.recorded for r in again]
    assert 2 == len(sim.requests)


async def test_async_sources_have_a_journal_too(sim: Simulator, client: AnyFast, path: Path) -> None:
    """Items of an async iterable are found again, in order where that is wanted."""

    async def pages() -> AsyncIterator[str]:
        for number in range(12):
            await asyncio.sleep(0)
            yield f"page {number}"

    for recorded in (False, True):
        ordered: MapRun[Any] = client.map(pages(), journal=path, ordered=True, concurrency=3)
        async with ordered as results:
            found = [(r.index, r.recorded) async for r in results]
        assert [(i, recorded) for i in range(12)] == found

    assert 12 == len(sim.requests)


async def test_two_maps_on_one_journal(client: AnyFast, path: Path) -> None:
    """The second is refused before it takes an item; a file that is none is refused too."""
    source = iter(["a"])
    first: MapRun[Any] = client.map(["x"], journal=path)
    async with first:
        with pytest.raises(ConfigurationError, match=f"process {os.getpid()} on .* writes this output now"):
            await run_of(client, source, path)
    put(path, "dear diary\n")
    with pytest.raises(ConfigurationError, match="not touched"):
        await run_of(client, source, path)

    assert "a" == next(source)


async def test_a_full_disk_ends_a_map(
    sim: Simulator, client: AnyFast, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No result is given out that is not recorded; the error says how many were lost; a next run sends those alone."""
    write, room = os.write, 10
    prompts = [f"prompt {i}" for i in range(50)]

    def full(file: int, data: bytes) -> int:
        nonlocal room
        if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
            room -= 1
            if room < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data)

    given: list[str] = []
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left on device") as caught:
        patch.setattr(os, "write", full)
        stopped: MapRun[Any] = client.map(prompts, journal=path, concurrency=4)
        async with stopped as results:
            async for result in results:
                given.append(result.text)  # noqa: PERF401 - it raises
    sent = len(sim.requests)
    assert sorted(given) == sorted(texts_in(path))
    assert [f"{sent - 10} results could not be saved; run again, they are sent again"] == caught.value.__notes__

    again = await run_of(client, prompts, path)

    assert (10, 50) == (sum(r.recorded for r in again), len(texts_in(path)))


async def test_a_disk_that_has_room_again(
    sim: Simulator, client: AnyFast, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that could not be written are written at the end, if they can be by then, and are not sent again."""
    write, lines = os.write, 0

    def full_for_a_while(file: int, data: bytes) -> int:
        nonlocal lines
        if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
            lines += 1
            if 10 < lines <= 12:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data)

    prompts = [f"prompt {i}" for i in range(50)]
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left on device") as caught:
        patch.setattr(os, "write", full_for_a_while)
        await run_of(client, prompts, path, concurrency=4)

    assert (len(sim.requests), False) == (len(lines_in(path)), hasattr(caught.value, "__notes__"))
    kept: list[Result[Any]] = vars(caught.value)["results"]
    assert (len(sim.requests), {True}) == (len(kept), {r.ok for r in kept})


@pytest.mark.parametrize("good", [True, False])
async def test_cancelled_while_the_journal_is_opened(
    client: AnyFast, path: Path, monkeypatch: pytest.MonkeyPatch, *, good: bool
) -> None:
    """The lock is not left behind by a map that was cancelled before it began."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        begun.set()
        assert go_on.wait(5)
        if not good:
            raise OSError
        return open_journal(*args, **kwargs)

    monkeypatch.setattr(recorded_items, "open_journal", slow)
    task = asyncio.create_task(run_of(client, ["a"], path))
    await asyncio.to_thread(begun.wait, 5)

    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait([task])

    assert task.cancelled()
    monkeypatch.undo()
    assert 1 == len(await run_of(client, ["a"], path))


async def test_a_disk_that_loses_lines_ends_a_map(client: AnyFast, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When lines cannot be brought to the disk the map ends with that error, and says how many are in doubt."""

    def broken(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(disk, "sync_file", broken)
    monkeypatch.setattr(disk, "EVERY_SECONDS", 0.001)

    with pytest.raises(OSError, match="Input/output error") as caught:
        await run_of(client, (f"prompt {i}" for i in range(10_000)), path)

    (note,) = caught.value.__notes__
    assert f"{len(lines_in(path))} results could not be saved" in note


async def test_lines_that_hold_no_completion(sim: Simulator, client: AnyFast, path: Path) -> None:
    """A line of another program without an answer in it is an error of its item, and is not sent again."""
    put(path, '{"id": "x", "custom_id": "a", "response": {"status_code": 200, "body": {}}, "error": null}\n')

    (result,) = await run_of(client, [{"id": "a"}], path, request=lambda _: "x")

    assert ("response_shape", True, []) == (result.error and result.error.kind, result.recorded, sim.requests)


# -- asked again -----------------------------------------------------------------------------------------------------


async def fill(sim: Simulator, client: AnyFast, path: Path) -> list[dict[str, Any]]:
    """Record a whole answer, a cut, an empty and a filtered one, and two failures; return the rows."""
    sim.reply("half", when="cut", finish_reason="length", times=1)
    sim.reply("", when="empty", times=1)
    sim.reply("so", when="filtered", finish_reason="content_filter", times=1)
    sim.fail(400, when="bad", times=1)
    sim.fail(500, when="broken", times=1)
    rows = [{"id": n, "text": text} for n, text in enumerate(["whole", "cut", "empty", "filtered", "bad", "broken"])]
    found = await run_of(client, rows, path, request=text_of)
    assert ["ok", "cut", "empty", "filtered", "failed", "failed"] == [r.outcome for r in found]
    return rows


def text_of(row: dict[str, Any]) -> str:
    return str(row["text"])


def asked(sim: Simulator, before: int = 6) -> set[str]:
    return {request.body["messages"][0]["content"] for request in sim.requests[before:]}


@pytest.fixture
def once(sim: Simulator, connect: Connect) -> AnyFast:
    return connect(sim.base_url, retry=RetryPolicy(attempts=1))


@pytest.mark.parametrize(
    ("retry", "wanted"),
    [
        (None, {"broken"}),
        ("none", set[str]()),
        ("all", {"bad", "broken"}),
        ("bad_request", {"bad"}),
        ("empty", {"empty"}),
        (["cut", "filtered"], {"cut", "filtered"}),
        ("length,server", {"cut", "broken"}),
    ],
)
async def test_what_is_asked_again(sim: Simulator, once: AnyFast, path: Path, retry: Any, wanted: set[str]) -> None:
    """Those that the words name and no other; a new answer takes the place of the old one, which stays in the log."""
    rows = await fill(sim, once, path)

    again = await run_of(once, rows, path, request=text_of, retry=retry)

    assert wanted == asked(sim) == {r.item["text"] for r in again if not r.recorded}
    assert [r.item["text"] in wanted for r in again] == [r.outcome == "ok" and not r.recorded for r in again]
    third = await run_of(once, rows, path, request=text_of, retry="none")
    assert [(True, r.text, r.outcome) for r in again] == [(r.recorded, r.text, r.outcome) for r in third]
    assert len(lines_in(path)) + len(lines_in(failures_of(path))) == 6
    assert log_of(path).read_text().count('{"replaced":') == len(wanted & {"cut", "empty", "filtered"})


async def test_an_answer_is_kept_when_asking_again_fails(sim: Simulator, once: AnyFast, path: Path) -> None:
    """The cut answer is given again, with the attempt that was made for it; the file keeps it."""
    rows = await fill(sim, once, path)
    sim.fail(500, when="cut", times=1)

    again = await run_of(once, rows, path, request=text_of, retry="cut")

    assert ("half", True, ["server"]) == (again[1].text, again[1].recorded, [a.outcome for a in again[1].attempts])
    assert (4, 2) == (len(lines_in(path)), len(lines_in(failures_of(path))))
    (third,) = await run_of(once, [rows[1]], path, request=text_of)
    assert ("half", True) == (third.text, third.recorded)


async def test_asked_again_with_other_options(sim: Simulator, once: AnyFast, path: Path) -> None:
    """A larger ``max_tokens`` for what was cut: the rest is given again, if the caller says that he means it."""
    rows = await fill(sim, once, path)
    refused = await run_of(once, rows, path, request=text_of, retry="cut", max_tokens=900)
    assert "changed=True" in str(refused[0].error)
    before = len(sim.requests)
    assert asked(sim) <= {"cut", "bad", "broken"}

    again = await run_of(once, rows, path, request=text_of, retry="cut,empty", max_tokens=900, changed=True)

    assert {900} == {request.body["max_tokens"] for request in sim.requests[before:]}
    assert {"empty"} <= asked(sim, before) <= {"cut", "empty"}
    assert {"ok"} == {r.outcome for r in again[:3]}


async def test_answers_that_did_not_parse_are_asked_again(sim: Simulator, client: AnyFast, path: Path) -> None:
    """By the kind of their error, ``output``."""
    sim.reply("I do not know", when="Atlantis", times=1)
    (first,) = await run_of(client, ["Atlantis"], path, into=City)
    assert isinstance(first.error, OutputError)
    sim.reply('{"name": "Atlantis"}', when="Atlantis")

    (again,) = await run_of(client, ["Atlantis"], path, into=City, retry="output")

    assert (City("Atlantis"), False) == (again.value, again.recorded)


async def test_words_of_retry_are_checked(client: AnyFast, path: Path) -> None:
    """Unknown ones are refused at once, and so is asking again what nobody recorded."""
    with pytest.raises(ConfigurationError, match="retry must be 'all'"):
        await run_of(client, ["x"], path, retry="every")
    for options in ({"retry": "all"}, {"changed": True}):
        with pytest.raises(ConfigurationError, match=r"give journal= too"):
            await client.map(["x"], **options)

"""Errors in every shape, and streams that are ended from here: who said it, in which words, and what it may have cost.

``data/cases/error_shapes.json`` and ``ledger.json`` hold what a server does and what has to come of it.
"""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from anyfast_async import AnyFast, AnyFastError, RetryPolicy, Timeouts

if TYPE_CHECKING:
    from conftest import Connect, RawRequest, RawServers

CASES: Final = Path(__file__).parent / "data" / "cases"


def rows(name: str) -> list[Any]:
    """The rows of a table, each with every entrance that it names."""
    found = json.loads((CASES / name).read_text(encoding="utf-8"))
    return [pytest.param(row, how, id=f"{row['name']}-{how}") for row in found for how in row["through"]]


def event(raw: RawServers, given: Any) -> bytes:
    if set(given) <= {"d", "f"}:
        return raw.event(finish=given.get("f"), **given.get("d", {}))
    return b"data: " + json.dumps(given).encode() + b"\n\n"


def answer(raw: RawServers, given: dict[str, Any]) -> list[Any]:
    """What a server plays for a row."""
    if "events" in given:
        events = [event(raw, one) for one in given["events"]] + ([raw.DONE] if given.get("done", True) else [])
        data = raw.stream_head() + b"".join(map(raw.chunk, events))
        return [data, "fin"] if given.get("framing") == "cut" else [data + raw.LAST]
    body = given["text"].encode() if "text" in given else json.dumps(given["json"]).encode()
    headers = {"content_type": given.get("ctype", "application/json")}
    for line in given.get("head", ()):
        name, _, value = line.partition(": ")
        headers[name.lower().replace("-", "_")] = value
    return [raw.answer(body, given.get("status", 200), **headers)]


async def call(client: AnyFast, how: str) -> None:
    if how == "stream":
        async with client.stream("q") as stream:
            async for _ in stream:
                pass
    else:
        await client.complete("q", via_stream=how == "via_stream")


def as_expected(error: AnyFastError, expect: dict[str, Any], requests: int) -> None:
    """Hold *error* against a row."""
    text, classes = str(error), {kind.__name__ for kind in type(error).__mro__}
    wanted = expect.get("outcome", "error")
    assert wanted == "error" or classes.intersection(wanted)
    assert [] == [word for word in expect.get("message_has", ()) if word not in text]
    assert [] == [word for word in expect.get("message_lacks", ()) if word in text]
    assert not (some := expect.get("message_has_any")) or any(word in text for word in some)
    assert expect.get("code") in (None, getattr(error, "code", None))
    assert not (billed := expect.get("billed")) or error.billed in billed
    assert not (spoken := expect.get("spoken_in")) or error.spoken_by in spoken
    assert not expect.get("ledger_lacks_no") or "no" not in {attempt.billed for attempt in error.attempts}
    assert requests <= expect.get("requests_max", requests)
    if "partial" in expect:
        assert error.partial is not None
        assert expect["partial"] == error.partial.text
    if "any_of" in expect:
        ledger = [[a.outcome, a.status_code, a.billed] for a in error.attempts]
        assert ledger in [one["attempts"] for one in expect["any_of"]]


@pytest.mark.parametrize(("row", "how"), rows("error_shapes.json"))
async def test_error(raw_server: RawServers, connect: Connect, row: dict[str, Any], how: str) -> None:
    """An error that no one has shaped alike keeps its words, its code and its author, through every entrance."""
    server = await raw_server(answer(raw_server, row["input"]))
    settings = dict(row.get("call", {}))
    policy = dict(settings.pop("retry", {"attempts": 1}))
    client = connect(
        settings.pop("base_url", server.base_url),
        retry=RetryPolicy(**{**policy, "backoff": tuple(policy.get("backoff", (0, 0)))}),
        **{name: value.replace("PORT", str(server.port)) for name, value in settings.items()},
    )

    with pytest.raises(AnyFastError) as caught:
        await call(client, how)

    as_expected(caught.value, row["expect"], len(server.requests))


@pytest.mark.parametrize(("row", "how"), rows("ledger.json"))
async def test_ledger(raw_server: RawServers, connect: Connect, row: dict[str, Any], how: str) -> None:
    """A stream that is ended by its total, by closing the client or by a cut: attempt and error say the same."""
    given = row["input"]

    async def goes_on(_: RawRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(raw_server.stream_head())
        for number in range(200):
            writer.write(raw_server.chunk(raw_server.event(**{given.get("field", "content"): f"{number} "})))
            await writer.drain()
            await asyncio.sleep(given["pace"])

    server = await raw_server([goes_on] if "recipe" in given else answer(raw_server, given))
    total = given["total"] if given.get("by") == "total" else None
    client = connect(server.base_url, retry=RetryPolicy(attempts=1), timeouts=Timeouts(total=total))
    closing = asyncio.create_task(close_after(client, given["total"])) if given.get("by") == "aclose" else None

    with pytest.raises(AnyFastError) as caught:
        await call(client, how)

    if closing is not None:
        await closing
    as_expected(caught.value, row["expect"], len(server.requests))
    assert "still queued" not in str(caught.value)
    assert caught.value.billed == caught.value.attempts[-1].billed
    assert 200 == caught.value.attempts[-1].status_code


async def close_after(client: AnyFast, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await client.aclose()


@pytest.mark.parametrize("how", ["complete", "stream", "via_stream"])
async def test_what_never_left_is_not_billed(connect: Connect, how: str) -> None:
    """A call that cannot connect says "no"; what was not sent is no request either."""
    with socket.socket() as taken:  # nobody listens there
        taken.bind(("127.0.0.1", 0))
        client = connect(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", retry=RetryPolicy(attempts=2, backoff=(0, 0)))
        with pytest.raises(AnyFastError) as caught:
            await call(client, how)

    assert ("no", ["no", "no"]) == (caught.value.billed, [attempt.billed for attempt in caught.value.attempts])
    assert 0 == client.stats().requests


@pytest.mark.parametrize("how", ["complete", "stream", "via_stream"])
async def test_the_call_is_billed_as_its_worst_attempt(raw_server: RawServers, connect: Connect, how: str) -> None:
    """A refusal after an answer that got lost does not make the first one free; requests are those that went out."""
    refused = raw_server.answer({"error": {"message": "no"}}, 400)
    server = await raw_server([raw_server.answer(b"", 504)], [refused])
    client = connect(server.base_url)

    with pytest.raises(AnyFastError) as caught:
        await call(client, how)

    assert ("maybe", ["maybe", "no"]) == (caught.value.billed, [attempt.billed for attempt in caught.value.attempts])
    assert 2 == client.stats().requests

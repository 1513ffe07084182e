"""Heads of every kind over a connection: what is read, what is refused, and that nothing is paid for twice.

``data/cases/heads.json`` holds what a server writes and what has to come of it.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from anyfast_async import AnyFastError, ConfigurationError, RetryPolicy, Timeouts

if TYPE_CHECKING:
    from conftest import Connect, RawServers

TABLE: Final[list[Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "cases" / "heads.json").read_text(encoding="utf-8")
)
FLOODS: Final = [row for row in TABLE if row["input"].get("recipe") == "flood"]
SPLITS: Final = [row for row in TABLE if row["input"].get("recipe") == "same_verdict"]
PLAIN: Final = [row for row in TABLE if "recipe" not in row["input"]]
FRAMINGS: Final = {
    "length": "Content-Length: LEN",
    "cut": "Content-Length: MORE",
    "chunked": "Transfer-Encoding: chunked",
    "close": "Connection: close",
}


def lines_of(given: Any) -> list[str]:
    """A line, a long one ``[begin, unit, times]``, or many ``["many", "X-#: ", n, unit, times]``."""
    match given:
        case str():
            return [given]
        case ["many", begin, count, unit, times]:
            return [begin.replace("#", str(number)) + unit * times for number in range(count)]
        case [begin, unit, times]:
            return [begin + unit * times]
    raise ValueError(given)


def written(raw: RawServers, given: dict[str, Any]) -> bytes:
    """What the server of a row writes."""
    kind = "application/json"
    if "events" in given:
        kind = "text/event-stream"
        body: bytes = raw.event("ok") + raw.event(finish="stop") + raw.DONE
    else:
        body = given["text"].encode() if "text" in given else json.dumps(raw.completion_body("own")).encode()
    for _ in given.get("pack", ()):
        body = gzip.compress(body, mtime=0)
    framing = given.get("framing", "chunked" if "events" in given else "length")
    lines = [given.get("status_line", "HTTP/1.1 200 OK"), f"Content-Type: {kind}"]
    lines += [line for one in given.get("head", ()) for line in lines_of(one)]
    lines += [FRAMINGS[framing]] if framing in FRAMINGS else []
    head = (
        given.get("before", "") + "\r\n".join(lines).replace("LEN", str(len(body))) + given.get("head_end", "\r\n\r\n")
    )
    data: bytes = head.encode()
    if framing == "silence":
        return data
    if framing in ("chunked", "own-chunked"):
        extension = given.get("extension", "") * given.get("extension_times", 1)
        body = b"%x%b\r\n%b\r\n0\r\n\r\n" % (len(body), extension.encode(), body)
    return data + body


async def outcome_of(connect: Connect, base_url: str, how: str, row: dict[str, Any]) -> Any:
    """The text of the answer, or the error."""
    policy = row.get("call", {}).get("retry", {"attempts": 1})
    client = connect(
        base_url, retry=RetryPolicy(attempts=policy["attempts"], backoff=(0, 0)), timeouts=Timeouts(total=20)
    )
    try:
        return (await (client.stream("q").drain() if how == "stream" else client.complete("q"))).text
    except AnyFastError as error:
        return error


def fits(seen: Any, expect: dict[str, Any], requests: int) -> bool:
    """Whether what was seen is what is expected, or one of it."""
    if "any_of" in expect:
        return any(fits(seen, one, requests) for one in expect["any_of"])
    if requests > expect.get("requests_max", requests):
        return False
    if expect.get("outcome", "ok") == "ok":
        return bool(seen == expect.get("text", seen)) and isinstance(seen, str)
    return (
        isinstance(seen, AnyFastError)
        and seen.billed in expect.get("billed", (seen.billed,))
        and seen.retryable == expect.get("retryable", seen.retryable)
        and all(word in str(seen) for word in expect.get("message_has", ()))
        and not any(word in str(seen) for word in expect.get("message_lacks", ()))
    )


@pytest.mark.parametrize("row", PLAIN, ids=[row["name"] for row in PLAIN])
async def test_head(raw_server: RawServers, connect: Connect, row: dict[str, Any]) -> None:
    """A head that is odd is read, or refused in words, and not bought again."""
    given, (how,) = row["input"], row["through"]
    end = "hang" if given.get("framing") == "silence" else "fin" if given.get("close") else ("sleep", 0)
    server = await raw_server([written(raw_server, given), end])

    seen = await outcome_of(connect, server.base_url, how, row)

    assert fits(seen, row["expect"], len(server.requests)), repr(seen)


@pytest.mark.parametrize("row", SPLITS, ids=[row["name"] for row in SPLITS])
async def test_cuts(raw_server: RawServers, connect: Connect, row: dict[str, Any]) -> None:
    """The same bytes have the same outcome, however TCP cuts them."""
    data = written(raw_server, row["input"])
    outcomes = set()
    for size in row["input"]["cuts"]:
        server = await raw_server([("drip", data, size or len(data)), "fin"])
        outcomes.add(str(await outcome_of(connect, server.base_url, "complete", row)))

    assert len(outcomes) == 1
    assert not row["expect"].get("all_ok") or outcomes == {"own"}


@pytest.mark.parametrize("row", FLOODS, ids=[row["name"] for row in FLOODS])
async def test_flood(raw_server: RawServers, connect: Connect, row: dict[str, Any]) -> None:
    """Provisional heads and line ends without end are refused after a few, and little of them is kept."""
    given = row["input"]
    unit = given["unit"].encode()
    piece = unit * max(1, given.get("per_write", 65536) // len(unit))
    server = await raw_server([("flood", piece, 4 * 2**20 // len(piece)), raw_server.completion("own")])
    tracemalloc.start()
    try:
        seen = await outcome_of(connect, server.base_url, "complete", row)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert isinstance(seen, AnyFastError)
    assert "provisional answers" in str(seen) or "a head of more than" in str(seen)
    assert peak < 2 * 2**20  # the server's share included


async def test_answer_before_the_first_request_is_none(connect: Connect, raw_server: RawServers) -> None:
    """A server that sends an answer when it is connected to, and another one to the request: the first is nobody's."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw_server.completion("not asked for"))
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(raw_server.completion("own"))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = connect(
        f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", retry=RetryPolicy(attempts=2, backoff=(0, 0))
    )
    try:
        for _ in range(4):
            with pytest.raises(AnyFastError, match="answered before the request was sent") as caught:
                await client.complete("q")
            assert ("no", ["no", "no"]) == (caught.value.billed, [attempt.billed for attempt in caught.value.attempts])
    finally:
        server.close()


@pytest.mark.parametrize("status", [400, 408, 503, 504])
async def test_refusal_of_a_large_request_is_heard(connect: Connect, raw_server: RawServers, status: int) -> None:
    """A server that refuses in the middle of an upload: its words, and nothing that may have been billed."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw_server.answer({"error": {"message": "too much"}}, status))
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0, limit=2**16)
    client = connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", retry=RetryPolicy(attempts=1))
    try:
        with pytest.raises(AnyFastError, match="too much") as caught:
            await client.complete("x" * 12 * 2**20)
    finally:
        server.close()
    assert (status, "no", ["no"]) == (
        getattr(caught.value, "status_code", None),
        caught.value.billed,
        [attempt.billed for attempt in caught.value.attempts],
    )


async def test_limit_of_heads_is_a_setting(connect: Connect, raw_server: RawServers) -> None:
    """``max_head`` allows larger heads, or smaller ones alone; clients made of this one have it too."""
    server = await raw_server([raw_server.answer(raw_server.completion_body("own"), x_long="x" * 200_000)])
    for limit, fits_in in ((2**18, True), (2**14, False)):
        client = connect(server.base_url, retry=RetryPolicy(attempts=1), max_head=limit)
        for one in (client, client.with_options(model="other")):
            if fits_in:
                assert (await one.complete("q")).text == "own"
            else:
                with pytest.raises(AnyFastError, match=f"a head of more than {limit} bytes"):
                    await one.complete("q")


@pytest.mark.parametrize("value", [0, 1023, 2**24 + 1, 2048.0, True, "2048", None])
def test_limit_of_heads_is_checked(connect: Connect, value: Any) -> None:
    """The error names the setting and what is allowed."""
    with pytest.raises(ConfigurationError, match="max_head must be an integer from 1024 to 16777216, not"):
        connect("http://127.0.0.1:9", max_head=value)

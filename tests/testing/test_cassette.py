"""Cassettes: recorded in front of a gateway, played by the simulator, equal byte for byte."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anyfast_async import (
    AnyFast,
    ClientStateError,
    ConfigurationError,
    IncompleteStreamError,
    InternalServerError,
    RetryPolicy,
)
from anyfast_async.openai import AsyncOpenAI
from anyfast_async.simulator import Latency, Simulator
from anyfast_async.testing import Cassette

KEY = "sk-live-0123456789-abcdefghij/+"
MODEL = "gemini-2.5-flash"
ONCE = RetryPolicy(attempts=1)


def ask(prompt: str, **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **fields}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "tape.toml"


def written(path: Path) -> str:
    return path.read_text(encoding="utf-8")


BODIES = {
    "whole": ask("Hi"),
    "streamed": ask("Hi", stream=True),
    "unicode": ask("Grüezi ☕ '''\\ \"quoted\"\r\n", stream=True),
    "tools": ask("weather", stream=True, tools=[{"type": "function", "function": {"name": "weather"}}]),
    "unknown model": {**ask("Hi"), "model": "gpt-0"},
    "no JSON": "just text",
    "models": None,
}


async def test_played_byte_by_byte(path: Path, raw: Callable[..., Any]) -> None:
    """What is played has the status, the headers that count, the bytes and the chunks of what was recorded."""
    async with Simulator(latency=Latency(ttft=0.01, per_token=0.001)) as sim:
        sim.fail(429, retry_after=7, when="Hi", times=1)
        sim.quirk("crlf", when="Grüezi")
        async with Cassette(path, record=True, upstream=sim.base_url) as cassette:
            recorded = [
                await raw(cassette.base_url, body, key=KEY, path="/models" if body is None else "/chat/completions")
                for body in (*BODIES.values(), BODIES["whole"])
            ]
    assert [429, 200, 200, 200, 503, 400, 200, 200] == [one.status for one in recorded]
    assert "7" == recorded[0].headers["Retry-After"]
    for timing in (False, True):
        async with Cassette(path, timing=timing) as cassette:
            played = [
                await raw(cassette.base_url, body, key="sk", path="/models" if body is None else "/chat/completions")
                for body in (*BODIES.values(), BODIES["whole"])
            ]
        for before, after in zip(recorded, played, strict=True):
            assert (before.status, before.chunks) == (after.status, after.chunks)
            assert after.headers.items() <= before.headers.items()
    assert "0123456789" not in written(path)


async def test_through_client_and_door(path: Path) -> None:
    """The client and the door get the same from the cassette as from the gateway: text, tokens, thoughts, models."""

    async def used(url: str, key: str) -> list[Any]:
        async with AnyFast(key, base_url=url, model=MODEL) as client:
            whole = await client.complete("Hello", reasoning_effort="low")
            async with client.stream("Hello") as stream:
                tokens = [token async for token in stream]
            models = [model.id for model in await client.models()]
        async with AsyncOpenAI(api_key=key, base_url=url) as door:
            answer = await door.chat.completions.create(**ask("Door"))
            events = await door.chat.completions.create(**ask("Door"), stream=True)
            return [whole, tokens, models, answer.model_dump(), [event.model_dump() async for event in events]]

    async with Simulator() as sim, Cassette(path, record=True, upstream=sim.base_url) as cassette:
        recorded = await used(cassette.base_url, KEY)
    async with Cassette(path) as cassette:
        assert recorded == await used(cassette.base_url, "another-key")
        assert (MODEL,) == cassette.models
        assert 5 == len(cassette.requests)


async def test_a_request_that_is_not_on_it(path: Path) -> None:
    """It is refused with the nearest one and the differences, and so does the block end."""
    async with Simulator() as sim, Cassette(path, record=True, upstream=sim.base_url) as cassette:
        client = AnyFast(KEY, base_url=cassette.base_url, model=MODEL)
        await client.complete("Something else altogether", temperature=0)
        await client.complete("The capital of France?", max_tokens=20)
        await client.aclose()

    with pytest.raises(AssertionError) as caught:
        async with Cassette(path) as cassette, AnyFast("k", base_url=cassette.base_url, model=MODEL) as client:
            with pytest.raises(InternalServerError) as refused:
                await client.complete("The capital of Spain?", max_tokens=21)
    told = str(caught.value)
    assert "POST /v1/chat/completions is not on the cassette; the nearest of 2 is number 2" in told
    assert 'messages[0].content: recorded ..." capital of France?", sent ..." capital of Spain?"' in told
    assert "max_tokens: recorded 20, sent 21" in told
    assert refused.value.status_code == 501
    assert "number 2" in refused.value.message
    assert 1 == len(refused.value.attempts)


async def test_equal_requests(path: Path, raw: Callable[..., Any]) -> None:
    """Equal requests get their answers in order; one more is refused, or gets the last again."""
    async with Simulator() as sim, Cassette(path, record=True, upstream=sim.base_url) as cassette:
        sim.reply("first", times=1)
        sim.reply("second", when="x", times=1)
        bodies = [(await raw(cassette.base_url, ask("x"))).body for _ in range(2)]
    with pytest.raises(AssertionError, match="recorded 2 times, and comes once more"):
        async with Cassette(path) as cassette:
            assert bodies == [(await raw(cassette.base_url, ask("x"))).body for _ in range(2)]
            assert 501 == (await raw(cassette.base_url, ask("x"))).status
    async with Cassette(path, repeat=True) as cassette:
        played = [(await raw(cassette.base_url, ask("x"))).body for _ in range(4)]
    assert [*bodies, bodies[1], bodies[1]] == played


async def test_hashed_prompts(path: Path, raw: Callable[..., Any]) -> None:
    """Texts of requests are not in the file; the same ones are known again, others are not, nor is their text told."""
    body = ask("my darkest secret", user="jane", tools=[{"type": "function", "function": {"name": "dig"}}])
    async with Simulator() as sim:
        sim.reply("Fine.")
        async with Cassette(path, record=True, upstream=sim.base_url, hash_prompts=True) as cassette:
            recorded = await raw(cassette.base_url, body)
    text = written(path)
    assert not [word for word in ("darkest", "jane", "dig") if word in text]
    assert MODEL in text
    with pytest.raises(AssertionError, match="another hash"):
        async with Cassette(path) as cassette:
            assert recorded.body == (await raw(cassette.base_url, body)).body
            assert 501 == (await raw(cassette.base_url, {**body, "user": "joe"})).status


async def test_ignored_fields(path: Path, raw: Callable[..., Any]) -> None:
    """Fields that change from run to run need not be equal, if they are named."""
    async with Simulator() as sim, Cassette(path, record=True, upstream=sim.base_url) as cassette:
        await raw(cassette.base_url, ask("x", seed=1))
    async with Cassette(path, ignore=["seed"]) as cassette:
        assert 200 == (await raw(cassette.base_url, ask("x", seed=2))).status


async def test_cut_stream(path: Path, raw: Callable[..., Any]) -> None:
    """A stream that broke off breaks off at the same byte."""
    async with Simulator() as sim, Cassette(path, record=True, upstream=sim.base_url) as cassette:
        sim.cut(after=3)
        sim.drop(when="gone")
        body = ask("x", stream=True, stream_options={"include_usage": True})
        recorded = await raw(cassette.base_url, body)
        async with AnyFast(KEY, base_url=cassette.base_url, model=MODEL, retry=ONCE) as client:
            await client.complete("never mind")
    assert recorded.cut
    async with Cassette(path) as cassette:
        played = await raw(cassette.base_url, body)
    assert (recorded.status, recorded.chunks, True) == (played.status, played.chunks, played.cut)
    async with Cassette(path) as cassette, AnyFast("k", base_url=cassette.base_url, model=MODEL, retry=ONCE) as client:
        with pytest.raises(IncompleteStreamError) as caught:
            await client.stream("x", stream_options={"include_usage": True}).drain()
    assert caught.value.reason == "cut"


def test_in_a_thread(path: Path) -> None:
    """Without async the cassette serves from a thread, which is gone after the block; a program that left early too."""

    async def first_token(url: str) -> str:
        async with AnyFast(KEY, base_url=url, model=MODEL) as client, client.stream("Hi") as stream:
            return await anext(stream)

    with (
        Simulator.in_thread(latency=Latency(per_token=0.02)) as sim,
        Cassette(path, record=True, upstream=sim.base_url) as cassette,
    ):
        recorded = asyncio.run(first_token(cassette.base_url))
    assert 'end = "left"' in written(path)
    with Cassette(path) as cassette:
        assert recorded == asyncio.run(first_token(cassette.base_url))
    with pytest.raises(AssertionError, match="is on the cassette, but"), Cassette(path) as cassette:
        asyncio.run(first_token(cassette.base_url))
        with pytest.raises(InternalServerError):
            asyncio.run(first_token(cassette.base_url))
    assert not [one for one in threading.enumerate() if one.name == "anyfast-cassette"]


def test_files_that_cannot_be(path: Path, tmp_path: Path) -> None:
    """No file, another file, a file that is no cassette: a clear error, and nothing is written over."""
    with pytest.raises(ConfigurationError, match="record it once, with record=True"), Cassette(path):
        pass
    other = tmp_path / "other.toml"
    other.write_text("[project]\n")
    with pytest.raises(ConfigurationError, match="no table of a script"), Cassette(other):
        pass
    recording = Cassette(other, record=True, upstream="http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="is no cassette, so it is not written over"), recording:
        pass
    assert "[project]\n" == other.read_text()
    with pytest.raises(ClientStateError, match="used in 'with'"):
        _ = Cassette(path).base_url


async def test_a_recording_that_failed_is_not_kept(path: Path, raw: Callable[..., Any]) -> None:
    """The cassette stays as it was if the block fails or the gateway is not there."""
    nobody = Cassette(path, record=True, upstream="http://127.0.0.1:9/v1")
    async with Simulator() as sim, Cassette(path, record=True, upstream=sim.base_url) as cassette:
        await raw(cassette.base_url, ask("Hi"))
    with pytest.raises(ZeroDivisionError):
        async with Cassette(path, record=True, upstream="http://127.0.0.1:9/v1"):
            raise ZeroDivisionError
    with pytest.raises(ConfigurationError, match="could not be reached"):
        async with nobody, AnyFast(KEY, base_url=nobody.base_url, model=MODEL, retry=ONCE) as client:
            with pytest.raises(InternalServerError, match="the recorder cannot reach the gateway"):
                await client.complete("Hi")
    async with Cassette(path) as cassette:
        assert 200 == (await raw(cassette.base_url, ask("Hi"))).status
    assert [path] == sorted(path.parent.iterdir())


SECRETS = ("Jane Q. Public", "John Q. Public")
PROMPTS = ("Who is Jane Q. Public?", "Who is John Q. Public?", "Who is **************?", "Is {key} valid?", "Hi\nJane")


@pytest.mark.parametrize("hash_prompts", [False, True])
@pytest.mark.parametrize("key", [KEY, "sk-another-one-of-another-length", "Hi"])
async def test_secrets_in_prompts_play(path: Path, raw: Callable[..., Any], key: str, hash_prompts: bool) -> None:
    """What was recorded plays, in any order and with any key, though prompts hold secrets and the key."""

    async def statuses(url: str, key: str, *prompts: str) -> list[tuple[int, int]]:
        answers = [await raw(url, ask(prompt.format(key=key)), key=key) for prompt in prompts]
        return [(one.status, answer_number(one.body)) for one in answers]

    def answer_number(body: bytes) -> int:
        return next(number for number in range(9) if b"answer %d" % number in body)

    async with (
        Simulator() as sim,
        Cassette(path, record=True, upstream=sim.base_url, secrets=SECRETS, hash_prompts=hash_prompts) as cassette,
    ):
        for number in range(len(PROMPTS)):
            sim.reply(f"answer {number}", times=1)
        recorded = await statuses(cassette.base_url, KEY, *PROMPTS)
    assert {(200, number) for number in range(len(PROMPTS))} == {*recorded}
    assert not [one for one in (*SECRETS, "Public", KEY) if one in written(path)]
    async with Cassette(path, secrets=SECRETS) as cassette:
        assert recorded[::-1] == await statuses(cassette.base_url, key, *PROMPTS[::-1])


async def test_large_integers_are_different_requests(path: Path, raw: Callable[..., Any]) -> None:
    """Requests are compared as they were sent, integers beyond 64 bits included."""
    async with Simulator() as sim, Cassette(path, record=True, upstream=sim.base_url) as cassette:
        await raw(cassette.base_url, ask("x", seed=2**64 + 1))
    assert f'"seed": {2**64 + 1}' in written(path)
    with pytest.raises(AssertionError, match=f"seed: recorded {2**64 + 1}, sent {2**64}"):
        async with Cassette(path) as cassette:
            assert 501 == (await raw(cassette.base_url, ask("x", seed=2**64))).status
            assert 501 != (await raw(cassette.base_url, ask("x", seed=2**64 + 1))).status


async def test_secrets_that_are_words_of_the_file(path: Path, raw: Callable[..., Any]) -> None:
    """A secret that the file has for a word of its own does no harm to it."""
    words = {"path", "request", "data", "exchange", "secret", "key"}
    async with Simulator() as sim, Cassette(path, record=True, upstream=sim.base_url, secrets=words) as cassette:
        recorded = await raw(cassette.base_url, ask("the secret path"))
    async with Cassette(path, secrets=words) as cassette:
        assert recorded.status == (await raw(cassette.base_url, ask("the secret path"))).status

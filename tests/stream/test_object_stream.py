"""A streamed object: partial ones with every piece, the instance at the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pydantic
import pytest

from anyfast_async import (
    AnyFast,
    ClientStateError,
    ConfigurationError,
    IncompleteStreamError,
    OutputError,
    Partial,
    PartialList,
    RateLimitError,
    RetryPolicy,
)
from anyfast_async.simulator import Simulator

KEY = "k" * 20


@attrs.frozen
class City:
    name: str
    districts: list[str]


class Country(pydantic.BaseModel):
    name: str
    capital: str | None = None


LYON = {"name": "Lyon", "districts": ["Vieux Lyon", "Presqu'île"]}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        simulator.reply(json=LYON)
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[AnyFast]:
    async with AnyFast(KEY, base_url=sim.base_url, model="gemini-2.5-flash", retry=RetryPolicy(attempts=1)) as one:
        yield one


async def test_partial_objects(sim: Simulator, client: AnyFast) -> None:
    """Each item has at least what the one before had; the value is the instance, and the schema was asked for."""
    async with client.stream("x", into=City) as stream:
        with pytest.raises(ClientStateError, match="drain"):
            _ = stream.value
        partials = [partial async for partial in stream]
    assert len(partials) > 3
    assert all(isinstance(partial, Partial) for partial in partials)
    assert partials[-1] == LYON
    names = [partial.name or "" for partial in partials]
    assert names == sorted(names, key=len)
    assert stream.value == City("Lyon", ["Vieux Lyon", "Presqu'île"])
    assert stream.partial == LYON
    assert json.loads(stream.completion.text) == LYON
    assert sim.requests[0].body["response_format"]["json_schema"]["name"] == "City"
    assert sim.requests[0].body["stream"] is True


@pytest.mark.parametrize(
    ("kind", "answer", "value"),
    [
        (list[City], {"value": [LYON]}, [City("Lyon", ["Vieux Lyon", "Presqu'île"])]),
        (Country, {"name": "France"}, Country(name="France")),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (str, {"value": "words"}, "words"),
    ],
)
async def test_other_kinds(sim: Simulator, client: AnyFast, kind: Any, answer: Any, value: Any) -> None:
    """Lists, pydantic models, dicts and plain values are streamed too."""
    last = answer.get("value", answer)
    sim.reply(f"```json\n{json.dumps(answer)}\n```")
    stream = await client.stream("x", into=kind)
    partials = [partial async for partial in stream]
    assert partials[-1] == last
    assert isinstance(partials[-1], PartialList | Partial | str)
    assert stream.value == value


async def test_drain(sim: Simulator, client: AnyFast) -> None:
    """``drain`` gives the instance, and reading on gives nothing."""
    stream = client.stream("x", into=City)
    assert await stream.drain() == City("Lyon", ["Vieux Lyon", "Presqu'île"])
    assert [one async for one in stream] == []


async def test_misfits(sim: Simulator, client: AnyFast) -> None:
    """What does not fit, or is not one object, ends the iteration with an error that holds the answer."""
    for text, why in (('{"name": 1}', r"\$.name"), ('{"name": "a", "districts": []} {"name": 2}', "2 JSON values")):
        sim.reply(text)
        async with client.stream("x", into=City) as stream:
            with pytest.raises(OutputError, match=why) as caught:
                async for _ in stream:
                    pass
        assert caught.value.completion is not None
        assert caught.value.completion.text == text
        assert [one.outcome for one in caught.value.attempts] == ["ok"]
        with pytest.raises(ClientStateError):
            _ = stream.value


async def test_a_cut_stream(sim: Simulator, client: AnyFast) -> None:
    """A cut stream gives what had come, then its error; that is no value."""
    sim.cut(after=2)
    async with client.stream("x", into=City) as stream:
        with pytest.raises(IncompleteStreamError) as caught:
            async for _ in stream:
                pass
    assert caught.value.partial is not None
    with pytest.raises(ClientStateError):
        _ = stream.value


async def test_errors_before(sim: Simulator, client: AnyFast) -> None:
    """An error with a status surfaces on entering; a class that cannot be read before anything is sent."""
    with pytest.raises(ConfigurationError):
        _ = client.stream("x", into=Simulator)
    with pytest.raises(ConfigurationError):
        _ = client.stream("x", into=Simulator, response_format={"type": "json_object"})
    assert sim.requests == []
    sim.fail(429)
    with pytest.raises(RateLimitError):
        async with client.stream("x", into=City):
            pass


async def test_leaving(sim: Simulator, client: AnyFast) -> None:
    """Leaving early closes the connection; the gateway sees it."""
    async with client.stream("x", into=City) as stream:
        async for partial in stream:
            assert partial == {}
            break
    for _ in range(100):
        if client.stats().in_flight == 0:
            break
        await asyncio.sleep(0.01)
    assert client.stats().in_flight == 0
    with pytest.raises(ClientStateError):
        _ = stream.value

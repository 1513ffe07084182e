"""Single exchanges: what came, when, and how it ended; nothing is raised, and no key is in what is told."""

from __future__ import annotations

import json

from yarl import URL

from anyfast_async.cli.doctor.raw_exchange import RawExchanges
from anyfast_async.simulator import Latency, Simulator

KEY = {"Authorization": "Bearer sk-secret-0123456789"}
BODY = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hi"}]}


async def test_what_came() -> None:
    """Status, headers in lower case, the body in its pieces with rising times."""
    async with Simulator(latency=Latency(per_token=0.002)) as sim, RawExchanges(URL(sim.base_url), KEY, 10) as raw:
        seen = await raw.ask(body={**BODY, "stream": True})
        models = await raw.ask("/models")

    assert (200, "text/event-stream", "whole", "") == (seen.status, seen.content_type, seen.end, seen.problem)
    times = [at for at, _ in seen.pieces]
    assert sorted(times) == times
    assert times[0] >= seen.head_at > 0
    assert seen.body.endswith(b"data: [DONE]\n\n")
    assert "list" == models.json()["object"]
    assert "sk-secret" not in repr(raw)


async def test_what_did_not() -> None:
    """A cut, a silence, nobody there: told as such, without the key."""
    async with Simulator() as sim, RawExchanges(URL(sim.base_url), KEY, 0.2) as raw:
        sim.cut(after=2)
        sim.stall(after=0)
        sim.drop()
        ends = [await raw.ask(body={**BODY, "stream": True}) for _ in range(3)]
    async with RawExchanges(URL("http://127.0.0.1:9/v1"), KEY, 5) as raw:
        ends.append(await raw.ask("/models"))
        ends.append(await raw.malformed())

    assert ["cut", "timeout", "unreachable", "unreachable"] == [one.end for one in ends[:4]]
    assert all(one.problem for one in ends)
    assert "sk-secret" not in json.dumps([one.problem for one in ends])


async def test_malformed() -> None:
    """What the first server says to what is no HTTP is taken apart."""
    async with Simulator() as sim, RawExchanges(URL(sim.base_url), KEY, 5) as raw:
        seen = await raw.malformed()

    assert 400 == seen.status
    assert "content-type" in seen.headers


async def test_leaving() -> None:
    """The simulator notices who leaves; an answer that comes at once tells nothing."""
    async with Simulator(latency=Latency(ttft=0.5)) as sim, RawExchanges(URL(sim.base_url), KEY, 10) as raw:
        left = await raw.left(BODY)
        assert sim.requests[-1].disconnected

    assert left is not None
    assert left < 0.4

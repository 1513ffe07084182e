"""What the simulator remembers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs
import pytest

from anyfast_async.simulator import Headers, Simulator
from anyfast_async.simulator.http.recording import RecordedRequest, Recording

from ..raw_client import MODEL, Http

if TYPE_CHECKING:
    import aiohttp


def record(path: str = "/") -> RecordedRequest:
    return RecordedRequest(method="GET", path=path, headers=Headers([]), time=0.0, connection=1)


def test_headers_in_any_case() -> None:
    """Headers are a mapping that does not mind case; repeated ones are joined."""
    headers = Headers([("X-Thing", "1"), ("accept", "a"), ("x-thing", "2")])
    assert headers["x-THING"] == "1, 2"
    assert "ACCEPT" in headers
    assert "missing" not in headers
    assert headers.get("missing") is None
    assert len(headers) == 2
    assert dict(headers) == {"x-thing": "1, 2", "accept": "a"}


def test_key_is_not_shown() -> None:
    """The key can be read, but no ``repr`` shows it."""
    headers = Headers([("Authorization", "Bearer sk-secret"), ("Accept", "x")])
    assert headers["authorization"] == "Bearer sk-secret"
    assert repr(headers) == "Headers({'Authorization': '***', 'Accept': 'x'})"
    shown = attrs.evolve(record(), headers=headers, body={"messages": "private"}, raw=b"private")
    assert "secret" not in repr(shown)
    assert "private" not in repr(shown)


def test_journal_counts() -> None:
    """In flight goes up and down; the peak stays until it is cleared."""
    journal = Recording(keep=10)
    for _ in range(3):
        journal.begin(record())
    journal.end()
    assert (journal.in_flight, journal.peak_in_flight) == (2, 3)
    journal.clear()
    assert (journal.in_flight, journal.peak_in_flight, journal.records()) == (2, 2, [])


def test_only_the_latest_are_kept() -> None:
    """Beyond ``keep`` the oldest records go."""
    journal = Recording(keep=2)
    keys = [journal.begin(record(str(number))) for number in range(4)]
    assert [one.path for one in journal.records()] == ["2", "3"]
    journal.update(keys[0], status=200)
    journal.update(keys[3], status=200)
    assert [one.status for one in journal.records()] == [None, 200]


async def test_recorded_request(sim: Simulator, http: Http) -> None:
    """A record has all that arrived, and the status of the answer."""
    before = time.monotonic()
    await http.chat("Hello!", temperature=1)
    (request,) = sim.requests
    assert (request.method, request.path, request.status) == ("POST", "/v1/chat/completions", 200)
    assert request.body == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Hello!"}],
        "temperature": 1,
    }
    assert request.raw.startswith(b'{"model"')
    assert request.headers["authorization"] == "Bearer sk-test"
    assert before <= request.time <= time.monotonic()
    assert request.connection == 1
    assert not request.disconnected
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request.status = 500  # type: ignore[misc]


async def test_refused_requests_are_recorded(sim: Simulator, http: Http) -> None:
    """Whatever arrives is recorded, with its query, its body if it is JSON, and its status."""
    await http.send("GET", "/models?x=1", authorization="")
    await http.post({"no": "model"})
    await http.send("POST", "/chat/completions", b"no json")
    await http.chat(max_tokens="x")
    seen = [(one.path, one.status) for one in sim.requests]
    chat = "/v1/chat/completions"
    assert seen == [("/v1/models?x=1", 401), (chat, 400), (chat, 400), (chat, 500)]
    assert sim.requests[1].body == {"no": "model"}
    assert (sim.requests[2].body, sim.requests[2].raw) == (None, b"no json")
    assert sim.requests[3].body["max_tokens"] == "x"


async def test_reset(sim: Simulator, http: Http) -> None:
    """``reset`` forgets script, limits, records and counts, and the server goes on."""
    sim.reply("scripted")
    sim.fail(500, times=None)
    sim.limit(requests_per_minute=1)
    await http.chat()
    sim.reset()
    assert (sim.requests, sim.peak_in_flight, sim.connections) == ([], 0, 0)
    response = await http.chat()
    assert response.status == 200
    assert response.text != "scripted"
    assert (await http.chat()).status == 200
    assert [one.connection for one in sim.requests] == [1, 1]


async def test_max_recorded(session: aiohttp.ClientSession) -> None:
    """``max_recorded`` bounds the memory of a long run."""
    async with Simulator(max_recorded=3) as sim:
        http = Http(session, sim.base_url)
        for number in range(5):
            await http.chat(str(number))
        assert [one.body["messages"][0]["content"] for one in sim.requests] == ["2", "3", "4"]

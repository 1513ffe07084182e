"""The seeded latency model."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from anyfast_async.simulator import Latency, Simulator
from anyfast_async.simulator.model.latency import Timing

from ..raw_client import Http

if TYPE_CHECKING:
    import aiohttp


def test_default_is_at_once() -> None:
    """Without settings nothing takes time."""
    assert Latency().timing(Random(0)) == Timing(0.0, 0.0)


def test_due() -> None:
    """The first token is due after ``ttft``, each further one ``per_token`` later."""
    timing = Timing(ttft=1.0, per_token=0.25)
    assert [timing.due(count) for count in (0, 1, 4)] == [1.0, 1.25, 2.0]


def test_jitter_is_bounded() -> None:
    """Delays vary by the given share at most, and both by the same factor."""
    latency = Latency(ttft=1.0, per_token=0.1, jitter=0.5)
    timings = [latency.timing(Random(seed)) for seed in range(200)]
    assert 0.5 <= min(one.ttft for one in timings) < 0.6
    assert 1.4 < max(one.ttft for one in timings) <= 1.5
    assert all(one.per_token == pytest.approx(one.ttft / 10) for one in timings)


def test_slow_share() -> None:
    """About the given share of requests is slower by ``slow`` seconds."""
    latency = Latency(slow_share=0.1, slow=3.0)
    slow = [seed for seed in range(1000) if latency.timing(Random(seed)).ttft == 3.0]
    assert 70 < len(slow) < 130


@pytest.mark.parametrize("setting", [{"ttft": -1}, {"jitter": 1.1}, {"slow_share": -0.1}, {"per_token": -1}])
def test_ranges(setting: dict[str, float]) -> None:
    """Values out of range are refused where they are given."""
    with pytest.raises(ValueError, match=next(iter(setting))):
        Latency(**setting)


async def test_stream_takes_its_time(session: aiohttp.ClientSession) -> None:
    """A streamed and a whole answer of ten tokens end at the same time: ttft and ten times per_token."""
    latency = Latency(ttft=0.05, per_token=0.005)
    async with Simulator(latency=latency, answer_tokens=10) as sim:
        http = Http(session, sim.base_url)
        for stream in (False, True):
            response, seconds = await http.timed_chat(stream=stream)
            assert response.status == 200
            assert 0.095 <= seconds < 0.3


async def test_ttft_of_a_reply(sim: Simulator, http: Http) -> None:
    """``reply(ttft=)`` delays one answer."""
    sim.reply("late", when="slow", ttft=0.1)
    assert (await http.timed_chat("slow"))[1] >= 0.1
    assert (await http.timed_chat("fast"))[1] < 0.1

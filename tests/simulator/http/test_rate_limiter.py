"""The gateway's limiter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyfast_async.simulator.http.rate_limiter import Limiter, MinuteWindow

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator

    from ..raw_client import Http


def admitted(limiter: Limiter, times: list[float]) -> list[float]:
    return [now for now in times if limiter.refusing(now) is None]


def test_window_slides() -> None:
    """A request leaves the window after its length, to the moment."""
    limiter = Limiter((MinuteWindow(2, 60.0),), empty_body=False)
    assert admitted(limiter, [0.0, 30.0, 31.0, 59.9, 60.0, 61.0, 90.0]) == [0.0, 30.0, 60.0, 90.0]


def test_refused_requests_do_not_count() -> None:
    """Hammering does not prolong a refusal."""
    limiter = Limiter((MinuteWindow(1, 1.0),), empty_body=False)
    assert admitted(limiter, [i / 100 for i in range(201)]) == [0.0, 1.0, 2.0]


def test_all_windows_must_have_room() -> None:
    """With two windows a request counts in both or in none."""
    limiter = Limiter((MinuteWindow(3, 60.0), MinuteWindow(1, 1.0)), empty_body=False)
    assert admitted(limiter, [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 60.0]) == [0.0, 1.0, 2.0, 60.0]


async def test_over_http(sim: Simulator, http: Http) -> None:
    """Beyond the limit chat requests are 429 without Retry-After; other paths go on."""
    sim.limit(requests_per_minute=2)
    answers = [await http.chat() for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 429, 429]
    assert "Retry-After" not in answers[2].headers
    assert answers[2].error["code"] == ""
    assert "at most 2 requests in 1 minutes" in answers[2].error["message"]
    assert (await http.send("GET", "/models")).status == 200


async def test_empty_body(sim: Simulator, http: Http) -> None:
    """A gateway that counts in its memory refuses without a body."""
    sim.limit(requests_per_second=1, empty_body=True)
    answers = [await http.chat() for _ in range(2)]
    assert (answers[1].status, answers[1].raw) == (429, b"")


async def test_no_limit_any_more(sim: Simulator, http: Http) -> None:
    """Without arguments ``limit`` lifts the limit."""
    sim.limit(requests_per_minute=1)
    sim.limit()
    assert [(await http.chat()).status for _ in range(3)] == [200] * 3

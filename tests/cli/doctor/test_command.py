"""``anyfast doctor`` as users start it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from anyfast_async.simulator import Latency, Simulator


def test_embedded_gateway(anyfast: Callable[..., Any]) -> None:
    """It costs nothing, so nobody is asked; lines in a pipe, names in brackets, a summary at the end."""
    ran = anyfast("doctor", "--simulate")

    assert 0 == ran.code, ran.out + ran.err
    assert "ok        streams end with a finish_reason: stop [finish-reason]\n" in ran.out
    assert "[streaming-" in ran.out
    assert "note      an unknown model is refused with 503: status 503 [wrong-model-503]" in ran.out
    assert "as it should be" in ran.out.splitlines()[-1]
    assert "model: gemini-2.5-flash\n" == ran.err


def test_costs_are_named_first(anyfast: Callable[..., Any], gateway: Simulator) -> None:
    """Without a terminal and without --yes nothing is sent."""
    ran = anyfast("doctor", "-m", "gemini-2.5-pro")

    assert (2, "", []) == (ran.code, ran.out, gateway.requests)
    assert "doctor spends tokens: 6 short answers of gemini-2.5-pro from http://127.0.0.1" in ran.err
    assert "at most 4,500 tokens" in ran.err
    assert "add --yes" in ran.err


def test_as_json(anyfast: Callable[..., Any], gateway: Simulator) -> None:
    """--json prints one object with every finding; a problem is exit code 1; sent is what was announced."""
    gateway.quirk("truncated-done")
    ran = anyfast("doctor", "--yes", "--json")
    value = json.loads(ran.out)

    assert 1 == ran.code
    assert gateway.base_url == value["base_url"]
    assert "truncated-done" == value["findings"][0]["name"]
    assert {"name", "level", "title", "detail", "meaning", "advice"} == set(value["findings"][0])
    assert sum(value["counts"].values()) == len(value["findings"])
    billed = [one for one in gateway.requests if one.status == 200 and one.method == "POST"]
    assert len(billed) <= 6
    assert "sk-made-up" not in ran.out + ran.err


def test_no_large_body_where_it_would_be_billed(anyfast: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an unknown model is answered all the same, no large request is sent for one."""
    with Simulator.in_thread(models=None) as sim:
        monkeypatch.setenv("ANYFAST_BASE_URL", sim.base_url)
        monkeypatch.setenv("ANYFAST_API_KEY", "sk-made-up")
        found = {one["name"] for one in json.loads(anyfast("doctor", "--yes", "--json").out)["findings"]}

        assert "wrong-model-answered" in found
        assert not {"body-limit", "body-size-ok"} & found
        assert max(len(one.raw) for one in sim.requests) < 2000


def test_nobody_there_and_wrong_keys(
    anyfast: Callable[..., Any], closed_gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No gateway, or a key that it refuses: said as for every command, with exit code 3."""
    ran = anyfast("doctor", "--yes")
    assert 3 == ran.code
    assert "Is the network up" in ran.err
    with Simulator.in_thread(api_keys=["sk-another"]) as sim:
        monkeypatch.setenv("ANYFAST_BASE_URL", sim.base_url)
        ran = anyfast("doctor", "--yes")
        assert 3 == ran.code
        assert "401" in ran.err
        assert 1 == len(sim.requests)


def test_limits_of_size_and_keys(anyfast: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that takes no large bodies, and looks at keys: both are told."""
    with Simulator.in_thread(api_keys=["sk-good"], max_body=1024 * 1024) as sim:
        monkeypatch.setenv("ANYFAST_BASE_URL", sim.base_url)
        monkeypatch.setenv("ANYFAST_API_KEY", "sk-good")
        found = {one["name"]: one for one in json.loads(anyfast("doctor", "--yes", "--json").out)["findings"]}

    assert "512 KiB pass, 1.5 MiB: refused with 413" == found["body-limit"]["detail"]
    assert "wrong-key-refused" in found


async def test_on_a_terminal(start: Callable[..., Any]) -> None:
    """On a terminal it asks, and no is no."""
    async with Simulator(latency=Latency(ttft=0.01)) as sim:
        command = await start("doctor", terminal=True, ANYFAST_BASE_URL=sim.base_url, ANYFAST_API_KEY="sk-x")
        await command.shows("Go on?")
        command.type("n\n")
        ran = await command.ended()
        assert (130, []) == (ran.code, sim.requests)
        command = await start("doctor", terminal=True, ANYFAST_BASE_URL=sim.base_url, ANYFAST_API_KEY="sk-x")
        await command.shows("Go on?")
        command.type("\n")
        ran = await command.ended()

    assert 0 == ran.code
    assert "... stream" in ran.out
    assert "models are listed" in ran.out
    assert "as it should be" in ran.out

"""The arguments of a map, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async import AnyFast, ConfigurationError, Limits
from anyfast_async._client.map_arguments import kinds_of
from anyfast_async._map.map_run import MapRun

if TYPE_CHECKING:
    from conftest import Connect

    from anyfast_async.simulator import Simulator


@pytest.mark.parametrize("source", ["one prompt", b"bytes", {"role": "user", "content": "x"}])
async def test_one_prompt_is_no_source(client: AnyFast, source: Any) -> None:
    """A string is not taken apart into letters."""
    with pytest.raises(ConfigurationError, match="iterable of prompts"):
        _: MapRun[Any] = client.map(source)


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, True, "8"])
async def test_concurrency_is_checked(client: AnyFast, concurrency: Any) -> None:
    """The message names the argument and its range."""
    with pytest.raises(ConfigurationError, match="concurrency must be a whole number from 1 up"):
        _: MapRun[Any] = client.map(["x"], concurrency=concurrency)


async def test_more_at_once_than_the_limit_is_said(connect: Connect, sim: Simulator) -> None:
    """Once, with both numbers; the default says nothing, as nobody asked for it."""
    client = connect(sim.base_url, limits=Limits(concurrency=2))
    assert len(await client.map(["a"])) == 1
    with pytest.warns(UserWarning, match=r"map\(concurrency=64\) is more than Limits\(concurrency=2\)") as caught:
        assert len(await client.map(["a"], concurrency=64)) == 1
    assert (len(caught), caught[0].filename) == (1, __file__)
    for allowed in (64, 2):
        assert len(await client.map(["a"], concurrency=allowed)) == 1


def test_kinds_that_stop() -> None:
    """One word or several; a word is not taken apart into letters, and an unknown one is refused."""
    assert [kinds_of("auth"), kinds_of(["auth", "quota"]), kinds_of(())] == [{"auth"}, {"auth", "quota"}, set()]
    with pytest.raises(ConfigurationError, match=r"stop_on takes kinds of errors \(.*quota.*\), not 'qota'"):
        kinds_of(("qota",))

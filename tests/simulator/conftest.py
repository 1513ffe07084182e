"""A running simulator, and a client for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from anyfast_async.simulator import Simulator

from .raw_client import Http

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield session


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def http(sim: Simulator, session: aiohttp.ClientSession) -> Http:
    return Http(session, sim.base_url)


@pytest.fixture
def sim_not_started() -> Simulator:
    return Simulator()

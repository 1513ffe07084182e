"""Fixtures for testing a program that uses this package: a gateway, a client, and retries that do not wait.

pytest finds them without a line of configuration once the package is installed. They are plain fixtures, so they work
in every kind of test: synchronous, asynchronous under any plugin, and ``unittest`` classes with ``usefixtures``::

    def test_greeting(anyfast_simulator):
        anyfast_simulator.reply("Paris", when="capital")
        assert my_service.answer("the capital of France?") == "Paris"

``@pytest.mark.anyfast_simulator(strict=True)`` on a test, class or module sets options of the simulator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

# Every run of pytest where this package is installed imports this file. So whatever costs time is imported by fixtures.

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from anyfast_async import AnyFast
    from anyfast_async.simulator import Simulator

__all__ = ["anyfast_client", "anyfast_no_wait", "anyfast_simulator"]

_MARKER = "anyfast_simulator"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, so that ``--strict-markers`` knows it."""
    config.addinivalue_line(
        "markers", f"{_MARKER}(**options): options of the simulator behind the fixture {_MARKER}, such as strict=True"
    )


@pytest.fixture
def anyfast_simulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Serve the gateway on loopback for one test, from a thread of its own.

    ``ANYFAST_BASE_URL``, ``ANYFAST_API_KEY`` and ``ANYFAST_MODEL`` (gemini-2.5-flash) are set meanwhile: a program
    under test that builds its client without arguments finds the simulator, and so does one that the test starts as
    another process.

    Options of :class:`~anyfast_async.simulator.Simulator` come from the marker of the same name. With ``strict=True`` a
    request that no reply or fault was scripted for fails the test.
    """
    from anyfast_async.simulator import Simulator  # noqa: PLC0415 - a server's imports

    options: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(_MARKER))):  # the closest one comes last, and wins
        options |= mark.kwargs
    with Simulator.in_thread(**options) as simulator:
        monkeypatch.setenv("ANYFAST_BASE_URL", simulator.base_url)
        monkeypatch.setenv("ANYFAST_API_KEY", "sk-anyfast-simulator")
        monkeypatch.setenv("ANYFAST_MODEL", "gemini-2.5-flash")
        yield simulator


@pytest.fixture
def anyfast_client(anyfast_simulator: Simulator) -> Iterator[AnyFast]:  # noqa: ARG001 - it sets the environment
    """Return a client of :func:`anyfast_simulator`, for code that is handed one.

    It serves the asyncio loop that the test runs in, or several one after the other, and is closed after the test.
    """
    from anyfast_async._testing import client_until_loop_ends  # noqa: PLC0415 - the client's imports

    with client_until_loop_ends() as client:
        yield client


@pytest.fixture
def anyfast_no_wait() -> Iterator[None]:
    """Let retries come at once: neither the wait between them nor the hold after throttling takes time.

    A gateway that is away is not waited for: a row of ``map`` fails after its attempts. Nothing else changes. The
    attempts are made, the ledger lists them with the waits there would have been, and what is skipped counts: patience
    with a gateway that throttles for ever ends, and a call whose ``Timeouts.total`` would have passed meanwhile ends
    with ``DeadlineExceeded``. ``Limits`` per minute hold as ever.

    It reaches every client of this process, and none of another.
    """
    from anyfast_async._testing import skip_waits  # noqa: PLC0415 - the client's imports

    with skip_waits():
        yield

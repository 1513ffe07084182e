"""Fixtures for testing a program that uses this package: a gateway, recorded answers, a client, no waits.

pytest finds them without a line of configuration once the package is installed. They are plain fixtures, so they work
in every kind of test: synchronous, asynchronous under any plugin, and ``unittest`` classes with ``usefixtures``::

    def test_greeting(anyfast_simulator):
        anyfast_simulator.reply("Paris", when="capital")
        assert my_service.answer("the capital of France?") == "Paris"

``@pytest.mark.anyfast_simulator(strict=True)`` on a test, class or module sets options of the simulator,
``@pytest.mark.anyfast_cassette(timing=True)`` those of a cassette; ``pytest --anyfast-record`` records cassettes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Every run of pytest where this package is installed imports this file. So whatever costs time is imported by fixtures.

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from anyfast_async import AnyFast
    from anyfast_async.simulator import Simulator
    from anyfast_async.testing import Cassette

__all__ = ["anyfast_cassette", "anyfast_client", "anyfast_no_wait", "anyfast_simulator"]

_MARKER = "anyfast_simulator"
_CASSETTE = "anyfast_cassette"
_MODEL = "gemini-2.5-flash"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--anyfast-record``."""
    text = "record the cassettes of the tests that run, from the gateway of ANYFAST_BASE_URL with ANYFAST_API_KEY"
    parser.getgroup("anyfast").addoption("--anyfast-record", action="store_true", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, so that ``--strict-markers`` knows them."""
    config.addinivalue_line(
        "markers", f"{_MARKER}(**options): options of the simulator behind the fixture {_MARKER}, such as strict=True"
    )
    config.addinivalue_line(
        "markers",
        f"{_CASSETTE}(path=None, **options): file and options of the cassette behind the fixture {_CASSETTE}, such as "
        "timing=True",
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
        monkeypatch.setenv("ANYFAST_MODEL", _MODEL)
        yield simulator


@pytest.fixture
def anyfast_cassette(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cassette]:
    """Play a recorded gateway for one test, or record it where pytest runs with ``--anyfast-record``.

    The file is ``cassettes/<test file>/<test>.toml`` beside the test file, or what the marker of the same name says,
    from there: ``@pytest.mark.anyfast_cassette("capital.toml", hash_prompts=True)``; its other arguments are options of
    :class:`~anyfast_async.testing.Cassette`. ``ANYFAST_BASE_URL`` is set meanwhile, and ``ANYFAST_MODEL`` to the first
    model that was recorded; while it plays ``ANYFAST_API_KEY``, too. Recording takes the key, the gateway and the model
    (else gemini-2.5-flash) from these variables.

    A request that is not on the cassette fails the test, with the nearest one and the differences.
    """
    from anyfast_async.testing import Cassette  # noqa: PLC0415 - a server's imports

    path: str | os.PathLike[str] | None = None
    options: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(_CASSETTE))):
        path = mark.args[0] if mark.args else path
        options |= mark.kwargs
    test = re.sub(r"[^\w.-]+", "-", ".".join(request.node.nodeid.split("::")[1:])).strip("-")
    name = Path("cassettes", request.path.stem, f"{test}.toml") if path is None else Path(path)
    options.setdefault("record", request.config.getoption("--anyfast-record"))
    with Cassette(request.path.parent / name, **options) as cassette:
        monkeypatch.setenv("ANYFAST_BASE_URL", cassette.base_url)
        if cassette.recording:
            monkeypatch.setenv("ANYFAST_MODEL", os.environ.get("ANYFAST_MODEL") or _MODEL)
        else:
            monkeypatch.setenv("ANYFAST_MODEL", next(iter(cassette.models), _MODEL))
            monkeypatch.setenv("ANYFAST_API_KEY", "sk-anyfast-cassette")
        yield cassette


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

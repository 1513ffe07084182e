"""Servers that others wrote, started for the tests here. ``nox -s interop`` installs them and says where they are."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from anyfast_async import AnyFast, AnyFastError, RetryPolicy

HERE = Path(__file__).parent
KEY = "sk-interop"
STARTING = 90.0
"""Seconds that a server may take to start; LiteLLM imports for a quarter of a minute."""
ENDING = 10.0


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "interop: talks to third-party servers; run by `nox -s interop`")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.interop)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(STARTING + 60))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {KEY}"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def running(command: list[str], port: int, path: str, log: Path, **environment: str) -> Iterator[str]:
    """Run a server, from the moment it answers; give its base URL. What it says goes to *log*."""
    # Nothing of this machine's settings but what programs need: a provider's key, say, would be used.
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ} | environment
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=HERE, env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + STARTING
        while not answers(port, path):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(ENDING)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """aimock, scripted by aimock.json; its base URL."""
    port = free_port()
    command = [os.environ["INTEROP_AIMOCK"], "--host", "127.0.0.1", "--port", str(port), "--log-level", "warn"]
    command += ["--fixtures", str(HERE / "aimock.json"), "--validate-on-load"]
    log = tmp_path_factory.mktemp("aimock") / "log"
    with running(command, port, "/v1/models", log, AIMOCK_API_KEYS=KEY) as url:
        yield url


@pytest.fixture(scope="session")
def litellm(aimock: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """LiteLLM's proxy, set up by litellm.yaml, with aimock behind one of its models; its base URL."""
    port = free_port()
    command = [os.environ["INTEROP_LITELLM"], "--config", str(HERE / "litellm.yaml"), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    log = tmp_path_factory.mktemp("litellm") / "log"
    quiet = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it is fetched
        "LITELLM_TELEMETRY": "False",
        "LITELLM_LOG": "ERROR",
        "DISABLE_SCHEMA_UPDATE": "true",
        "NO_DOCS": "True",
        "PYTHONDONTWRITEBYTECODE": "1",  # it imports a file from here
    }
    with running(command, port, "/health/liveliness", log, INTEROP_UPSTREAM=aimock, **quiet) as url:
        yield url


Failed: TypeAlias = "Callable[[AnyFastError], dict[str, Any]]"


@pytest.fixture
def told() -> Failed:
    """``told(error)``: what an exception says, for comparison with a table; ``partial`` is text by choice."""

    def tell(error: AnyFastError) -> dict[str, Any]:
        facts = {
            "kind": type(error),
            "retry": error.retry_class,
            "status": getattr(error, "status_code", None),
            "after": getattr(error, "retry_after", None),
            "partial": error.partial and [one.message.text for one in error.partial.choices if one.message],
        }
        return {name: fact for name, fact in facts.items() if fact is not None}

    return tell


Clients: TypeAlias = "Callable[..., AnyFast]"


@pytest.fixture
async def client_of(no_leaks: None, connect: Clients) -> Clients:
    """``client_of(base_url, **settings)``: a client with the key of these servers, that does not try again."""

    def make(base_url: str, **settings: object) -> AnyFast:
        defaults: dict[str, object] = {"api_key": KEY, "retry": RetryPolicy(attempts=1, throttle_patience=0)}
        return connect(base_url, **(defaults | settings))

    return make

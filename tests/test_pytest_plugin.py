"""The fixtures under every kind of runner, each in a pytest of its own, and what loading the plugin costs."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Protocol

import pytest

from anyfast_async.simulator import Simulator

ROOT = Path(__file__).parents[1]
LONG = os.environ.get("ANYFAST_LONG") == "1"


class Run(Protocol):
    """``run(test_file, *options)``; returns the output of a pytest that must end with *code*."""

    def __call__(self, source: str, *options: str, code: int = 0) -> str: ...


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a test file with this plugin and those named, and no other."""

    def run(source: str, *options: str, code: int = 0) -> str:
        (tmp_path / "test_it.py").write_text(textwrap.dedent(source), encoding="utf-8")
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n", encoding="utf-8")
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        command = [sys.executable, "-X", "dev", "-m", "pytest", "-W", "error", "-p", "anyfast_async.pytest_plugin"]
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider", *options],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert code == done.returncode, done.stdout + done.stderr
        return done.stdout

    return run


ASK = """
    import asyncio, os, unittest, pytest
    from anyfast_async import AnyFast

    async def ask(client):
        async with client.stream("Hi") as stream:
            async for _ in stream:
                break
        return (await client.complete("Hi")).text
"""


@pytest.mark.slow
def test_without_any_async_plugin(run: Run) -> None:
    """Plain functions and unittest classes can use all fixtures, with no resource left open."""
    output = run(
        ASK
        + """
    def test_client(anyfast_simulator, anyfast_client):
        anyfast_simulator.reply("Paris")
        for _ in range(2):
            assert asyncio.run(ask(anyfast_client)) == "Paris"
        assert len(anyfast_simulator.requests) == 4

    class TestUnit(unittest.IsolatedAsyncioTestCase):
        @pytest.fixture(autouse=True)
        def _fixtures(self, anyfast_simulator, anyfast_client):
            self.simulator, self.client = anyfast_simulator, anyfast_client

        async def test_unit(self):
            self.simulator.reply("Rome")
            self.assertEqual(await ask(self.client), "Rome")

    @pytest.mark.usefixtures("anyfast_simulator")
    class TestOwnClient(unittest.TestCase):
        def test_environment(self):
            async def whole():
                async with AnyFast() as client:
                    return await ask(client)
            self.assertIn("Hi", asyncio.run(whole()))

    def test_environment_is_put_back():
        assert [] == [name for name in os.environ if name.startswith("ANYFAST_")]
    """
    )
    assert "4 passed" in output


@pytest.mark.slow
def test_under_pytest_asyncio(run: Run) -> None:
    """Async tests and async fixtures under pytest-asyncio."""
    output = run(
        ASK
        + """
    import pytest_asyncio

    @pytest_asyncio.fixture
    async def text(anyfast_client):
        return await ask(anyfast_client)

    async def test_client(anyfast_simulator, anyfast_client, text):
        assert text == await ask(anyfast_client)
        assert len(anyfast_simulator.requests) == 4

    async def test_no_wait(anyfast_simulator, anyfast_client, anyfast_no_wait):
        anyfast_simulator.fail(503, times=2)
        assert len((await anyfast_client.complete("Hi")).trace.attempts) == 3
    """,
        *("-p", "pytest_asyncio.plugin", "-o", "asyncio_mode=auto"),
        *("-o", "asyncio_default_fixture_loop_scope=function"),
    )
    assert "2 passed" in output


@pytest.mark.slow
def test_under_anyio(run: Run) -> None:
    """Async tests under anyio's plugin, whose loop is closed before a synchronous fixture ends."""
    output = run(
        ASK
        + """
    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    async def test_client(anyfast_simulator, anyfast_client):
        anyfast_simulator.reply("Paris")
        assert await ask(anyfast_client) == "Paris"
    """,
        *("-p", "anyio.pytest_plugin"),
    )
    assert "1 passed" in output


@pytest.mark.slow
def test_strict_fails_the_test(run: Run) -> None:
    """With the marker's strict=True an unscripted request fails its test; the closest marker wins; bad options fail."""
    output = run(
        ASK
        + """
    pytestmark = pytest.mark.anyfast_simulator(strict=True, seed=3)

    def test_unscripted(anyfast_simulator, anyfast_client):
        with pytest.raises(Exception):
            asyncio.run(ask(anyfast_client))

    @pytest.mark.anyfast_simulator(strict=False)
    def test_closer(anyfast_simulator, anyfast_client):
        asyncio.run(ask(anyfast_client))

    @pytest.mark.anyfast_simulator(strcit=True)
    def test_misspelt(anyfast_simulator):
        pass
    """,
        code=1,
    )
    assert "no scripted reply for POST /v1/chat/completions" in output
    assert "unexpected keyword argument 'strcit'" in output
    assert "2 passed, 2 errors" in output


@pytest.mark.slow
def test_documented(run: Run) -> None:
    """``pytest --fixtures`` and ``--markers`` say what there is."""
    fixtures = run("", "--fixtures", code=0)
    names = re.findall(r"^(anyfast_\w+) -- ", fixtures, re.MULTILINE)
    assert sorted(names) == ["anyfast_cassette", "anyfast_client", "anyfast_no_wait", "anyfast_simulator"]
    assert "no docstring available" not in fixtures
    assert "@pytest.mark.anyfast_simulator(**options): options of the simulator" in run("", "--markers")


# -- the documented example ------------------------------------------------------------------------------------------

REPEAT = """
import random, sys
import pytest

class Shuffled:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.counts = []
    def pytest_collection_modifyitems(self, items):
        self.random.shuffle(items)
    def pytest_sessionfinish(self, session):
        self.counts.append((session.testscollected, session.testsfailed))

first, last = map(int, sys.argv[1:])
counts = set()
for seed in range(first, last):
    shuffled = Shuffled(seed)
    code = pytest.main(["-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", ".",
        "-p", "anyfast_async.pytest_plugin", "test_triage.py"], plugins=[shuffled])
    counts.update(shuffled.counts)
    assert code == 0, (seed, code)
print("COUNTS", sorted(counts))
"""


@pytest.mark.reliability
@pytest.mark.timeout(1200)
def test_example_in_random_order(tmp_path: Path) -> None:
    """The example's tests, twelve or more, pass in any order, again and again in one process (100 times if long)."""
    for name in ("triage.py", "test_triage.py"):
        shutil.copy(ROOT / "examples" / name, tmp_path)
    (tmp_path / "repeat.py").write_text(REPEAT, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    times = 100 if LONG else 2
    done = subprocess.run(
        [sys.executable, "-X", "dev", "repeat.py", "0", str(times)],
        cwd=tmp_path,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    ((collected, failed),) = json.loads(done.stdout.rpartition("COUNTS")[2].replace("(", "[").replace(")", "]"))
    assert collected >= 12
    assert failed == 0
    assert times == done.stdout.count(f"{collected} passed")


# -- what it costs where it is not used ------------------------------------------------------------------------------

COST = """
import sys, time
import pytest, _pytest.fixtures
known = set(sys.modules)
started = time.process_time()
import anyfast_async.pytest_plugin
print(1000 * (time.process_time() - started))
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - known} - set(sys.stdlib_module_names)))
print("asyncio" in sys.modules)
"""


@pytest.mark.slow
def test_loading_costs_next_to_nothing() -> None:
    """A run of pytest that does not use the plugin pays 5 ms at most for it (CPU time, the best of five)."""
    costs = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", COST], capture_output=True, text=True, check=True, timeout=30)
        cost, modules, loop = done.stdout.splitlines()
        costs.append(float(cost))
        assert (modules, loop) == ("anyfast_async", "False")
    assert min(costs) <= 5


def test_pytest_finds_it() -> None:
    """Pytest finds the plugin without configuration: the entry point is declared, and installed."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    assert declared["pytest11"] == {"anyfast": "anyfast_async.pytest_plugin"}
    installed = importlib.metadata.entry_points(group="pytest11", name="anyfast")
    assert ["anyfast_async.pytest_plugin"] == [one.value for one in installed]


CASSETTE = """
    import asyncio, os, pytest
    from anyfast_async import AnyFast

    async def ask(prompt):
        async with AnyFast() as client:
            return (await client.complete(prompt)).text

    class TestIt:
        @pytest.mark.parametrize("city", ["Paris/1", "Rome"])
        def test_one(self, anyfast_cassette, city):
            assert asyncio.run(ask("PROMPT " + city)) == "Fine."

    @pytest.mark.anyfast_cassette("named.toml", hash_prompts=True)
    def test_named(anyfast_cassette):
        assert asyncio.run(ask("secret")) == "Fine."
        assert os.environ["ANYFAST_MODEL"] == "gemini-2.5-pro"
"""


@pytest.mark.slow
def test_cassettes(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--anyfast-record records from the environment's gateway; without it, and without that, tests play the files."""
    with Simulator.in_thread() as sim, monkeypatch.context() as environment:
        sim.reply("Fine.")
        environment.setenv("ANYFAST_BASE_URL", sim.base_url)
        environment.setenv("ANYFAST_API_KEY", "sk-live-0123456789abcdef")
        environment.setenv("ANYFAST_MODEL", "gemini-2.5-pro")
        run(CASSETTE, "--anyfast-record")
        assert 3 == len(sim.requests)
    files = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*.toml")}
    folder = "cassettes/test_it"
    assert {"named.toml", f"{folder}/TestIt.test_one-Paris-1.toml", f"{folder}/TestIt.test_one-Rome.toml"} == set(files)
    assert not [
        name for name, path in files.items() if "0123456789" in path.read_text() or "secret" in path.read_text()
    ]
    run(CASSETTE)
    output = run(CASSETTE.replace("PROMPT", "prompt"), code=1)
    assert 'messages[0].content: recorded "PROMPT Rome", sent "prompt Rome"' in output

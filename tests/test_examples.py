"""The programs in examples/ do what they say, against the simulator."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import importlib.util
import io
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from anyfast_async import (
    AnyFast,
    AnyFastError,
    APIConnectionError,
    AuthenticationError,
    ConnectTimeout,
    DeadlineExceeded,
    InternalServerError,
    QueueFullError,
    RateLimitError,
    Timeouts,
)
from anyfast_async.simulator import Simulator

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[1]
QUESTION = {"question": "What is the capital of France?"}


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Serve the simulator from a thread, and point the environment to it."""
    with Simulator.in_thread() as simulator:
        monkeypatch.setenv("ANYFAST_BASE_URL", simulator.base_url)
        monkeypatch.setenv("ANYFAST_API_KEY", "sk-made-up")
        monkeypatch.setenv("ANYFAST_MODEL", "gemini-2.5-flash")
        yield simulator


@pytest.fixture(scope="module")
def service() -> ModuleType:
    """Return examples/service.py as a module."""
    spec = importlib.util.spec_from_file_location("example_service", ROOT / "examples" / "service.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def web(service: ModuleType, gateway: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """Run the service in this process, its start and end included."""
    async with (
        service.app.router.lifespan_context(service.app),
        httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://service") as client,
    ):
        yield client


async def run(name: str, *arguments: str) -> tuple[int | None, str, str]:
    """Run an example as a program; return exit code, output and error output."""
    process = await start(str(ROOT / "examples" / name), *arguments)
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def start(*arguments: str) -> asyncio.subprocess.Process:
    """Start Python with every warning an error."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", *arguments),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


# -- service.py ------------------------------------------------------------------------------------------------------


async def test_ask(web: httpx.AsyncClient, gateway: Simulator) -> None:
    """POST /ask answers with the text and the tokens, of one request."""
    gateway.reply("Paris", usage={"total_tokens": 12})

    response = await web.post("/ask", json=QUESTION)

    assert (200, {"text": "Paris", "total_tokens": 12}) == (response.status_code, response.json())
    assert ["What is the capital of France?"] == [r.body["messages"][0]["content"] for r in gateway.requests]


async def test_stream_gives_the_text(web: httpx.AsyncClient, gateway: Simulator) -> None:
    """POST /stream answers with the same text, streamed from the gateway."""
    gateway.reply(chunks=["Pa", "ris", ", of course"])

    response = await web.post("/stream", json=QUESTION)

    assert (200, "Paris, of course") == (response.status_code, response.text)
    assert "text/plain; charset=utf-8" == response.headers["content-type"]
    assert [True] == [r.body["stream"] for r in gateway.requests]


@pytest.mark.parametrize("path", ["/ask", "/stream"])
@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        ({"status": 429, "retry_after": 200}, (429, "200", "rate_limit")),
        ({"status": 401}, (502, None, "auth")),
        ({"status": 403, "code": "insufficient_user_quota"}, (502, None, "quota")),
        ({"status": 400}, (502, None, "bad_request")),
    ],
)
async def test_refusals(
    path: str, failure: dict[str, Any], expected: tuple[Any, ...], web: httpx.AsyncClient, gateway: Simulator
) -> None:
    """What the gateway refuses becomes a status that a browser understands, also for a stream, at the first try."""
    gateway.fail(**failure)

    response = await web.post(path, json=QUESTION)

    assert expected == (response.status_code, response.headers.get("retry-after"), response.json()["error"])
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(("path", "kind"), [("/ask", "response_timeout"), ("/stream", "first_token_timeout")])
async def test_slow_gateway(
    path: str, kind: str, service: ModuleType, web: httpx.AsyncClient, gateway: Simulator
) -> None:
    """A gateway that does not answer in time becomes a 504."""
    gateway.reply(ttft=30)
    whole: AnyFast = service.app.state.client
    service.app.state.client = whole.with_options(timeouts=Timeouts(first_token=0.1, response=0.1))

    response = await web.post(path, json=QUESTION)

    assert (504, {"error": kind}) == (response.status_code, response.json())


@pytest.mark.parametrize(
    ("kind", "status", "wait"),
    [
        (RateLimitError, 429, "30"),
        (QueueFullError, 429, "30"),
        (ConnectTimeout, 504, None),
        (DeadlineExceeded, 504, None),
        (APIConnectionError, 502, "30"),
        (InternalServerError, 502, None),
        (AuthenticationError, 502, None),
    ],
)
async def test_error_statuses(kind: type[AnyFastError], status: int, wait: str | None, service: ModuleType) -> None:
    """Each family of errors has its status; Retry-After stands only where waiting helps."""
    response = await service.failed(None, kind("with words for the log only"))

    assert (status, wait) == (response.status_code, response.headers.get("retry-after"))
    assert kind.kind == json.loads(response.body)["error"]


async def test_stream_that_breaks_off(web: httpx.AsyncClient, gateway: Simulator) -> None:
    """A stream that breaks off after its first content ends with a line that says so."""
    gateway.reply(chunks=["Pa", "ris", " is", " it"])
    gateway.cut(after=3)

    response = await web.post("/stream", json=QUESTION)

    assert (200, "Paris\n[the answer broke off: incomplete]") == (response.status_code, response.text)


async def test_no_question(web: httpx.AsyncClient, gateway: Simulator) -> None:
    """A request without a question is the browser's mistake, and nothing is sent."""
    response = await web.post("/ask", json={"question": ""})

    assert (422, []) == (response.status_code, gateway.requests)


@contextlib.asynccontextmanager
async def uvicorn() -> AsyncIterator[str]:
    """Serve examples/service.py with uvicorn; the value is where."""
    process = await start("-m", "uvicorn", "examples.service:app", "--host", "127.0.0.1", "--port", "0")
    assert process.stderr is not None
    log = b""
    try:
        async with asyncio.timeout(20):
            while not (found := re.search(rb"running on (http://[\d.:]+)", log)):
                line = await process.stderr.readline()
                assert line, log.decode()
                log += line
        yield found[1].decode()
    finally:
        process.terminate()
        async with asyncio.timeout(20):
            _, rest = await process.communicate()
    assert b"Application shutdown complete" in rest
    assert b"Traceback" not in log + rest


@pytest.mark.slow
async def test_real_server(gateway: Simulator) -> None:
    """Behind a real server a stream arrives piece by piece, and a browser that leaves ends the gateway's work."""
    loop = asyncio.get_running_loop()
    async with uvicorn() as url, httpx.AsyncClient(base_url=url, timeout=20) as browser:
        gateway.reply(chunks=["one ", "two ", "three"])
        gateway.stall(after=2, seconds=0.2)
        arrived: list[tuple[str, float]] = []
        async with browser.stream("POST", "/stream", json=QUESTION) as response:
            arrived.extend([(text, loop.time()) async for text in response.aiter_text()])

        assert "one two three" == "".join(text for text, _ in arrived)
        assert len(arrived) >= 2
        assert arrived[-1][1] - arrived[0][1] >= 0.1

        gateway.stall(after=2)
        async with browser.stream("POST", "/stream", json=QUESTION) as response:
            assert "one " == await anext(response.aiter_text())
        async with asyncio.timeout(5):
            while not gateway.requests[-1].disconnected:
                await asyncio.sleep(0.01)

        assert "one two three" == (await browser.post("/ask", json=QUESTION)).json()["text"]


# -- stream.py -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_stream_program(gateway: Simulator) -> None:
    """stream.py prints the answer to its arguments as it comes, and how it went."""
    gateway.reply(chunks=["one ", "two ", "three"])
    gateway.stall(after=2, seconds=0.2)
    process = await start("examples/stream.py", "Count", "to", "three")
    assert process.stdout is not None
    async with asyncio.timeout(30):
        first = await process.stdout.read(100)
        rest, err = await process.communicate()

    assert (0, b"one ") == (process.returncode, first)
    assert b"two three\n" == rest
    assert re.fullmatch(rb"gemini-2.5-flash: first token after .* tokens, finish_reason stop\n", err)
    assert "Count to three" == gateway.requests[0].body["messages"][0]["content"]


async def test_stream_program_without_a_key(gateway: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """stream.py without a key says what is missing, exits with 1 and sends nothing."""
    monkeypatch.delenv("ANYFAST_API_KEY")

    code, out, err = await run("stream.py", "Hello")

    assert (1, "", []) == (code, out.strip(), gateway.requests)
    assert "ANYFAST_API_KEY" in err


# -- map_prompts.py --------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_map_program(gateway: Simulator) -> None:
    """map_prompts.py writes one row per line of examples/prompts.jsonl, each with its own answer."""
    lines = (ROOT / "examples" / "prompts.jsonl").read_text(encoding="utf-8").splitlines()

    code, out, err = await run("map_prompts.py")

    rows = list(csv.DictReader(io.StringIO(out)))
    assert (0, 200) == (code, len(lines))
    assert {json.loads(line)["custom_id"] for line in lines} == {row["id"] for row in rows}
    assert all(row["text"] and not row["error"] for row in rows)
    assert len(lines) == len(rows) == len(gateway.requests)
    assert "200 done, 0 failed" in err


async def test_map_program_with_a_bad_line(gateway: Simulator, tmp_path: Path) -> None:
    """A line that cannot be sent is a row with its error, the others are answered, and the exit code is 1."""
    gateway.reply("yes")
    bodies = [{"messages": [{"role": "user", "content": "Is it?"}], "temperature": t} for t in (1, 2.1)]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"custom_id": f"row-{i}", "body": b}) + "\n" for i, b in enumerate(bodies)))

    code, out, _ = await run("map_prompts.py", str(path))

    good, bad = sorted(csv.DictReader(io.StringIO(out)), key=lambda row: row["id"])
    assert (1, 1) == (code, len(gateway.requests))
    assert ("row-0", "yes", "") == (good["id"], good["text"], good["error_kind"])
    assert ("row-1", "", "validation") == (bad["id"], bad["text"], bad["error_kind"])
    assert "temperature" in bad["error"]

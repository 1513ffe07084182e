"""The services of the documentation under real servers: visitors who leave, SIGTERM, and processes that fork.

`nox -s services` runs all of it, on every server; else it is uvicorn alone, and the visitors who leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import attrs
import httpx
import pytest

from anyfast_async.simulator import Simulator

HOWTO = Path(__file__).parents[1] / "docs" / "howto"
BODY = b'{"any": "json"}'
GRACE = "8"
"""Seconds that a server waits at its end."""
TOTAL = "4"
"""Seconds that a call may take there, where the documentation has 60."""
COMMANDS = {
    "uvicorn": ("uvicorn", "app:app", "--host", "127.0.0.1", "--port", "{port}", "--timeout-graceful-shutdown", GRACE),
    "hypercorn": ("hypercorn", "app:app", "--bind", "127.0.0.1:{port}", "--graceful-timeout", GRACE),
    "granian": (
        *("granian", "--interface", "asgi", "app:app", "--host", "127.0.0.1", "--port", "{port}"),
        *("--workers-kill-timeout", GRACE),
    ),
    "gunicorn": (
        *("gunicorn", "app:app", "-k", "uvicorn_worker.UvicornWorker", "--preload", "-b", "127.0.0.1:{port}"),
        *("--graceful-timeout", GRACE),
    ),
    "aiohttp": ("web_app",),
}
MIDDLEWARE = """

@app.middleware("http")
async def noted(request, call_next):
    return await call_next(request)
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


ALL = bool(os.environ.get("SERVICES"))
in_full = pytest.mark.skipif(not ALL, reason="nox -s services runs it")
SERVERS = [*COMMANDS] if ALL else ["uvicorn"]
ASGI = [server for server in SERVERS if server != "aiohttp"]


def block(page: str, name: str) -> str:
    """The block of a page of the how-tos that begins with the comment ``# name``."""
    text = (HOWTO / page).read_text(encoding="utf-8")
    (found,) = re.findall(
        rf"^```(?:python|{{code-block}} python)\n(# {re.escape(name)}\n.*?)^```$", text, re.MULTILINE | re.DOTALL
    )
    return str(found)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Simulator]:
    with Simulator.in_thread() as simulator:
        yield simulator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The services of the documentation as files: with a stream, an error handler, and a shorter deadline."""
    page = "await-in-a-service.md"
    text = (HOWTO / page).read_text(encoding="utf-8")
    (handler,) = re.findall(
        r"^```python\n(from anyfast_async import AnyFastError.*?)^```$", text, re.MULTILINE | re.DOTALL
    )
    stream = block("stream-to-a-browser.md", "app.py").partition("app = FastAPI(lifespan=lifespan)\n")[2]
    parts = [block(page, "app.py"), handler, "from fastapi.responses import StreamingResponse\n", stream]
    service = "\n".join(parts)
    (tmp_path / "app.py").write_text(service, encoding="utf-8")
    (tmp_path / "behind.py").write_text(service + MIDDLEWARE, encoding="utf-8")
    web = block(page, "web_app.py").replace("timeout=65", f"timeout={GRACE}")
    web = web.replace("port=8000", "port=int(sys.argv[1])").replace("from aiohttp", "import sys\nfrom aiohttp", 1)
    (tmp_path / "web_app.py").write_text(web, encoding="utf-8")
    return tmp_path


@attrs.frozen
class Service:
    """A service that runs."""

    port: int
    process: asyncio.subprocess.Process

    async def ask(self, question: str = "Hi") -> httpx.Response:
        async with httpx.AsyncClient(timeout=60) as browser:
            return await browser.post(f"http://127.0.0.1:{self.port}/ask", params={"question": question}, content=BODY)

    async def ended(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(40):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def served(server: str, folder: Path, gateway: Simulator, app: str = "app") -> AsyncIterator[Service]:
    """Run a service under a server, as its command does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    module, *arguments = (one.format(port=port).replace("app:app", f"{app}:app") for one in COMMANDS[server])
    environment = {
        **os.environ,
        "ANYFAST_BASE_URL": gateway.base_url,
        "ANYFAST_API_KEY": "any-key",
        "ANYFAST_MODEL": "gemini-2.5-flash",
    }
    command = [sys.executable, "-m", module, *(arguments or [str(port)])]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(60):
            while not await answers(port):
                assert process.returncode is None, (folder / "log").read_text(encoding="utf-8")
                await asyncio.sleep(0.05)
        yield Service(port, process)
    finally:
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(40):
                await process.wait()


async def answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def left(service: Service, gateway: Simulator, path: str) -> float:
    """Ask, leave when the gateway works on it, and return the seconds until the gateway sees that it is for nobody."""
    before = len(gateway.requests)
    _, writer = await asyncio.open_connection("127.0.0.1", service.port)
    head = f"POST {path}?question=Hi HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
    async with asyncio.timeout(20):
        while len(gateway.requests) == before:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert not gateway.requests[-1].disconnected
        writer.close()
        began = time.monotonic()
        while not gateway.requests[-1].disconnected:
            await asyncio.sleep(0.005)
    return time.monotonic() - began


@pytest.mark.parametrize("server", SERVERS)
async def test_visitor_leaves(server: str, folder: Path, gateway: Simulator) -> None:
    """The gateway sees that a visitor has left, of an awaited answer and of a stream that is silent; before its end."""
    paths = ["/ask"] if server == "aiohttp" else ["/ask", "/stream"]
    async with served(server, folder, gateway) as service:
        for path in paths:
            gateway.reply(chunks=["one", "two"], ttft=30.0)
            print(f"{server} {path}: {await left(service, gateway, path):.3f} s")  # noqa: T201 - `pytest -rP` shows it
        if "/stream" in paths:
            gateway.reply(chunks=["one", "two"])
            gateway.stall(after=1)
            print(f"{server} in a stream: {await left(service, gateway, '/stream'):.3f} s")  # noqa: T201
        gateway.reply("well")
        assert (await service.ask()).json() == {"text": "well"}
    assert b"Traceback" not in (folder / "log").read_bytes()


@pytest.mark.parametrize("server", ASGI)
async def test_visitor_leaves_behind_a_middleware(server: str, folder: Path, gateway: Simulator) -> None:
    """The same where a middleware stands between that has its own idea of who has read the body."""
    async with served(server, folder, gateway, "behind") as service:
        gateway.reply("late", ttft=30.0)
        print(f"{server} behind: {await left(service, gateway, '/ask'):.3f} s")  # noqa: T201
    assert b"Traceback" not in (folder / "log").read_bytes()


@in_full
@pytest.mark.parametrize("server", SERVERS)
async def test_sigterm(server: str, folder: Path, gateway: Simulator) -> None:
    """At SIGTERM an answer under way comes, who waits for one that takes too long is told, and the server ends."""
    for name in ("app.py", "web_app.py"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("total=60", f"total={TOTAL}"), encoding="utf-8")
    async with served(server, folder, gateway) as service:
        before = len(gateway.requests)
        gateway.reply("in time", when="quick", ttft=1.0)
        gateway.reply("too late", when="slow", ttft=30.0)
        first, second = (asyncio.create_task(service.ask(question)) for question in ("quick", "slow"))
        async with asyncio.timeout(20):
            while len(gateway.requests) < before + 2:
                await asyncio.sleep(0.01)

        code = await service.ended()

        assert (await first).json() == {"text": "in time"}
        told = await second
        assert told.status_code in {500, 504}
        assert server == "aiohttp" or (told.status_code, told.json()) == (504, {"error": "deadline"})
        assert code in {0, -signal.SIGTERM}


@in_full
async def test_gunicorn_preload(folder: Path, gateway: Simulator) -> None:
    """A client that stands at the top of a module is built before gunicorn forks, and serves in each of its workers."""
    service = (folder / "app.py").read_text(encoding="utf-8")
    service = re.sub(
        r"    async with AnyFast\((.*?)\n    \) as client:\n",
        r"    async with CLIENT as client:\n",
        service,
        flags=re.DOTALL,
    )
    built = 'import os\nCLIENT = AnyFast()\nprint("built in", os.getpid(), flush=True)\n\n\n@asynccontextmanager'
    (folder / "early.py").write_text(service.replace("@asynccontextmanager", built, 1), encoding="utf-8")

    async with served("gunicorn", folder, gateway, "early") as running:
        gateway.reply("well")
        assert [(await running.ask()).json() for _ in range(5)] == [{"text": "well"}] * 5
        built_in = re.findall(r"built in (\d+)", (folder / "log").read_text(encoding="utf-8"))
        assert built_in == [str(running.process.pid)]


@in_full
async def test_celery_prefork(folder: Path, gateway: Simulator) -> None:
    """Each of Celery's processes has one client, whose connection is used from task to task; the end is orderly."""
    tasks = block("await-in-a-service.md", "tasks.py")
    transport = (
        'app.conf.broker_transport_options = {"data_folder_in": "q", "data_folder_out": "q", "control_folder": "q"}\n'
    )
    tasks = tasks.replace('broker="redis://localhost"', 'broker="filesystem://"')
    tasks = tasks.replace('backend="redis://localhost"', f'backend="file://{folder / "results"}"')
    (folder / "q").mkdir()
    (folder / "results").mkdir()
    (folder / "tasks.py").write_text(tasks.replace("\n\n\n", f"\n{transport}\n\n", 1), encoding="utf-8")
    (folder / "send.py").write_text(
        "from tasks import ask\n"
        'sent = [ask.delay(f"question {i}") for i in range(20)]\n'
        "print([one.get(timeout=60) for one in sent])\n",
        encoding="utf-8",
    )
    gateway.reply("well")
    before = len(gateway.requests)
    environment = {
        **os.environ,
        "ANYFAST_BASE_URL": gateway.base_url,
        "ANYFAST_API_KEY": "any-key",
        "ANYFAST_MODEL": "gemini-2.5-flash",
    }
    command = ["celery", "-A", "tasks", "worker", "--pool", "prefork", "--concurrency", "2", "--loglevel", "info"]
    with (folder / "log").open("wb") as log:
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *command), cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        sender = await asyncio.create_subprocess_exec(
            *(sys.executable, "send.py"), cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(90):
            out, _ = await sender.communicate()
    finally:
        worker.terminate()
        async with asyncio.timeout(40):
            code = await worker.wait()

    said = (folder / "log").read_text(encoding="utf-8")
    assert (out.decode().strip(), code) == (str(["well"] * 20), 0), said
    assert len(gateway.requests) == before + 20
    assert len({request.connection for request in gateway.requests[before:]}) <= 2
    assert "Traceback" not in said

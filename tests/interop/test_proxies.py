"""Proxies as people put them in front of a gateway: what each makes of trouble, and what the client makes of that.

The upstream is raw sockets and keeps a log of the requests that it read: how often something was sent, and what may
have been billed, is compared with that log and with nothing else.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from anyfast_async import AnyFast, AnyFastError, IncompleteStreamError, Limits, RetryPolicy

if "INTEROP_PROXIES" not in os.environ:
    pytest.skip("INTEROP_PROXIES is not set: `nox -s proxies` installs them and runs this", allow_module_level=True)

PATIENCE: Final = 1
"""Seconds that every proxy here waits for its upstream."""
STARTING: Final = 20.0
LONG: Final = 60_000
"""Characters of a header that is longer than most proxies take; as in upstream.py."""


# -- the upstream ----------------------------------------------------------------------------------------------------


@attrs.frozen
class Upstream:
    """What runs in ``upstream.py``."""

    port: int
    _log: Path

    @property
    def log(self) -> list[str]:
        """The prompt of every request whose last byte was read."""
        return self._log.read_text().splitlines()


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """A gateway of raw sockets."""
    log = tmp_path_factory.mktemp("upstream") / "log"
    log.touch()
    command = [sys.executable, str(Path(__file__).with_name("upstream.py")), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Upstream(int(process.stdout.readline()), log)
        process.kill()


# -- the proxies -----------------------------------------------------------------------------------------------------


NGINX = """
daemon off; worker_processes 1; pid {dir}/pid; error_log stderr warn; user root;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  limit_req_zone $server_port zone=rate:1m rate=20r/s;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_read_timeout {patience}s;
  upstream gateway {{ server 127.0.0.1:{up}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://gateway; }}
    location /limited/ {{ limit_req zone=rate burst=5 nodelay; proxy_pass http://gateway/; }}
    location /down/ {{ proxy_pass http://127.0.0.1:{closed}/; }}
  }}
}}
"""
HAPROXY = """
global
  maxconn 512
defaults
  mode http
  timeout connect 2s
  timeout client 20s
  timeout server {patience}s
  retries 0
frontend in
  bind 127.0.0.1:{port}
  stick-table type integer size 10 expire 1s store http_req_rate(1s)
  http-request track-sc0 int(1) if {{ path_beg /limited/ }}
  http-request deny deny_status 429 if {{ path_beg /limited/ }} {{ sc_http_req_rate(0) gt 20 }}
  http-request replace-path /limited(/.*) \\1 if {{ path_beg /limited/ }}
  use_backend down if {{ path_beg /down/ }}
  default_backend up
backend up
  server up 127.0.0.1:{up}
backend down
  server down 127.0.0.1:{closed}
"""
APACHE = """
ServerRoot {dir}
PidFile {dir}/pid
ServerName localhost
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
ErrorLog {dir}/error.log
User www-data
Group www-data
ProxyTimeout {patience}
ProxyPass /down/ http://127.0.0.1:{closed}/ retry=0
ProxyPass / http://127.0.0.1:{up}/ flushpackets=on retry=0
"""
CADDY = """
{{
  admin 127.0.0.1:{admin}
  auto_https off
  grace_period 5s
}}
http://127.0.0.1:{port} {{
  handle_path /down/* {{
    reverse_proxy 127.0.0.1:{closed}
  }}
  reverse_proxy 127.0.0.1:{up} {{
    flush_interval -1
    transport http {{
      response_header_timeout {patience}s
    }}
  }}
}}
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@attrs.frozen
class Proxy:
    """A running proxy in front of the upstream."""

    name: str
    url: str
    reload: Callable[[], None]


def _started(name: str, folder: Path, upstream: Upstream) -> tuple[Proxy, subprocess.Popen[bytes]]:
    port, admin = free_port(), free_port()
    closed = free_port()  # where nobody listens
    text = {"nginx": NGINX, "haproxy": HAPROXY, "apache2": APACHE, "caddy": CADDY}[name].format(
        dir=folder,
        port=port,
        up=upstream.port,
        closed=closed,
        patience=PATIENCE,
        admin=admin,
        modules="/usr/lib/apache2/modules",
    )
    config = folder / ("Caddyfile" if name == "caddy" else "conf")
    config.write_text(text)
    program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or name
    command = {
        "nginx": [program, "-c", str(config), "-p", str(folder)],
        "haproxy": [program, "-W", "-f", str(config)],
        "apache2": [program, "-D", "FOREGROUND", "-f", str(config)],
        "caddy": [program, "run", "--config", str(config), "--adapter", "caddyfile"],
    }[name]
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT, cwd=folder)

    def reload() -> None:
        if name == "caddy":
            headers = {"Content-Type": "text/caddyfile", "Cache-Control": "must-revalidate"}
            request = urllib.request.Request(f"http://127.0.0.1:{admin}/load", text.encode(), headers, method="POST")
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - on loopback
        else:
            process.send_signal({"nginx": signal.SIGHUP, "haproxy": signal.SIGUSR2, "apache2": signal.SIGUSR1}[name])

    deadline = time.monotonic() + STARTING
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2).close()
            break
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"{name} did not start: {(folder / 'output').read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
    return Proxy(name, f"http://127.0.0.1:{port}", reload), process


@pytest.fixture(scope="module", params=["nginx", "haproxy", "apache2", "caddy"])
def proxy(
    request: pytest.FixtureRequest, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """One of the proxies, with what Debian packages of it."""
    folder = tmp_path_factory.mktemp(request.param)
    folder.chmod(0o755)
    proxy, process = _started(request.param, folder, upstream)
    yield proxy
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# -- what is told ----------------------------------------------------------------------------------------------------


def told(error: AnyFastError) -> dict[str, Any]:
    """Return what an error says, and of its attempts how each ended and whether it was billed."""
    return {
        "kind": error.kind,
        "status": getattr(error, "status_code", None),
        "billed": error.billed,
        "spoken_by": error.spoken_by,
        "attempts": [(a.status_code, a.billed) for a in error.attempts],
    }


async def failure(client: AnyFast, prompt: str, **options: Any) -> AnyFastError:
    with pytest.raises(AnyFastError) as caught:
        await client.complete(prompt, **options)
    return caught.value


TIMEOUT = {
    "nginx": 504,
    "haproxy": 504,
    "apache2": 502,  # "Error reading from remote server": its word for a timeout of a keep-alive connection too
    "caddy": 504,
}
DOWN = {"nginx": 502, "haproxy": 503, "apache2": 503, "caddy": 502}


@pytest.fixture
def client(proxy: Proxy, connect: Callable[..., AnyFast]) -> AnyFast:
    return connect(proxy.url, retry=RetryPolicy(backoff=(0.01, 0.02)))


async def test_answer(client: AnyFast, upstream: Upstream) -> None:
    """An answer comes through whole, and a stream event by event."""
    assert (await client.complete("hello whole")).text == "hello whole"
    async with client.stream("hello stream") as stream:
        assert [text async for text in stream] == ["0 ", "1 ", "2 "]
    assert upstream.log[-2:] == ["hello whole", "hello stream"]


async def test_upstream_that_is_silent(client: AnyFast, proxy: Proxy, upstream: Upstream) -> None:
    """The proxy's page for its own timeout: may have been billed, sent once more, and both stand in the ledger."""
    before = upstream.log.count("silent please")
    error = await failure(client, "silent please")
    status = TIMEOUT[proxy.name]
    assert told(error) == {
        "kind": "server",
        "status": status,
        "billed": "maybe",
        "spoken_by": "proxy",
        "attempts": [(status, "maybe")] * 2,
    }
    assert upstream.log.count("silent please") == before + 2


async def test_upstream_that_is_down(proxy: Proxy, connect: Callable[..., AnyFast]) -> None:
    """Nobody listens behind the proxy. Its page does not prove that, so it may have been billed: one resend."""
    client = connect(f"{proxy.url}/down", retry=RetryPolicy(backoff=(0.01, 0.02)))
    error = await failure(client, "is anybody there")
    status = DOWN[proxy.name]
    assert told(error) == {
        "kind": "server",
        "status": status,
        "billed": "maybe",
        "spoken_by": "proxy",
        "attempts": [(status, "maybe")] * 2,
    }


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_upstream_that_breaks_off(client: AnyFast, upstream: Upstream, how: str) -> None:
    """A stream is cut behind the proxy: what came is handed out, the cut is told, and nothing is sent again."""
    prompt = f"cut by {how}"
    before = upstream.log.count(prompt)
    texts = []
    with pytest.raises(IncompleteStreamError) as caught:
        async with client.stream(prompt) as stream:
            async for text in stream:
                texts.append(text)  # noqa: PERF401 - it ends with an error
    assert texts == ["0 ", "1 ", "2 "]
    assert caught.value.partial is not None
    assert caught.value.partial.text == "0 1 2 "
    assert caught.value.billed == "maybe"
    assert upstream.log.count(prompt) == before + 1


async def test_limiter(proxy: Proxy, upstream: Upstream, connect: Callable[..., AnyFast]) -> None:
    """20 a second are let through, a page is the answer to all others: no row fails, none is sent twice upstream."""
    if proxy.name in ("apache2", "caddy"):
        pytest.skip("has no limiter of its own")
    client = connect(f"{proxy.url}/limited", retry=RetryPolicy(), limits=Limits(concurrency=16))
    prompts = [f"work {number}" for number in range(60)]
    before = Counter(upstream.log)
    results = await client.map(prompts)
    assert [result.error for result in results if not result.ok] == []
    assert Counter(upstream.log) - before == Counter(prompts)
    # What is refused before anything was answered might be a failure: only beside answers a page is a limiter's.
    maybe = [a for result in results for a in result.attempts if a.outcome != "ok" and a.billed != "no"]
    assert len(maybe) <= 16


async def test_long_head_of_an_answer(client: AnyFast, proxy: Proxy, upstream: Upstream) -> None:
    """A header of 60 000 characters: taken where the proxy lets it through, else the proxy's 502 says so."""
    before = upstream.log.count("long head")
    if proxy.name == "caddy":
        assert (await client.complete("long head")).text == "long head"
        return
    error = await failure(client, "long head")
    assert told(error) == {
        "kind": "server",
        "status": 502,
        "billed": "maybe",
        "spoken_by": "proxy",
        "attempts": [(502, "maybe")] * 2,
    }
    assert upstream.log.count("long head") == before + 2


async def test_long_head_of_a_request(client: AnyFast, proxy: Proxy, upstream: Upstream) -> None:
    """A request's header of 60 000 characters is refused by the proxy: not billed, not sent again, nothing upstream."""
    before = len(upstream.log)
    headers = {"X-Long": "y" * LONG}
    if proxy.name == "caddy":
        assert (await client.complete("hello", extra_headers=headers)).text == "hello"
        return
    error = await failure(client, "hello", extra_headers=headers)
    assert told(error) == {
        "kind": "bad_request",
        "status": 400,
        "billed": "no",
        "spoken_by": "proxy",
        "attempts": [(400, "no")],
    }
    assert len(upstream.log) == before


async def test_reload_under_load(proxy: Proxy, upstream: Upstream, connect: Callable[..., AnyFast]) -> None:
    """The proxy is reloaded five times under load: each call has its own answer, and what was sent is in the ledger."""
    client = connect(proxy.url, retry=RetryPolicy(backoff=(0.01, 0.05)), limits=Limits(concurrency=8))
    before = Counter(upstream.log)
    prompts = [f"work reload {number}" for number in range(400)]

    async def reloads() -> None:
        for _ in range(5):
            await asyncio.sleep(0.35)
            await asyncio.to_thread(proxy.reload)

    reloading = asyncio.create_task(reloads())
    results = await client.map(prompts)
    await reloading
    assert [result.error for result in results if not result.ok] == []
    assert [result.text for result in results] == prompts
    sent = Counter(upstream.log) - before
    ledger = Counter({result.item: sum(a.billed != "no" for a in result.attempts) for result in results})
    assert {prompt: count for prompt, count in sent.items() if count > ledger[prompt]} == {}

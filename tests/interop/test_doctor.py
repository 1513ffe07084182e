"""``anyfast doctor`` through nginx, HAProxy and Caddy in front of the simulator, and on servers that others wrote."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from anyfast_async.cli.doctor import probes
from anyfast_async.cli.doctor.diagnosis import Finding, diagnosed
from anyfast_async.cli.doctor.raw_exchange import RawExchanges
from anyfast_async.simulator import Latency, Simulator

MODEL = "gemini-2.5-pro"
PROXIES = pytest.mark.skipif("INTEROP_PROXIES" not in os.environ, reason="`nox -s proxies` installs them")
NGINX = """
daemon off; worker_processes 1; pid {dir}/pid; error_log stderr warn; user root;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{up}; {extra} }} }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 2s
  timeout client 20s
  timeout server 20s
  {extra}
frontend in
  bind 127.0.0.1:{port}
  default_backend up
backend up
  server up 127.0.0.1:{up}
"""
CADDY = """
{{
  admin off
  auto_https off
}}
http://127.0.0.1:{port} {{
  {extra}
  reverse_proxy 127.0.0.1:{up}
}}
"""
COMMANDS = {
    "nginx": (NGINX, "-c", "{config}", "-p", "{dir}"),
    "haproxy": (HAPROXY, "-f", "{config}"),
    "caddy": (CADDY, "run", "--config", "{config}", "--adapter", "caddyfile"),
}
CASES: dict[str, tuple[str, str, dict[str, str]]] = {
    "nginx": ("nginx", "", {"proxy": "nginx", "streaming-live": "", "body-limit": "413", "leaving-seen": ""}),
    "nginx, the gateway's header ignored": (
        "nginx",
        "proxy_ignore_headers X-Accel-Buffering;",
        {"proxy": "nginx", "streaming-in-lumps": "late", "body-limit": "413"},
    ),
    "nginx, buffers of 1 MiB": (
        "nginx",
        "proxy_ignore_headers X-Accel-Buffering; proxy_buffer_size 1m; proxy_buffers 8 1m; proxy_busy_buffers_size 2m;",
        {"proxy": "nginx", "streaming-buffered": "silence"},
    ),
    "nginx, proxy_buffering off": (
        "nginx",
        "proxy_ignore_headers X-Accel-Buffering; proxy_buffering off; client_max_body_size 64m;",
        {"proxy": "nginx", "streaming-live": "", "body-size-ok": ""},
    ),
    "haproxy": ("haproxy", "", {"proxy": "HAProxy", "streaming-in-lumps": "late", "leaving-unseen": ""}),
    "haproxy, as advised": (
        "haproxy",
        "option http-no-delay\n  option abortonclose",
        {"proxy": "HAProxy", "streaming-live": "", "leaving-seen": ""},
    ),
    "caddy": ("caddy", "", {"proxy": "Caddy", "streaming-live": "", "leaving-seen": "", "body-size-ok": ""}),
    # Whether it compresses hangs on how much comes first, and what it compresses it holds back: either is told.
    "caddy, compressing": ("caddy", "encode gzip", {"proxy": "Caddy"}),
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Simulator]:
    with Simulator.in_thread(latency=Latency(ttft=0.2, per_token=0.02), answer_tokens=80) as sim:
        yield sim


@contextlib.contextmanager
def running(case: str, folder: Path, up: int) -> Iterator[str]:
    program, extra, _ = CASES[case]
    folder.chmod(0o755)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    config = folder / ("Caddyfile" if program == "caddy" else "conf")
    text, *arguments = COMMANDS[program]
    config.write_text(text.format(dir=folder, port=port, up=up, extra=extra))
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") or program
    command = [path, *(one.format(config=config, dir=folder) for one in arguments)]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail((folder / "output").read_text(errors="replace")[-2000:])
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(10)


def found_at(url: str, key: str = "sk-interop") -> dict[str, Finding]:
    async def look() -> Any:
        async with RawExchanges(URL(url), {"Authorization": f"Bearer {key}"}, 30) as raw:
            return await probes.observed(raw, MODEL)

    return {one.name: one for one in diagnosed(asyncio.run(look()))}


@PROXIES
@pytest.mark.parametrize("case", CASES)
def test_proxies(case: str, gateway: Simulator, tmp_path: Path) -> None:
    """Each is named, and what it does to streams, bodies and callers who leave is found."""
    with running(case, tmp_path, gateway.port) as url:
        found = found_at(url)
    told = {name: one.detail for name, one in found.items()}
    print(case, {name: told.get(name) for name in CASES[case][2]})  # noqa: T201

    assert [] == [name for name, detail in CASES[case][2].items() if name not in told or detail not in told[name]]
    assert 1 == sum(name.startswith("streaming-") for name in told)
    advised = [one.advice for name, one in found.items() if name in ("streaming-buffered", "streaming-in-lumps")]
    assert all(CASES[case][0] in advice.lower() for advice in advised)


@pytest.mark.skipif("INTEROP_LITELLM" not in os.environ, reason="`nox -s interop` installs the servers")
@pytest.mark.parametrize("server", ["aimock", "litellm"])
def test_other_servers(server: str, request: pytest.FixtureRequest) -> None:
    """Servers that others wrote answer, so there is no problem; what they are is told."""
    found = found_at(request.getfixturevalue(server))
    print(server, sorted(f"{one.level}:{name}" for name, one in found.items()))  # noqa: T201

    assert [] == [one for one in found.values() if one.level == "problem"]
    assert {"models", "done", "finish-reason", "wrong-key-refused"} <= set(found)
    assert server == "aimock" or "LiteLLM" in found["no-proxy"].detail

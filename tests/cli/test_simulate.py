"""``anyfast simulate``."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anyfast_async import AnyFast


async def test_serves_until_told_to_end(start: Callable[..., Any]) -> None:
    """It prints where it is and the three lines to use it with; SIGTERM ends it with exit code 0."""
    started = await start("simulate", "--port", 0)
    lines = [(await started.process.stdout.readline()).decode().strip() for _ in range(4)]
    url = lines[0].removeprefix("serving ")
    exports = (f"ANYFAST_BASE_URL={url}", "ANYFAST_API_KEY=sk-simulator", "ANYFAST_MODEL=gemini-2.5-flash")
    assert [f"export {one}" for one in exports] == lines[1:]

    async with AnyFast("sk-simulator", base_url=url, model="gemini-2.5-flash") as client:
        assert (await client.complete("Hi")).text
    started.send(signal.SIGTERM)
    ran = await started.ended()

    assert (0, "", "") == (ran.code, ran.out, ran.err)


async def test_requests_are_shown_on_a_terminal(start: Callable[..., Any]) -> None:
    """On a terminal each request is a line: status, path, model, whether it streams; Ctrl-C ends it in good order."""
    started = await start("simulate", "--port", 0, terminal=True)
    await started.shows("Ctrl-C ends it")
    (url,) = re.findall(r"serving (\S+)", started.screen)

    async with AnyFast("sk-simulator", base_url=url, model="gemini-2.5-flash") as client:
        await client.complete("Hi")
        async with client.stream("Hi") as stream:
            await stream.drain()
    await started.shows("200 POST /v1/chat/completions gemini-2.5-flash stream")
    started.send(signal.SIGINT)

    ran = await started.ended()
    assert (0, 2) == (ran.code, ran.out.count("200 POST /v1/chat/completions gemini-2.5-flash"))


def test_a_port_in_use(anyfast: Callable[..., Any]) -> None:
    """A port that is taken is a clear line with the way out, and exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ran = anyfast("simulate", "--port", port)

    assert (2, "") == (ran.code, ran.out)
    assert f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n" in ran.err
    assert "--port 0" in ran.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--quirk", "tool-calls-at-index"], "tool-calls-at-index-0"),
        (["--script", "{}/none.toml"], "none.toml: No such file or directory"),
        (["--script", "{}/bad.toml"], "bad.toml:1: [[fail]] 1 statsu: no such key (did you mean status?)"),
    ],
)
def test_bad_scripts_and_quirks_are_named(
    options: list[str], words: str, anyfast: Callable[..., Any], tmp_path: Path
) -> None:
    """An unknown quirk, a missing file and a wrong key end it at once, naming the place and what is allowed."""
    (tmp_path / "bad.toml").write_text("[[fail]]\nstatsu = 3\n")
    ran = anyfast("simulate", *(option.format(tmp_path) for option in options))
    assert 2 == ran.code
    assert words in ran.err

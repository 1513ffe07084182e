"""Cassettes of servers that others wrote: what is played is what they said, byte by byte, and no key is on it."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from anyfast_async import AnyFast, AnyFastError, RetryPolicy
from anyfast_async.openai import AsyncOpenAI
from anyfast_async.testing import Cassette

if not {"INTEROP_AIMOCK", "INTEROP_LITELLM"} <= set(os.environ):
    pytest.skip("`nox -s interop` installs the servers and runs this", allow_module_level=True)

KEY = "sk-interop"
LONG = "sk-live+0123456789/zq7xw4vk"
"""A key that the servers refuse, and name in their refusals."""
PROMPTS = ("greet me", "what is the weather", "think first", "too fast", "broken", "stop in the middle", "hang up")
MODELS = {"aimock": ("gemini-2.5-pro",), "litellm": ("gemini-2.5-pro", "via-aimock", "throttled", "no-such-model")}


async def exchanged(url: str, model: str, prompt: str, *, streamed: bool, key: str) -> tuple[Any, ...]:
    """One raw exchange: status, content type, the chunks of the body, and whether it broke off."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": streamed, "user": "u"}
    chunks, cut = [b""], False
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session,
        session.post(f"{url}/chat/completions", json=body) as response,
    ):
        try:
            async for data, ended in response.content.iter_chunks():
                chunks[-1] += data
                if ended:
                    chunks.append(b"")
        except aiohttp.ClientError:
            cut = True
        return response.status, response.headers.get("Content-Type"), [one for one in chunks if one], cut


async def all_of(url: str, server: str, key: str) -> list[Any]:
    told: list[Any] = []
    for model in MODELS[server]:
        for prompt in PROMPTS:
            told += [await exchanged(url, model, prompt, streamed=streamed, key=key) for streamed in (False, True)]
    async with AnyFast(key, base_url=url, model=MODELS[server][0], retry=RetryPolicy(attempts=1)) as client:
        told.append(await client.complete("greet me"))
        try:
            told.append(await client.stream("hang up").drain())
        except AnyFastError as error:
            told.append((type(error), error.partial))
    async with AsyncOpenAI(api_key=key, base_url=url) as door:
        messages: Any = [{"role": "user", "content": "greet me"}]
        events = await door.chat.completions.create(model=MODELS[server][0], messages=messages, stream=True)
        told.append([event.model_dump() async for event in events])
    return told


@pytest.mark.parametrize("server", MODELS)
@pytest.mark.parametrize("timing", [False, True])
async def test_equal(request: pytest.FixtureRequest, tmp_path: Path, server: str, timing: bool) -> None:
    """Whole and streamed answers, errors and cuts, through raw requests, client and door: played as recorded."""
    path = tmp_path / "tape.toml"
    async with Cassette(path, record=True, upstream=request.getfixturevalue(server)) as cassette:
        recorded = await all_of(cassette.base_url, server, KEY)
        await exchanged(cassette.base_url, MODELS[server][0], f"my key is {LONG}", streamed=False, key=LONG)
    async with Cassette(path, timing=timing) as cassette:
        played = await all_of(cassette.base_url, server, "another")
    assert recorded == played
    text = path.read_text(encoding="utf-8")
    packed = base64.b64encode(LONG.encode()).decode()
    spellings = {KEY, LONG, LONG[-8:], quote(LONG, safe=""), packed, packed[:20], LONG.encode().hex()}
    assert [] == [spelling for spelling in spellings if spelling in text]
    print(server, len(recorded), "exchanges equal,", len(text), "characters on the cassette")  # noqa: T201

"""Raw requests, for tests of what goes over the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import aiohttp
import attrs
import pytest


@attrs.frozen
class Got:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    chunks: tuple[bytes, ...]
    """The chunks of the transfer coding."""
    cut: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


Raw: TypeAlias = "Callable[..., Any]"


@pytest.fixture
def raw() -> Raw:
    """Ask without a client, and tell what was answered, chunk by chunk."""

    async def ask(base_url: str, body: Any, *, key: str = "sk-any", path: str = "/chat/completions") -> Got:
        chunks, cut = [b""], False
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
            method = "GET" if body is None else "POST"
            async with session.request(method, base_url + path, json=body) as response:
                try:
                    async for data, ended in response.content.iter_chunks():
                        chunks[-1] += data
                        if ended:
                            chunks.append(b"")
                except aiohttp.ClientError:
                    cut = True
                kept = {k: v for k, v in response.headers.items() if k not in ("Date", "Server", "Connection")}
                return Got(response.status, kept, tuple(one for one in chunks if one), cut)

    return ask

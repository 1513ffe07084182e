"""This package: the client with its limits."""

from __future__ import annotations

from typing import Self

from peer import Call, Peer, Terms

from anyfast_async import AnyFast, Limits, RetryPolicy

PACKAGES = ("anyfast-async",)


class Adapter(Peer):
    def store(self) -> str | None:
        return None

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        limits = Limits(concurrency=1_000)
        if terms.limited:
            limits = Limits(
                concurrency=1_000,
                requests_per_minute=terms.requests,
                tokens_per_minute=terms.tokens,
                store=self.store(),
            )
        self.client = AnyFast("sk-own", base_url=terms.gateway, model="m", limits=limits, retry=RetryPolicy(attempts=1))

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def call(self, call: Call) -> None:
        await self.client.complete(call.prompt, max_tokens=call.work.max_tokens)

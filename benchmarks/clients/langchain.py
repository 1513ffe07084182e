"""LangChain's ``ChatOpenAI``: ``ainvoke``, ``astream``, ``abatch``.

More connections are allowed only where the default of 1000 is less than what is asked of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

import httpx2
from langchain_openai import ChatOpenAI
from measure import KEY, MODEL, Client, main
from openai import DefaultAsyncHttpx2Client


class LangChain(Client):
    packages = ("langchain-openai", "langchain-core", "openai", "httpx2", "pydantic")

    async def __aenter__(self) -> Self:
        options: dict[str, Any] = {}
        if self.concurrency > 900:
            count = self.concurrency + 8
            limits = httpx2.Limits(max_connections=count, max_keepalive_connections=count)
            options["http_async_client"] = DefaultAsyncHttpx2Client(limits=limits)
        self.chat = ChatOpenAI(model=MODEL, api_key=KEY, base_url=self.url, max_tokens=200, temperature=0.7, **options)
        return self

    async def complete(self, prompt: str) -> tuple[Any, str | None]:
        return await self.chat.ainvoke(prompt), None

    def read(self, answer: Any) -> str:
        """Read a message of LangChain's; it has its own names."""
        told, usage = answer.response_metadata, answer.usage_metadata
        for name in ("id", "model_name", "system_fingerprint", "finish_reason", "logprobs"):
            told[name]
        for name in ("input_tokens", "output_tokens", "total_tokens", "input_token_details", "output_token_details"):
            usage[name]
        return answer.text

    async def stream(self, prompt: str, see: Callable[[str], object]) -> None:
        async for chunk in self.chat.astream(prompt):
            see(chunk.text)

    async def batch(self, prompts: Iterable[str], see: Callable[[Any], object]) -> None:
        for message in await self.chat.abatch(list(prompts), config={"max_concurrency": self.concurrency}):
            see(message)


if __name__ == "__main__":
    main(LangChain)

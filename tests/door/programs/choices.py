# mypy: ignore-errors
# ruff: noqa: T201
"""Several answers to one question, and the models that can give them."""

import asyncio
import os

from openai import AsyncOpenAI

QUESTION = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Name a colour."}]}


async def main() -> None:
    async with AsyncOpenAI(base_url=os.environ["ANYFAST_BASE_URL"], api_key=os.environ["ANYFAST_API_KEY"]) as client:
        completion = await client.chat.completions.create(**QUESTION, n=3, temperature=1.2, max_tokens=16)
        for choice in completion.choices:
            print(choice.index, choice.finish_reason, choice.message.content)

        texts: dict[int, str] = {}
        stream = await client.chat.completions.create(**QUESTION, n=2, stream=True)
        async for chunk in stream:
            for choice in chunk.choices:
                texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
        print(texts)

        page = await client.models.list()
        print(len(page.data), page.object, page.data[0])
        print([model.id async for model in client.models.list()])


asyncio.run(main())

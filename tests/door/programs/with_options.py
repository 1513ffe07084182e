# mypy: ignore-errors
# ruff: noqa: T201
"""Settings for one client, for a copy of it, and for one call."""

import asyncio
import os

from openai import NOT_GIVEN, AsyncOpenAI, RateLimitError, Timeout

QUESTION = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Say this is a test"}]}


async def main() -> None:
    async with AsyncOpenAI(
        base_url=os.environ["ANYFAST_BASE_URL"],
        api_key=os.environ["ANYFAST_API_KEY"],
        timeout=20.0,
        max_retries=2,
        default_headers={"X-Team": "red", "X-Stage": "test"},
        default_query={"trace": "1"},
    ) as client:
        # Two failures are scripted: the client gets through them by itself.
        completion = await client.chat.completions.create(**QUESTION)
        print(completion.choices[0].message.content, client.max_retries)

        quick = client.with_options(max_retries=0, timeout=Timeout(5.0, connect=1.0))
        try:
            await quick.chat.completions.create(**QUESTION)
        except RateLimitError as error:
            print(error.status_code, quick.max_retries)

        blue = client.with_options(default_headers={"X-Team": "blue"}, default_query={"lane": "fast"})
        await blue.chat.completions.create(**QUESTION)
        bare = client.copy(set_default_headers={"X-Only": "this"}, set_default_query={})
        await bare.chat.completions.create(**QUESTION)

        completion = await client.chat.completions.create(
            **QUESTION,
            extra_headers={"X-Team": "green"},
            extra_query={"page": 2},
            extra_body={"top_k": 5},
            timeout=3.0,
            stop=None,
            temperature=NOT_GIVEN,
            logit_bias={"50256": -100},
            metadata={"run": "7"},
            user="someone",
        )
        print(completion.choices[0].message.content)


asyncio.run(main())

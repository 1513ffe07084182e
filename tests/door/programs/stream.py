# mypy: ignore-errors
# ruff: noqa: T201
"""Tokens as they come: chunks, and the events that they amount to."""

import asyncio
import os

from openai import AsyncOpenAI

MODEL = "gemini-2.5-flash"


async def main() -> None:
    async with AsyncOpenAI(base_url=os.environ["ANYFAST_BASE_URL"], api_key=os.environ["ANYFAST_API_KEY"]) as client:
        messages = [{"role": "user", "content": "Tell me a story about a lighthouse."}]
        stream = await client.chat.completions.create(
            model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}
        )
        async for chunk in stream:
            if chunk.choices:
                print(chunk.choices[0].delta.content or "", end="|")
            if chunk.usage:
                print("\nusage", chunk.usage.total_tokens)
                print(chunk)
        print(stream.response.status_code, stream.response.headers["content-type"])

        async with await client.chat.completions.create(model=MODEL, messages=messages, stream=True) as early:
            async for chunk in early:
                print("first:", chunk.choices[0].delta)
                break

        async with client.chat.completions.stream(
            model=MODEL, messages=messages, stream_options={"include_usage": True}
        ) as events:
            async for event in events:
                if event.type == "content.delta":
                    print(repr(event.delta), len(event.snapshot))
                elif event.type == "content.done":
                    print("done:", event.content)
                else:
                    print(event.type, event.chunk.id, [choice.index for choice in event.snapshot.choices])
            final = await events.get_final_completion()
        print(final.choices[0].message.content, final.choices[0].finish_reason, final.usage)
        print(final.model_dump_json())


asyncio.run(main())

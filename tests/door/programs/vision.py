# mypy: ignore-errors
# ruff: noqa: T201
"""Pictures in a question: from the web, and from bytes."""

import asyncio
import base64
import os

from openai import AsyncOpenAI

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


async def main() -> None:
    async with AsyncOpenAI(base_url=os.environ["ANYFAST_BASE_URL"], api_key=os.environ["ANYFAST_API_KEY"]) as client:
        url = "https://example.com/boardwalk.jpg"
        completion = await client.chat.completions.create(
            model="gemini-2.5-pro",
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is in this image?"},
                        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
                    ],
                }
            ],
            max_tokens=30,
        )
        print(completion.choices[0].message.content)

        encoded = base64.b64encode(PIXEL).decode("utf-8")
        completion = await client.chat.completions.create(
            model="gemini-2.5-pro",
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "And in this one?"},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}},
                    ],
                }
            ],
            max_tokens=30,
        )
        print(completion.choices[0].message.content)
        print(completion.usage.prompt_tokens, completion.usage.prompt_tokens_details)


asyncio.run(main())

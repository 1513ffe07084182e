# mypy: ignore-errors
# ruff: noqa: T201
"""One question, one answer, and everything that can be read from it."""

import asyncio
import os

from openai import AsyncOpenAI

MODEL = "gemini-2.5-flash"


async def main() -> None:
    async with AsyncOpenAI(base_url=os.environ["ANYFAST_BASE_URL"], api_key=os.environ["ANYFAST_API_KEY"]) as client:
        completion = await client.chat.completions.create(
            model=MODEL,
            messages=[
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": "What is the capital of France?"},
            ],
            temperature=0.2,
            max_tokens=40,
        )
        print(completion.choices[0].message.content)
        print(completion.choices[0].finish_reason, completion.model, completion.id, completion.created)
        print(completion.usage)
        print(completion.choices[0].message)
        print(completion.model_dump_json(indent=2))
        print(completion.to_json())
        print(completion.model_dump(exclude_none=True, exclude={"usage"}))
        print(completion.to_dict() == completion.model_dump(exclude_unset=True), completion.model_extra)

        thought = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Why is the sky blue?"}], reasoning_effort="low"
        )
        print(thought.choices[0].message.model_extra)
        print(thought.usage.completion_tokens_details.reasoning_tokens)
    print(client.is_closed())


asyncio.run(main())

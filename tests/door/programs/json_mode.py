# mypy: ignore-errors
# ruff: noqa: T201
"""Answers in JSON, free and by a schema."""

import asyncio
import json
import os

from openai import AsyncOpenAI


async def main() -> None:
    async with AsyncOpenAI(base_url=os.environ["ANYFAST_BASE_URL"], api_key=os.environ["ANYFAST_API_KEY"]) as client:
        completion = await client.chat.completions.create(
            model="gemini-2.5-flash",
            messages=[
                {"role": "system", "content": "You are a helpful assistant designed to output JSON."},
                {"role": "user", "content": "Who won the world series in 2020?"},
            ],
            response_format={"type": "json_object"},
        )
        print(sorted(json.loads(completion.choices[0].message.content)))

        schema = {
            "type": "object",
            "properties": {"name": {"type": "string"}, "inhabitants": {"type": "integer"}},
            "required": ["name", "inhabitants"],
            "additionalProperties": False,
        }
        completion = await client.chat.completions.create(
            model="gemini-2.5-flash",
            messages=[{"role": "user", "content": "The largest city of Japan, please."}],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "city", "strict": True, "schema": schema},
            },
            seed=7,
        )
        city = json.loads(completion.choices[0].message.content)
        print(city["name"], city["inhabitants"], completion.choices[0].finish_reason)


asyncio.run(main())

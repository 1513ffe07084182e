# mypy: ignore-errors
# ruff: noqa: T201
"""Many questions at once."""

import asyncio
import os

from openai import AsyncOpenAI

client = AsyncOpenAI(base_url=os.environ["ANYFAST_BASE_URL"], api_key=os.environ["ANYFAST_API_KEY"])
semaphore = asyncio.Semaphore(4)


async def capital(country: str) -> str:
    async with semaphore:
        completion = await client.chat.completions.create(
            model="gemini-2.5-flash",
            messages=[{"role": "user", "content": f"What is the capital of {country}?"}],
            max_tokens=12,
        )
    return completion.choices[0].message.content or ""


async def main() -> None:
    countries = ["France", "Japan", "Peru", "Kenya", "Norway", "India", "Chile", "Egypt"]
    for country, answer in zip(countries, await asyncio.gather(*map(capital, countries)), strict=True):
        print(f"{country}: {answer}")
    await client.close()


asyncio.run(main())

# mypy: ignore-errors
# ruff: noqa: T201
"""The response around the answer: headers, status, body."""

import asyncio
import json
import os

from openai import AsyncOpenAI, NotFoundError

QUESTION = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Say this is a test"}]}


async def main() -> None:
    async with AsyncOpenAI(base_url=os.environ["ANYFAST_BASE_URL"], api_key=os.environ["ANYFAST_API_KEY"]) as client:
        response = await client.chat.completions.with_raw_response.create(**QUESTION)
        print(response.status_code, response.headers.get("X-New-Api-Version"), response.headers["content-type"])
        print(response.headers.get("x-oneapi-request-id"), response.headers.get("no-such-header"))
        print(response.method, response.http_version, response.is_closed)
        print(response.text)
        print(json.loads(response.content)["id"], response.http_response.json()["model"], response.http_response)
        print(response.retries_taken, response.elapsed.total_seconds() > 0)
        completion = response.parse()
        print(completion.choices[0].message.content)
        print(response.parse() is completion)

        streamed = await client.chat.completions.with_raw_response.create(**QUESTION, stream=True)
        print(streamed.status_code, streamed.headers["content-type"])
        async for chunk in streamed.parse():
            print([choice.delta.content for choice in chunk.choices], end="")
        print()

        models = await client.with_raw_response.models.list()
        print(models.status_code, [model.id for model in models.parse().data])
        try:
            await client.chat.completions.with_raw_response.create(**QUESTION)
        except NotFoundError as error:
            print(error.response.status_code, error.response.json(), error.response.headers.get("x-extra"))
        again = await client.chat.completions.with_raw_response.create(**QUESTION)
        print(again.retries_taken, again.parse().id == completion.id)


asyncio.run(main())

# mypy: ignore-errors
# ruff: noqa: T201
"""What can go wrong, and what it is called."""

import asyncio
import os
import socket

from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    OpenAIError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)

KINDS = (
    BadRequestError,
    AuthenticationError,
    PermissionDeniedError,
    NotFoundError,
    UnprocessableEntityError,
    RateLimitError,
    InternalServerError,
    APITimeoutError,
    APIConnectionError,
    APIStatusError,
    APIError,
    OpenAIError,
)
QUESTION = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Say this is a test"}]}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def main() -> None:
    async with AsyncOpenAI(base_url=os.environ["ANYFAST_BASE_URL"], api_key=os.environ["ANYFAST_API_KEY"]).with_options(
        max_retries=0
    ) as client:
        for _ in range(11):
            try:
                await client.chat.completions.create(**QUESTION)
            except APIStatusError as error:
                print([kind.__name__ for kind in KINDS if isinstance(error, kind)])
                print(error)
                print(repr(error))
                print(error.status_code, error.code, error.type, error.param, error.message)
                print(error.body)
                print(error.response, error.response.headers.get("retry-after"), error.request.method)
        try:
            await client.chat.completions.create(**QUESTION | {"model": "no-such-model"})
        except InternalServerError as error:
            print(error.status_code, error.code)

        try:
            async for chunk in await client.chat.completions.create(
                **QUESTION, stream=True, stream_options={"include_usage": True}
            ):
                print("chunk", len(chunk.choices))
        except APIError as error:
            print(type(error).__name__, error, error.body, error.code, error.type)

        try:
            await client.chat.completions.create(**QUESTION, timeout=0.1)
        except APITimeoutError as error:
            print([kind.__name__ for kind in KINDS if isinstance(error, kind)], error, error.body, error.code)

        closed = client.with_options(base_url=f"http://127.0.0.1:{free_port()}/v1")
        try:
            await closed.chat.completions.create(**QUESTION)
        except APIConnectionError as error:
            print("The server could not be reached:", error, error.request.method, bool(error.__cause__))

        wrong = client.with_options(api_key="sk-wrong-0123456789abcdef")
        try:
            await wrong.models.list()
        except AuthenticationError as error:
            print(error.status_code, error.code, error.type)


asyncio.run(main())

"""A web service that answers questions, whole or streamed.

    pip install fastapi uvicorn
    uvicorn examples.service:app
    curl -N localhost:8000/stream -H 'content-type: application/json' -d '{"question": "Why is the sky blue?"}'

Key and model come from ANYFAST_API_KEY and ANYFAST_MODEL.
"""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

from anyfast_async import (
    AnyFast,
    AnyFastError,
    APITimeoutError,
    ChatStream,
    Limits,
    QueueFullError,
    RateLimitError,
    RetryPolicy,
    Timeouts,
)
from anyfast_async.asgi import DisconnectedError, unless_disconnected

RETRY_AFTER = 30
"""Seconds that a browser is asked to wait where the gateway did not say."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Make the one client of the service, and close it at the end."""
    async with AnyFast(
        limits=Limits(concurrency=100, max_queued=500),  # a longer queue would only make people wait for a timeout
        retry=RetryPolicy(throttle_patience=10),  # somebody is waiting: rather say "later" than hold on for minutes
        timeouts=Timeouts(first_token=60, idle=60, total=120),
    ) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


def client_of(request: Request) -> AnyFast:
    """Return the service's client."""
    client: AnyFast = request.app.state.client
    return client


Client = Annotated[AnyFast, Depends(client_of)]


class Question(BaseModel):
    """What is asked."""

    question: str = Field(min_length=1, max_length=10_000)


class Answer(BaseModel):
    """What is answered."""

    text: str
    total_tokens: int | None


@app.post("/ask")
async def ask(question: Question, client: Client, request: Request) -> Answer:
    """Answer in one piece. A browser that goes away ends the call."""
    completion = await unless_disconnected(request.receive, client.complete(question.question, max_tokens=2000))
    return Answer(text=completion.text, total_tokens=completion.usage.total_tokens if completion.usage else None)


@app.post("/stream")
async def stream(question: Question, client: Client, request: Request) -> StreamingResponse:
    """Answer piece by piece, as plain text."""
    # Awaited here and not in the generator: until the first content has come, the status can still be an error.
    opened = await unless_disconnected(request.receive, client.stream(question.question, max_tokens=2000))
    return StreamingResponse(pieces(opened), media_type="text/plain; charset=utf-8")


async def pieces(opened: ChatStream) -> AsyncIterator[str]:
    """Pass the text on. A browser that goes away ends this, and with it the stream."""
    try:
        async for text in opened:
            yield text
    except AnyFastError as error:
        yield f"\n[the answer broke off: {error.kind}]"  # the status is sent already
    finally:
        await opened.aclose()


@app.exception_handler(AnyFastError)
async def failed(_: Request, error: AnyFastError) -> JSONResponse:
    """Tell the browser what it can do: wait (429), try again (502, 504); the gateway's words stay here."""
    headers: dict[str, str] = {}
    match error:
        case RateLimitError() | QueueFullError():
            status = 429
            headers["Retry-After"] = str(math.ceil(error.retry_after or RETRY_AFTER))
        case APITimeoutError():
            status = 504
        case DisconnectedError():
            status = 499  # nobody reads it
        case _:
            status = 502
            if error.retryable:
                headers["Retry-After"] = str(RETRY_AFTER)
    return JSONResponse({"error": error.kind}, status, headers)

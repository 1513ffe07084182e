"""Sort support tickets: one ticket per line comes in, one line of JSON per ticket goes out.

    ANYFAST_MODEL=gemini-2.5-flash python examples/triage.py < tickets.txt

How a program like this is tested, without a key and without waiting, is shown in test_triage.py.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable
from typing import Literal

import attrs

from anyfast_async import AnyFast, AnyFastError, OutputError

RULES = "You sort support tickets. A ticket is urgent if somebody cannot work."


@attrs.frozen
class Verdict:
    """What becomes of a ticket."""

    team: Literal["billing", "bugs", "other"]
    urgent: bool


UNREADABLE = Verdict("other", urgent=True)
"""For tickets that the model gives no usable verdict on: a person has to look."""


async def triage(client: AnyFast, ticket: str) -> Verdict:
    """Return the verdict on one ticket."""
    try:
        return await client.parse(ticket, Verdict, system=RULES, temperature=0)
    except OutputError:
        return UNREADABLE


async def triage_all(client: AnyFast, tickets: Iterable[str]) -> AsyncIterator[dict[str, object]]:
    """Give a row for every ticket, in their order. A ticket that fails is a row too."""
    async with client.map(tickets, into=Verdict, ordered=True, system=RULES, temperature=0) as results:
        async for result in results:
            yield result.row()


async def draft(client: AnyFast, ticket: str) -> AsyncIterator[str]:
    """Give the draft of an answer as it is written; where it breaks off, say so."""
    try:
        async with client.stream(f"Draft a friendly answer: {ticket}") as stream:
            async for text in stream:
                yield text
    except AnyFastError as error:
        yield f" [{error.kind}]"


async def main() -> None:
    """Sort what comes in."""
    async with AnyFast() as client:
        async for row in triage_all(client, (line.strip() for line in sys.stdin if line.strip())):
            print(json.dumps(row))


if __name__ == "__main__":
    asyncio.run(main())

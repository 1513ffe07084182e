"""Print an answer as it is written.

    python examples/stream.py Tell me a story

The key comes from ANYFAST_API_KEY, the model from ANYFAST_MODEL. Without a key, start `anyfast simulate` in another
terminal, and set ANYFAST_BASE_URL=http://127.0.0.1:8765 and ANYFAST_API_KEY=any.
"""

import asyncio
import sys

from anyfast_async import AnyFast, AnyFastError


async def main(prompt: str) -> int:
    """Stream the answer to *prompt*; return the exit code."""
    try:
        async with AnyFast() as client, client.stream(prompt) as stream:
            async for text in stream:
                print(text, end="", flush=True)
    except AnyFastError as error:
        print(f"\n{error.kind}: {error}", file=sys.stderr)
        return 1
    print()
    completion, trace, usage = stream.completion, stream.completion.trace, stream.completion.usage
    if trace is not None and trace.first_token is not None and usage is not None:
        print(
            f"{completion.model}: first token after {trace.first_token:.2f} s, all after {trace.total:.2f} s, "
            f"{usage.completion_tokens} tokens, finish_reason {completion.finish_reason}",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(" ".join(sys.argv[1:]) or "Tell me a story about a lighthouse.")))

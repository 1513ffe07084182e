"""Answers recorded from real servers, byte for byte, through the real client: none is skipped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from anyfast_async import (
    AnyFastError,
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    ChatCompletion,
    IncompleteStreamError,
    InsufficientQuotaError,
    InternalServerError,
    RateLimitError,
    ResponseShapeError,
    RetryPolicy,
)

if TYPE_CHECKING:
    from conftest import Connect, RawServers

DATA = Path(__file__).parent / "data" / "realservers"
HELLO = "Hello! How can I help you today? Naïve café ☕ — 你好 🚀"
THOUGHTS = "Let me think about it step by step."


@attrs.frozen
class Says:
    """What an answer must say, choice by choice."""

    texts: tuple[str, ...] | None
    """None: what the deltas of the file add up to."""
    finish: str = "stop"
    tokens: int | None = None
    reasoning: str = ""


@attrs.frozen
class Fails:
    """How a call must fail."""

    kind: type[AnyFastError]
    words: str
    retry_class: str
    retry_after: float | None = None
    partial: tuple[str, ...] | None = None


def throttled(words: str, retry_after: float | None = None) -> Fails:
    return Fails(RateLimitError, words, "throttled", retry_after)


def refused(words: str) -> Fails:
    return Fails(InternalServerError, words, "refused")


def lost(words: str) -> Fails:
    """A 500 of LiteLLM's, which says so of whatever happened behind it."""
    return Fails(InternalServerError, words, "ambiguous")


def bad(words: str) -> Fails:
    return Fails(BadRequestError, words, "never")


AIMOCK_MODELS = ["gpt-4", "gpt-4o", "claude-3-5-sonnet-20241022", "gemini-2.0-flash", "text-embedding-3-small"]
LITELLM_MODELS = ["gemini-2.5-pro", "gemini-2.5-flash", "mock-429", "mock-500", "mock-ctx", "limited"]
CUT = "the stream broke off"

EXPECTED: dict[str, Says | Fails | list[str]] = {
    "aimock/chaos_disconnect": Fails(APIConnectionError, "without an answer", "ambiguous"),
    "aimock/chaos_drop": refused("Chaos: request dropped"),
    "aimock/chaos_malformed": Fails(ResponseShapeError, "malformed json", "never"),
    "aimock/chaos_ratelimit": throttled("Chaos: rate limit exceeded", 1),
    "aimock/err_400": bad("Unsupported value: 'temperature'"),
    "aimock/err_401": Fails(AuthenticationError, "check the key that was passed", "never"),
    "aimock/err_429": throttled("Rate limited", 2),
    "aimock/err_429_stream": throttled("Rate limited", 2),
    "aimock/err_503": refused("overloaded"),
    "aimock/err_badjson": bad("Malformed JSON"),
    "aimock/err_noauth": Fails(AuthenticationError, "Invalid API key", "never"),
    "aimock/err_quota": Fails(InsufficientQuotaError, "exceeded your current quota", "never", 1),
    "aimock/flaky_1": refused("Chaos"),
    "aimock/flaky_2": Says(("survived chaos",), tokens=6),
    "aimock/flaky_3": Says(("survived chaos",), tokens=6),
    "aimock/flaky_4": Says(("survived chaos",), tokens=6),
    "aimock/flaky_5": Says(("survived chaos",), tokens=6),
    "aimock/flaky_6": refused("Chaos"),
    "aimock/json_object": Says(('{"ok": true, "n": 3}',), tokens=8),
    "aimock/length": Says(("cut by max_tok",), "length", tokens=6),
    "aimock/models": AIMOCK_MODELS,
    "aimock/nonstream": Says((HELLO,), tokens=30),
    "aimock/reasoning": Says(("42",), tokens=3, reasoning=THOUGHTS),
    "aimock/retry_twice_0": throttled("Rate limited", 1),
    "aimock/retry_twice_1": refused("overloaded"),
    "aimock/retry_twice_2": Says(("third time lucky",), tokens=7),
    "aimock/stream": Says((HELLO,)),
    "aimock/stream_cut": Fails(IncompleteStreamError, CUT, "cut", partial=("this strea",)),
    "aimock/stream_disconnect": Fails(IncompleteStreamError, CUT, "cut", partial=("the so",)),
    "aimock/stream_reasoning": Says(("42",), reasoning=THOUGHTS),
    "aimock/stream_slow": Says(("one two three four five six seven eight nine ten",)),
    "aimock/stream_usage": Says((HELLO,), tokens=30),
    "litellm/body_mock": Says((HELLO,), tokens=30),
    "litellm/err_401": Fails(AuthenticationError, "Incorrect API key provided", "never"),
    "litellm/err_429": throttled("mock rate limit error"),
    "litellm/err_429_stream": throttled("mock rate limit error"),
    "litellm/err_500": lost("mock internal server error"),
    "litellm/err_badjson": bad("Invalid JSON payload"),
    "litellm/err_ctx": bad("context window"),
    "litellm/err_model": bad("Invalid model name"),
    "litellm/err_noauth": Fails(InternalServerError, "Internal Server Error", "ambiguous"),  # no error object
    "litellm/err_nomsgs": bad("Missing required parameter: 'messages'"),
    "litellm/err_upstream_down": lost("Connection error"),
    "litellm/err_upstream_down_stream": lost("Connection error"),
    # The upstream was killed; LiteLLM ends the stream as if it were whole, and nothing in it tells.
    "litellm/err_upstream_killed_midstream": Says(None),
    "litellm/limited_1": Says(("ok",), tokens=30),
    "litellm/limited_2": Says(("ok",), tokens=30),
    "litellm/limited_3": throttled("No deployments available"),
    "litellm/limited_4": throttled("No deployments available"),
    "litellm/models": LITELLM_MODELS,
    "litellm/n2": Says((HELLO, HELLO), tokens=30),
    "litellm/nonstream": Says((HELLO,), tokens=30),
    "litellm/stream": Says((HELLO,)),
    # LiteLLM finishes choice 0 only.
    "litellm/stream_n2": Fails(IncompleteStreamError, "finish_reason", "never", partial=(HELLO, HELLO)),
    "litellm/stream_usage": Says((HELLO,), tokens=31),
    "litellm/via_aimock_429": throttled("Rate limited", 2),
    "litellm/via_aimock_429_stream": throttled("Rate limited", 2),
    "litellm/via_aimock_cut": lost("payload is not completed"),
    "litellm/via_aimock_disconnect": attrs.evolve(refused("payload is not completed"), partial=("the so",)),
    "litellm/via_aimock_filtered": Says(("[filtered]",), "content_filter", tokens=5),
    "litellm/via_aimock_think": Says(("42",), reasoning=THOUGHTS),
    "litellm/via_llamacpp": Says((" backhomewill can",), "length", tokens=27),
    "litellm/via_llamacpp_stream": Says((" every great it?",), "length", tokens=27),
}


def test_every_sample_is_expected() -> None:
    """The table names every recorded file, and nothing else."""
    assert sorted(str(path.relative_to(DATA))[:-4] for path in DATA.glob("*/*.raw")) == sorted(EXPECTED)


def streamed(raw: bytes) -> bool:
    return b"text/event-stream" in raw.partition(b"\r\n\r\n")[0].lower()


def said(raw: bytes) -> tuple[str, ...]:
    """The text of each choice in a recorded stream, read in the plainest way."""
    texts: dict[int, str] = {}
    body = re.sub(rb"\r\n[0-9a-f]+\r\n", b"", b"\r\n" + raw.partition(b"\r\n\r\n")[2])
    for line in body.split(b"\n"):
        if line.startswith((b'data: {"id"', b'data: {"choices"')):
            for choice in json.loads(line.removeprefix(b"data: ").strip()).get("choices", ()):
                texts[choice["index"]] = texts.get(choice["index"], "") + (choice["delta"].get("content") or "")
    return tuple(texts[index] for index in sorted(texts))


def test_plainest_reading_reads() -> None:
    """What the streams are compared with is itself what the servers were told to say."""
    assert said((DATA / "aimock" / "stream.raw").read_bytes()) == (HELLO,)
    assert said((DATA / "litellm" / "stream_n2.raw").read_bytes()) == (HELLO, HELLO)


async def answer(raw: bytes, name: str, raw_server: RawServers, connect: Connect, *, stream: bool) -> Any:
    server = await raw_server([raw, "fin"])
    client = connect(server.base_url, retry=RetryPolicy(attempts=1))
    if name.endswith("models"):
        return [model.id for model in await client.models()]
    return await (client.stream("Hi").drain() if stream else client.complete("Hi"))


def check(expected: Says, completion: ChatCompletion, raw: bytes) -> None:
    texts = said(raw) if expected.texts is None else expected.texts
    assert tuple(choice.message.text for choice in completion.choices if choice.message) == texts
    assert {choice.finish_reason for choice in completion.choices} == {expected.finish}
    assert (completion.usage.total_tokens if completion.usage else None) == expected.tokens
    assert completion.reasoning == expected.reasoning


@pytest.mark.parametrize("name", EXPECTED)
async def test_recorded_answers(raw_server: RawServers, connect: Connect, name: str) -> None:
    """Each recorded answer gives the text, or the error, that its server meant."""
    raw = (DATA / f"{name}.raw").read_bytes()
    expected = EXPECTED[name]
    stream = streamed(raw) or "stream" in name

    match expected:
        case Says():
            check(expected, await answer(raw, name, raw_server, connect, stream=stream), raw)
        case Fails():
            with pytest.raises(AnyFastError, match=re.escape(expected.words)) as caught:
                await answer(raw, name, raw_server, connect, stream=stream)
            error = caught.value
            partial = tuple(c.message.text for c in error.partial.choices if c.message) if error.partial else None
            found = (type(error), error.retry_class, getattr(error, "retry_after", None), partial)
            assert found == (expected.kind, expected.retry_class, expected.retry_after, expected.partial)
        case models:
            assert await answer(raw, name, raw_server, connect, stream=False) == models


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if isinstance(expected, Says)])
async def test_recorded_answers_to_the_other_question(raw_server: RawServers, connect: Connect, name: str) -> None:
    """A stream that answers a call that was not streamed, and the other way round, says the same."""
    raw = (DATA / f"{name}.raw").read_bytes()
    expected = EXPECTED[name]
    assert isinstance(expected, Says)

    check(expected, await answer(raw, name, raw_server, connect, stream=not streamed(raw)), raw)


async def test_unfinished_choice_can_be_accepted(raw_server: RawServers, connect: Connect) -> None:
    """LiteLLM's stream of two choices finishes one; ``accept_missing_finish`` takes it."""
    server = await raw_server([(DATA / "litellm" / "stream_n2.raw").read_bytes(), "fin"])

    completion = await connect(server.base_url).stream("Hi", n=2, accept_missing_finish=True).drain()

    assert [choice.message.text for choice in completion.choices if choice.message] == [HELLO, HELLO]

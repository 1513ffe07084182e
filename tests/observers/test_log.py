"""The log: which line at which level, what is in it, and what never is."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from anyfast_async import AnyFast, AnyFastError, ConfigurationError, RetryPolicy, Timeouts
from anyfast_async._observers import log
from anyfast_async.simulator import Simulator

KEY = "sk-test-0123456789-abcdefgh"
MODEL = "gemini-2.5-pro"


PROMPT = "What is the capital of Zembla?"
ANSWER = "Onhava, as everybody knows"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Log everything."""
    with caplog.at_level(logging.DEBUG, logger="anyfast_async"):
        yield caplog


def lines(logged: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(r.levelname, r.getMessage()) for r in logged.records if r.name == "anyfast_async"]


async def test_one_line_for_an_attempt(logged: pytest.LogCaptureFixture) -> None:
    """A call that comes through at once is one line at DEBUG, with its ids in the text and in the record."""
    async with Simulator() as sim, AnyFast(KEY, base_url=sim.base_url, model=MODEL) as client:
        completion = await client.complete(PROMPT)

    ((level, text),) = lines(logged)
    (record,) = (r for r in logged.records if r.name == "anyfast_async")
    assert "DEBUG" == level
    assert text.startswith("attempt 1 ok (200) after ")
    assert f"request={completion.request_id}" in text
    fields = vars(record)
    assert completion.request_id == fields["request_id"]
    assert f"{MODEL} at {sim.base_url.removesuffix('/v1')}, key 1" == fields["lane"]
    assert (MODEL, 1, None, None) == tuple(fields[name] for name in ("model", "attempt", "wait", "why"))
    assert fields["call_id"] in text


async def test_nothing_is_logged_at_warning_when_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    """With the levels of a program that has set up nothing, a call that comes through says nothing."""
    async with Simulator() as sim, AnyFast(KEY, base_url=sim.base_url, model=MODEL) as client:
        await client.complete(PROMPT)

    assert [] == lines(caplog)


async def test_levels_may_change_at_any_time(caplog: pytest.LogCaptureFixture) -> None:
    """A client that has been used obeys the level that is set after that, on the logger or above it."""
    root = logging.getLogger()
    async with Simulator() as sim, AnyFast(KEY, base_url=sim.base_url, model=MODEL) as client:
        await client.complete(PROMPT)
        assert [] == lines(caplog)
        with caplog.at_level(logging.DEBUG, logger=root.name):
            await client.complete(PROMPT)
            assert ["DEBUG"] == [level for level, _ in lines(caplog)]
            with caplog.at_level(logging.INFO, logger="anyfast_async"):
                await client.complete(PROMPT)
        await client.complete(PROMPT)

    assert 1 == len(lines(caplog))


async def test_a_recovery_is_told_at_info(caplog: pytest.LogCaptureFixture) -> None:
    """Where attempts are not logged, a call that came through after several is, streamed or not."""
    policy = RetryPolicy(first_hold=0.1)
    with caplog.at_level(logging.INFO, logger="anyfast_async"):
        async with Simulator() as sim, AnyFast(KEY, base_url=sim.base_url, model=MODEL, retry=policy) as client:
            sim.fail(429)
            await client.complete(PROMPT)
            sim.fail(429)
            async with client.stream(PROMPT) as stream:
                await stream.drain()

    assert 2 == len([text for _, text in lines(caplog) if text.startswith("call ok after 2 attempts")])


async def test_a_429_is_a_hold_a_retry_and_a_recovery(logged: pytest.LogCaptureFixture) -> None:
    """Throttling is told as it goes: held, tried again, over, came through; by the same ids."""
    async with (
        Simulator() as sim,
        AnyFast(KEY, base_url=sim.base_url, model=MODEL, retry=RetryPolicy(first_hold=0.1)) as client,
    ):
        sim.fail(429, times=1)
        await client.complete(PROMPT)

    found = lines(logged)
    assert ["WARNING", "INFO", "INFO", "DEBUG", "INFO"] == [level for level, _ in found]
    starts = ["throttled: the lane is held for", "attempt 1 failed: rate_limit (429)", "throttling is over after"]
    starts += ["attempt 2 ok (200)", "call ok after 2 attempts"]
    assert [True] * 5 == [text.startswith(start) for (_, text), start in zip(found, starts, strict=True)]
    assert "; again in " in found[1][1]
    assert 1 == len({vars(r)["call_id"] for r in logged.records if r.name == "anyfast_async"})


async def test_no_prompt_no_answer_no_key(logged: pytest.LogCaptureFixture) -> None:
    """A gateway that quotes the prompt, the answer and the key in an error gets none of them into the log."""
    quoting = f"cannot answer {PROMPT!r} of {KEY}"
    async with Simulator() as sim, AnyFast(KEY, base_url=sim.base_url, model=MODEL) as client:
        sim.reply(ANSWER)
        await client.complete(PROMPT)
        sim.fail(400, message=quoting, code=PROMPT)
        with pytest.raises(AnyFastError, match="Zembla"):
            await client.complete(PROMPT)
        sim.fail(500, message=quoting, times=2)
        patience = Timeouts(total=0.3)
        with pytest.raises(AnyFastError, match=r"Timeouts\.total"):
            await client.with_options(retry=RetryPolicy(backoff=(5, 5)), timeouts=patience).complete(PROMPT)

    text = "\n".join(repr(vars(r)) for r in logged.records if r.name == "anyfast_async")
    assert "bad_request (400) from the gateway" in text
    assert "the call took longer than 0.3 s" in text
    assert not [one for one in (PROMPT, "Zembla", ANSWER, KEY, KEY[-8:]) if one in text]


async def test_a_model_cannot_forge_a_line(logged: pytest.LogCaptureFixture) -> None:
    """What a caller names a model stays in its line."""
    async with Simulator() as sim, AnyFast(KEY, base_url=sim.base_url) as client:
        with pytest.raises(AnyFastError):
            await client.complete(PROMPT, model="m\nERROR forged")

    found = lines(logged)
    assert len(found) == 2
    assert not [text for _, text in found if "\n" in text]


@pytest.mark.parametrize("value", ["verbose", "debug,info", "10"])
def test_anyfast_log_names_a_level(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another word than a level is an error that says what is allowed."""
    monkeypatch.setenv("ANYFAST_LOG", value)

    with pytest.raises(ConfigurationError, match="ANYFAST_LOG must be one of debug, info, warning, error, not"):
        AnyFast(KEY)


PROGRAM = """
import asyncio, logging, sys
from anyfast_async import AnyFast
from anyfast_async.simulator import Simulator

KEY = "sk-test-0123456789-abcdefgh"
MODEL = "gemini-2.5-pro"
if "own" in sys.argv:
    logging.basicConfig(level=logging.DEBUG, format="own %(name)s %(message)s")
with Simulator.in_thread() as sim:
    async def main():
        async with AnyFast("sk-made-up-0123456789", base_url=sim.base_url, model="gemini-2.5-flash") as client:
            await client.complete("Hello")
        AnyFast("sk-made-up-0123456789", base_url=sim.base_url)
    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("arguments", "level", "starts"),
    [([], "", []), ([], "debug", ["20"]), ([], "INFO", []), (["own"], "debug", ["own"])],
)
def test_anyfast_log_shows_the_log(arguments: list[str], level: str, starts: list[str]) -> None:
    """ANYFAST_LOG writes each line once to the standard error, also where the program has a handler that does."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=True, env={"ANYFAST_LOG": level, "PATH": ""}
    )

    found = [line for line in done.stderr.splitlines() if "anyfast_async" in line]
    assert starts == [line[: len(start)] for line, start in zip(found, starts, strict=True)]
    assert all("attempt 1 ok (200)" in line for line in found)


def test_the_handler_follows_the_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes where the standard error is now, not where it was when it was made."""
    handler, now = log._Handler(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", now)
    monkeypatch.setattr(log.LOGGER, "propagate", False)

    handler.emit(logging.LogRecord("anyfast_async", logging.INFO, "", 0, "said", (), None))

    assert now.getvalue().endswith("anyfast_async INFO said\n")

"""``anyfast chat``."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator


def test_the_answer_and_nothing_else(gateway: Simulator, anyfast: Callable[..., Any], bodies: Any) -> None:
    """The answer goes to the standard output with a line end; the model is named on the standard error."""
    gateway.reply("Paris.")

    ran = anyfast("chat", "Capital of France?")

    assert (0, "Paris.\n", "model: gemini-2.5-flash\n") == (ran.code, ran.out, ran.err)
    (body,) = bodies()
    assert ([{"role": "user", "content": "Capital of France?"}], True) == (body["messages"], body["stream"])


def test_options(gateway: Simulator, anyfast: Callable[..., Any], bodies: Any) -> None:
    """Every option reaches the request; a model that was chosen is not announced."""
    options = ("-m", "gemini-2.5-pro", "--system", "Be brief", "--max-tokens", 40, "--temperature", 0.5)

    ran = anyfast("chat", *options, "unquoted", "words")

    (body,) = bodies()
    cut = "(the answer is cut off: max_tokens was reached; raise max_tokens)\n"
    assert (0, "") == (ran.code, ran.err.replace(cut, ""))
    assert ("gemini-2.5-pro", 40, 0.5) == (body["model"], body["max_tokens"], body["temperature"])
    assert ["Be brief", "unquoted words"] == [message["content"] for message in body["messages"]]


def test_the_default_model(anyfast: Callable[..., Any], gateway: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """ANYFAST_MODEL wins over the command's own default, gemini-2.5-flash; either is named."""
    monkeypatch.setenv("ANYFAST_MODEL", "gemini-2.0-flash")
    assert "model: gemini-2.0-flash\n" == anyfast("chat", "hi").err

    monkeypatch.delenv("ANYFAST_MODEL")
    assert "model: gemini-2.5-flash\n" == anyfast("chat", "hi").err

    assert ["gemini-2.0-flash", "gemini-2.5-flash"] == [request.body["model"] for request in gateway.requests]


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        ((), "from stdin"),
        (("-",), "from stdin"),
        (("Summarise", "this:", "-"), "Summarise this:\n\nfrom stdin"),
        (("Before", "-", "after"), "Before\n\nfrom stdin\n\nafter"),
        (("only this",), "only this"),
    ],
)
def test_prompts_from_stdin(
    gateway: Simulator, anyfast: Callable[..., Any], bodies: Any, arguments: tuple[str, ...], content: str
) -> None:
    """The prompt is the arguments, the standard input, or both where - stands; stdin is not read unless asked for."""
    assert 0 == anyfast("chat", *arguments, stdin="from stdin\n").code

    assert [content] == [body["messages"][0]["content"] for body in bodies()]


@pytest.mark.parametrize("arguments", [("chat",), ("chat", "-"), ("chat", "--key-file", "-")])
def test_no_prompt(anyfast: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    """An empty standard input is no prompt, and it cannot hold key and prompt: exit code 2."""
    ran = anyfast(*arguments)

    assert (2, "") == (ran.code, ran.out)
    assert "prompt" in ran.err


def test_as_json(gateway: Simulator, anyfast: Callable[..., Any], bodies: Any) -> None:
    """--json prints the whole completion as one JSON object on one line."""
    gateway.reply("Paris.")

    ran = anyfast("chat", "--json", "Capital of France?")

    value = json.loads(ran.out)
    assert (0, 1) == (ran.code, ran.out.count("\n"))
    assert ("chat.completion", "Paris.") == (value["object"], value["choices"][0]["message"]["content"])
    assert bodies()[0]["stream"] is False


def test_bad_options_are_all_named(anyfast: Callable[..., Any], gateway: Simulator) -> None:
    """Every bad option is named with its range; nothing is sent; exit code 2."""
    ran = anyfast("chat", "hi", "--temperature", 2.1, "--max-tokens", 0)

    assert (2, "", []) == (ran.code, ran.out, gateway.requests)
    assert "temperature: must be a number from 0 to 2, not 2.1" in ran.err
    assert "max_tokens: must be an integer of at least 1, not 0" in ran.err


def test_thinking_used_up_the_tokens(gateway: Simulator, anyfast: Callable[..., Any]) -> None:
    """An answer without text that ran into max_tokens is one clear line and exit code 1."""
    gateway.reply("", finish_reason="length")

    ran = anyfast("chat", "hi", "-m", "gemini-2.5-pro", "--max-tokens", 5)

    assert (1, "") == (ran.code, ran.out)
    assert ran.err.startswith("the answer is empty: ")
    assert "thinking" in ran.err
    assert "max_tokens" in ran.err


def test_cut_at_max_tokens(gateway: Simulator, anyfast: Callable[..., Any]) -> None:
    """An answer that was cut short says so, and is still an answer."""
    gateway.reply("The first", finish_reason="length")

    ran = anyfast("chat", "hi", "-m", "gemini-2.5-pro", "--max-tokens", 2)

    assert (0, "The first\n") == (ran.code, ran.out)
    assert "(the answer is cut off: max_tokens was reached; raise max_tokens)\n" == ran.err


def test_a_broken_stream(gateway: Simulator, anyfast: Callable[..., Any]) -> None:
    """What arrived of a broken answer is printed, ends in a line end, and is followed by the error; exit code 1."""
    gateway.reply(chunks=["one ", "two ", "three"])
    gateway.cut(after=3, times=None)

    ran = anyfast("chat", "hi", "-m", "gemini-2.5-pro")

    assert (1, "one two \n") == (ran.code, ran.out)
    assert ran.err.startswith("error: the stream broke off")


@pytest.mark.parametrize(
    ("status", "code", "advice"), [(401, None, "--simulate"), (403, "insufficient_user_quota", "Add credit")]
)
def test_what_to_do(
    gateway: Simulator, anyfast: Callable[..., Any], status: int, code: str | None, advice: str
) -> None:
    """A refused key and an empty account end with exit code 3 and what to do about it."""
    gateway.fail(status, code=code, times=None)

    ran = anyfast("chat", "hi")

    assert (3, "") == (ran.code, ran.out)
    assert advice in ran.err


EVIL = "\x1b[31mred\x1b]0;title\x07 c1 \x9b31m \u202eover"


def test_raw_in_a_pipe(gateway: Simulator, anyfast: Callable[..., Any]) -> None:
    """In a pipe the answer is what the model said, byte for byte."""
    gateway.reply(EVIL)

    assert f"{EVIL}\n" == anyfast("chat", "hi").out


async def test_escaped_on_a_terminal(gateway: Simulator, start: Callable[..., Any]) -> None:
    """On a terminal nothing the model says can steer it, and JSON stays JSON."""
    gateway.reply(EVIL)

    ran = await (await start("chat", "hi", "--json", terminal=True)).ended()

    assert 0 == ran.code
    _, _, text = ran.out.partition("\n")
    assert EVIL == json.loads(text)["choices"][0]["message"]["content"]
    assert {"\x1b", "\x07", "\x9b", "\u202e"}.isdisjoint(text)


async def test_tokens_as_they_come_and_ctrl_c(gateway: Simulator, start: Callable[..., Any]) -> None:
    """Tokens are shown before the answer is complete; Ctrl-C closes the stream and exits with 130, no traceback."""
    gateway.reply(chunks=["one ", "two ", "three"])
    gateway.stall(after=3)
    started = await start("chat", "hi", terminal=True)
    await started.shows("one two ")

    started.send(signal.SIGINT)
    ran = await started.ended()

    assert (130, "model: gemini-2.5-flash\r\none two \r\ninterrupted\r\n") == (ran.code, ran.out)
    assert [True] == [request.disconnected for request in gateway.requests]

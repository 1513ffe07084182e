"""``anyfast chat``."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async.cli.chat.conversation import Conversation
from anyfast_async.cli.chat.kept import KeptChat

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

    assert (130, "model: gemini-2.5-flash") == (ran.code, ran.out.partition("\r\n")[0])
    *_, text, end = ran.out.splitlines()
    assert (True, "interrupted") == (text.rstrip().endswith("one two"), end)
    assert [True] == [request.disconnected for request in gateway.requests]


# -- on a terminal ---------------------------------------------------------------------------------------------------


async def test_a_session(gateway: Simulator, start: Callable[..., Any], bodies: Any, tmp_path: Path) -> None:
    """Questions go out with what was said before; Ctrl-C ends an answer and not the session; -c goes on with it."""
    gateway.reply("**Paris**.", when="Capital of France")
    gateway.reply(chunks=["It is ", "a ", "long story"], when="history")
    gateway.reply("About two million.", when="And its people")
    gateway.stall(after=3, when="history")
    started = await start("chat", terminal=True)
    await started.shows("> ")
    started.type("Capital of France?\n")
    await started.shows("in all, tokens")
    started.type("Tell me its history\n")
    await started.shows("It is a")
    started.send(signal.SIGINT)
    await started.shows("(stopped; no part of the conversation)")
    started.type("And its people?\n")
    await started.shows("About two million.")
    started.type("/model gemini-2.5-pro\n/exit\n")
    ran = await started.ended()

    assert 0 == ran.code
    assert "Traceback" not in ran.out
    assert "**" not in ran.out
    first, _, third = [[message["content"] for message in body["messages"]] for body in bodies()]
    assert ["Capital of France?"] == first
    assert ["Capital of France?", "**Paris**.", "And its people?"] == third
    assert [False, True, False] == [request.disconnected for request in gateway.requests]

    again = await (await start("chat", "-c", "And the river?", terminal=True)).ended()

    assert 0 == again.code
    assert "goes on with: Capital of France? (2 answered)" in again.out
    said = [message["content"] for message in bodies()[-1]["messages"]]
    assert [*third, "About two million.", "And the river?"] == said
    (kept,) = (tmp_path / "state" / "anyfast" / "chats").iterdir()
    assert b"sk-made-up" not in kept.read_bytes()


async def test_the_end_of_what_is_typed(gateway: Simulator, start: Callable[..., Any]) -> None:
    """Ctrl-C at the prompt takes the line away, Ctrl-D ends with exit code 0; nothing was sent."""
    started = await start("chat", terminal=True, TERM="dumb")
    await started.shows("> ")
    started.type("half a que")
    await started.shows("half a que")
    started.send(signal.SIGINT)
    await started.shows("(/exit or Ctrl-D ends the session)\r\n> ")  # typed before, Ctrl-D would be lost
    started.type("\x04")

    assert (0, []) == ((await started.ended()).code, gateway.requests)


# -- what is kept ----------------------------------------------------------------------------------------------------


def test_going_on_in_a_pipe(
    gateway: Simulator, anyfast: Callable[..., Any], bodies: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a pipe nothing is kept, unless -c goes on with a conversation; model and system message go on with it."""
    where = tmp_path / "anyfast" / "chats"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    gateway.reply("yes")
    assert 0 == anyfast("chat", "Hi").code
    assert not where.exists()
    assert (2, True) == ((ran := anyfast("chat", "-c", "Hi")).code, "no conversation to go on with" in ran.err)

    KeptChat.new(where).write(Conversation("gemini-2.0-flash", "Be brief", [*_exchange("one")]))
    assert "yes\n" == anyfast("chat", "-c", "two").out
    assert "yes\n" == anyfast("chat", "-c", "--no-history", "three").out
    assert 0 == anyfast("chat", "-c", "--json", "-m", "gemini-2.5-pro", "--system", "", "four").code

    models = [(body["model"], [message["content"] for message in body["messages"]]) for body in bodies()[1:]]
    told = ["one", "yes", "two"]
    assert ("gemini-2.0-flash", ["Be brief", *told]) == models[0]
    assert ("gemini-2.0-flash", ["Be brief", *told, "yes", "three"]) == models[1]
    assert ("gemini-2.5-pro", [*told, "yes", "four"]) == (models[2][0], models[2][1][-5:])


def _exchange(said: str) -> tuple[Any, Any]:
    return {"role": "user", "content": said}, {"role": "assistant", "content": "yes"}


def test_a_broken_conversation(
    gateway: Simulator, anyfast: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that cannot be read is said with exit code 2, and left; nothing is sent."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    where = tmp_path / "anyfast" / "chats"
    where.mkdir(parents=True)
    (where / "a.json").write_bytes(b"{")

    ran = anyfast("chat", "-c", "Hi")

    assert (2, [], b"{") == (ran.code, gateway.requests, (where / "a.json").read_bytes())
    assert "a.json is not JSON" in ran.err


# -- images and files ------------------------------------------------------------------------------------------------


def test_in_and_out(gateway: Simulator, anyfast: Callable[..., Any], bodies: Any, tmp_path: Path) -> None:
    """Images and files go out before the question; images of the answer are saved where it is said."""
    (tmp_path / "a.png").write_bytes(b"png")
    (tmp_path / "b.md").write_text("# Notes")
    (tmp_path / "out").mkdir()
    gateway.reply("![image](data:image/png;base64,cG5n)")
    attached = ("--image", tmp_path / "a.png", "--file", tmp_path / "b.md")

    ran = anyfast("chat", *attached, "--image-dir", tmp_path / "out", "What is this?")

    assert (0, "![image](data:image/png;base64,cG5n)\n") == (ran.code, ran.out)
    (file,) = (tmp_path / "out").iterdir()
    assert b"png" == file.read_bytes()
    assert f"image saved: {file}" in ran.err
    picture, notes, text = bodies()[0]["messages"][0]["content"]
    assert "data:image/png;base64,cG5n" == picture["image_url"]["url"]
    assert ("b.md:\n```\n# Notes\n```", "What is this?") == (notes["text"], text["text"])


def test_what_cannot_be_attached(gateway: Simulator, anyfast: Callable[..., Any]) -> None:
    """A file that is not there ends with exit code 2 before anything is sent."""
    ran = anyfast("chat", "--file", "none.txt", "Hi")

    assert (2, []) == (ran.code, gateway.requests)
    assert "cannot attach none.txt: No such file" in ran.err

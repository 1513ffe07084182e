"""The command line as a whole."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async import __version__
from anyfast_async.cli import INSTALL, main
from anyfast_async.cli.app import SUMMARIES
from anyfast_async.cli.app import anyfast as group

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator

COMMANDS = ("chat", "batch", "models", "simulate", "demo")


@pytest.mark.parametrize("command", [(), *((command,) for command in COMMANDS)])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_with_examples(anyfast: Callable[..., Any], command: tuple[str, ...], option: str) -> None:
    """Every command explains itself, with examples that begin with its name."""
    ran = anyfast(*command, option)

    assert (0, "") == (ran.code, ran.err)
    assert "Examples:\n  anyfast" in ran.out.replace("    anyfast", "  anyfast")
    assert all(f" {name} " in ran.out for name in (command or COMMANDS))


def test_version(anyfast: Callable[..., Any]) -> None:
    """--version prints the version of the package."""
    assert f"anyfast {__version__}\n" == anyfast("--version").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cha"], "No such command"),
        (["chat", "--no-such-option"], "No such option"),
        (["chat", "--max-tokens", "many", "hi"], "not a valid integer"),
        (["batch"], "Missing option"),
        (["chat", "--api-key", "sk-secret"], "No such option"),
    ],
)
def test_wrong_usage(anyfast: Callable[..., Any], arguments: list[str], words: str) -> None:
    """Wrong usage is exit code 2 and a message on the standard error; there is no option that takes a key."""
    ran = anyfast(*arguments)

    assert (2, "") == (ran.code, ran.out)
    assert words in ran.err


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str) -> None:
    """Without click or rich the command prints the one line that installs them, and exits with 2."""
    find = PathFinder.find_spec
    monkeypatch.setattr(PathFinder, "find_spec", lambda name, *args: None if name == missing else find(name, *args))
    monkeypatch.delitem(sys.modules, missing, raising=False)

    assert 2 == main(["demo"])

    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert INSTALL in err
    assert "pip install 'anyfast-async[cli]'" == INSTALL


def test_what_is_imported() -> None:
    """The package imports neither click nor rich; the command imports rich only where it draws."""
    code = (
        "import sys, anyfast_async; assert not {'click', 'rich'} & set(sys.modules);"
        "from anyfast_async.cli import main; assert not {'click', 'rich'} & set(sys.modules);"
        "main(['--version']); assert 'rich' not in sys.modules; assert 'click' in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_no_key(anyfast: Callable[..., Any]) -> None:
    """Without a key the message names where it may come from, and the way without one."""
    for arguments in (("chat", "hi"), ("models",)):
        ran = anyfast(*arguments)

        assert (2, "") == (ran.code, ran.out)
        assert all(word in ran.err for word in ("ANYFAST_API_KEY", "ANYFAST_API_KEY_FILE", "--simulate"))
        assert "Traceback" not in ran.err


def test_a_bad_key_does_not_show(anyfast: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A key with an inner line break is refused without being shown."""
    monkeypatch.setenv("ANYFAST_API_KEY", "sk-first\nsk-second")

    ran = anyfast("chat", "hi")

    assert 2 == ran.code
    assert "ANYFAST_API_KEY" in ran.err
    assert "sk-" not in ran.err


@pytest.mark.parametrize("arguments", [("chat", "hi"), ("models",)])
def test_no_network(anyfast: Callable[..., Any], closed_gateway: str, arguments: tuple[str, ...]) -> None:
    """Without a connection there is a clear line, no traceback, and exit code 3."""
    ran = anyfast(*arguments)

    assert (3, "") == (ran.code, ran.out)
    assert f"error: {closed_gateway}: cannot connect" in ran.err
    assert "Is the network up" in ran.err


@pytest.mark.filterwarnings("always::UserWarning")
def test_an_odd_model_is_a_warning_in_one_line(gateway: Simulator, anyfast: Callable[..., Any]) -> None:
    """Warnings of the library come as plain lines, and what the gateway then refuses as exit code 3 with advice."""
    ran = anyfast("chat", "hi", "-m", "gemini-2.5-flsh")

    assert 3 == ran.code
    warning, error, advice = ran.err.splitlines()
    assert warning.startswith("warning: 'gemini-2.5-flsh'")
    assert "model_not_found" in error
    assert "-m" in advice


def test_key_file(
    gateway: Simulator, anyfast: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The key may come from a file or the standard input, and wins over the environment."""
    path = tmp_path / "key"
    path.write_text("sk-from-file\n")

    assert 0 == anyfast("models", "--key-file", path).code
    assert 0 == anyfast("models", "--key-file", "-", stdin="sk-from-stdin\n").code

    keys = [request.headers["authorization"] for request in gateway.requests]
    assert ["Bearer sk-from-file", "Bearer sk-from-stdin"] == keys
    assert 2 == anyfast("models", "--key-file", tmp_path / "nowhere").code


def test_simulate_keeps_the_key_at_home(gateway: Simulator, anyfast: Callable[..., Any]) -> None:
    """With --simulate nothing goes to the configured gateway."""
    assert (0, 0) == (anyfast("models", "--simulate").code, len(gateway.requests))


async def test_a_reader_that_goes(start: Callable[..., Any]) -> None:
    """``anyfast ... | head`` is silent: no traceback, no message at the interpreter's end."""
    started = await start("chat", "--simulate", "Tell me a long story")
    assert started.process.stdout is not None
    await started.process.stdout.read(10)
    started.process.stdout._transport.close()

    assert 141 == await asyncio.wait_for(started.process.wait(), 20)
    assert b"model: gemini-2.5-flash\n" == await started.process.stderr.read()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        (">/dev/full", 3, "error: the summary cannot be written to the standard output (No space left on device)"),
        (">/dev/full 2>/dev/full", 3, ""),
        ("2>/dev/full", 0, ""),
        ("--nonsense 2>/dev/full", 2, ""),
        (">&-", 0, ""),
        (">&- 2>&- <&-", 0, ""),
        ("--json >/dev/full", 3, "error: the summary cannot be written"),
    ],
)
def test_streams_that_take_nothing(tmp_path: Path, redirected: str, code: int, said: str) -> None:
    """Full and closed streams stop no batch: every answer is written, and the exit code says what became of it."""
    (tmp_path / "in.txt").write_text("a\nb\nc\n")
    command = f"{sys.executable} -m anyfast_async batch --simulate -i in.txt -o out.jsonl {redirected}"

    # Unbuffered, as services and containers set it, nothing is left to be written at the end.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}

    ran = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60, env=env
    )

    assert code == ran.returncode, ran.stderr
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    if code != 2:
        assert 3 == len((tmp_path / "out.jsonl").read_text().splitlines())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_reader_on_a_full_stream(tmp_path: Path) -> None:
    """What reads results says in one line that its output cannot be written."""
    (tmp_path / "in.txt").write_text("a\n")
    run = [sys.executable, "-m", "anyfast_async"]
    subprocess.run(
        [*run, "batch", "--simulate", "-i", "in.txt", "-o", "out.jsonl"], cwd=tmp_path, check=True, capture_output=True
    )
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [*run, "results", "out.jsonl"], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert (3, ["error: the standard output cannot be written: No space left on device"]) == (
        ran.returncode,
        ran.stderr.splitlines()[-1:],
    )


def test_the_list_of_commands_loads_none() -> None:
    """``anyfast --help`` is at hand at once: it loads neither a command nor the client."""
    code = "from anyfast_async.cli import main; import sys; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=30)
    loaded = set(done.stdout.split())
    assert "anyfast_async.cli.app" in loaded
    assert (
        loaded & {"aiohttp", "rich", "anyfast_async.client", *(f"anyfast_async.cli.{name}" for name in SUMMARIES)}
        == set()
    )


def test_what_the_list_of_commands_says() -> None:
    """Each command is listed with the beginning of its own help."""
    assert {name: command.get_short_help_str(200) for name, command in group.commands.items()} == SUMMARIES

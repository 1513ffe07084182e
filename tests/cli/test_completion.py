"""What a shell is told while a command is typed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from select import select
from typing import Any

import pytest

SECONDS = 60.0
BASH = shutil.which("bash")


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete -o"), ("zsh", "#compdef anyfast"), ("fish", "complete")]
)
def test_scripts(anyfast: Callable[..., Any], shell: str, word: str) -> None:
    """Each shell gets what it evaluates, and nothing else."""
    if shell == "bash" and BASH is None:
        pytest.skip("click asks bash for its version")
    ran = anyfast("completion", shell)

    assert (0, "") == (ran.code, ran.err)
    assert word in ran.out
    assert "_ANYFAST_COMPLETE" in ran.out


@pytest.mark.parametrize(("shell", "check"), [("zsh", "-n"), ("fish", "--no-execute")])
def test_shells_read_them(anyfast: Callable[..., Any], tmp_path: Path, shell: str, check: str) -> None:
    """The other shells find nothing wrong with theirs."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell}")
    (tmp_path / "completion").write_text(anyfast("completion", shell).out)

    ran = subprocess.run([program, check, tmp_path / "completion"], capture_output=True, check=False, text=True)

    assert (0, "", "") == (ran.returncode, ran.stdout, ran.stderr)


def test_another_shell(anyfast: Callable[..., Any]) -> None:
    """What is no such shell is refused with those that are."""
    ran = anyfast("completion", "tcsh")

    assert 2 == ran.code
    assert "'bash', 'zsh', 'fish'" in ran.err


@pytest.mark.skipif(BASH is None, reason="there is no bash")
def test_bash_completes(anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """In a bash on a terminal, the tabulator completes commands, options, files, models, quirks and profiles."""
    folder = tmp_path / "work"
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "anyfast"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m anyfast_async "$@"\n')
    program.chmod(0o755)
    (folder / "completion").write_text(anyfast("completion", "bash").out)
    (folder / "questions of mine.jsonl").write_text("")
    (folder / "anyfast.toml").write_text("[profiles.nightly]\nrpm = 3\n")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    assert BASH is not None
    bash = subprocess.Popen(
        [BASH, "--norc", "--noprofile", "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PS1": "ready> ", "TERM": "dumb",
             "INPUTRC": os.devnull},
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        _typed(ours, ". ./completion\n", r"ready> $")
        for typed, completed in (
            ("anyfast resu\t", "anyfast results "),
            ("anyfast batch --concurr\t", "anyfast batch --concurrency "),
            ("anyfast batch -i quest\t", r"anyfast batch -i questions\\ of\\ mine.jsonl "),
            ("anyfast chat -m gemini-2.5-flash-l\t", "-m gemini-2.5-flash-lite "),
            ("anyfast chat --profile nig\t", "--profile nightly "),
            ("anyfast batch --set temp\t", "--set temperature="),
            ("anyfast batch --files-under bi\t", "--files-under bin/"),
            ("anyfast chat --image quest\t", r"--image questions\\ of\\ mine.jsonl "),
            ("anyfast simulate --quirk tool-calls-at-i\t", "--quirk tool-calls-at-index-0 "),
        ):
            _typed(ours, typed, completed)
            _typed(ours, "\x15\n", r"ready> $")  # what stands there is taken away
    finally:
        os.close(ours)
        bash.kill()
        bash.wait()


def _typed(terminal: int, text: str, wanted: str) -> None:
    """Type *text*, and wait until *wanted* is shown."""
    os.write(terminal, text.encode())
    shown, until = "", time.monotonic() + SECONDS
    while re.search(wanted, shown) is None:
        assert time.monotonic() < until, shown
        if select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")

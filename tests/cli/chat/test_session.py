"""A session, line by line, without a terminal or a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anyfast_async.cli.chat.conversation import Conversation
from anyfast_async.cli.chat.kept import KeptChatError
from anyfast_async.cli.chat.session import Session, block, unquoted
from anyfast_async.errors import APIConnectionError


class Talk:
    """A session whose answers are made up here."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.begun = 0
        self.failure: BaseException | None = None
        self.session = Session(Conversation("m"), self._ask, self._begin)

    def _ask(self, conversation: Conversation, question: Any) -> None:
        if self.failure is not None:
            raise self.failure
        self.asked.append(question["content"])
        conversation.add(question, {"role": "assistant", "content": "yes"})

    def _begin(self) -> None:
        self.begun += 1


@pytest.fixture
def talk() -> Talk:
    """A session that has just begun."""
    return Talk()


def test_questions(talk: Talk) -> None:
    """A line is a question, an empty one nothing; a slash after a space is asked."""
    assert all(map(talk.session.take, ["Hi", "", "  ", " /etc/passwd?"]))

    assert ["Hi", "/etc/passwd?"] == talk.asked
    assert 4 == len(talk.session.conversation.messages)


def test_commands(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    """/model and /system say and set, and /exit ends."""
    lines = ["/model", "/model n", "/system", "/system Be brief", "/system", "/system -", "/nothing"]
    assert all(map(talk.session.take, lines))
    assert not talk.session.take("/exit")

    said = capsys.readouterr().err.splitlines()
    assert ["model: m", "model: n", "no system message"] == said[:3]
    assert ["system: Be brief", "system: Be brief", "no system message"] == said[3:6]
    assert said[6].startswith("no command /nothing")
    assert ("n", None, []) == (talk.session.conversation.model, talk.session.conversation.system, talk.asked)


def test_attached(talk: Talk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is attached goes out with the next question, and with it alone; it stays if that one got no answer."""
    (tmp_path / "my notes.txt").write_text("notes")
    talk.session.take(f"/file '{tmp_path}/my notes.txt'")
    for failure in (KeyboardInterrupt(), APIConnectionError("gone")):
        talk.failure = failure
        assert talk.session.take("What?")
    talk.failure = None
    talk.session.take("What?")
    talk.session.take("And?")
    talk.session.take("/image")

    assert ["my notes.txt:\n```\nnotes\n```\n\nWhat?", "And?"] == talk.asked
    said = capsys.readouterr().err
    assert 2 == said.count("what was attached stays for the next question")
    assert "(stopped; no part of the conversation; what" in said
    assert "error: gone" in said
    assert "/image needs a path" in said


def test_save(talk: Talk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """/save writes a new file for the user alone, as Markdown or JSON, and never over another one."""
    talk.session.take(f"/save {tmp_path}/none.md")
    talk.session.take("Hi")
    for name in ("a.md", "a.json", "a.md", "no/a.md"):
        talk.session.take(f"/save {tmp_path}/{name}")
    talk.session.take("/save")

    said = capsys.readouterr().err.splitlines()
    assert ["there is nothing to save yet", f"saved: {tmp_path}/a.md", f"saved: {tmp_path}/a.json"] == said[:3]
    assert "is there already; name another one" in said[3]
    assert "cannot be written: No such file" in said[4]
    assert "/save needs a path: /save talk.md" == said[5]
    assert (tmp_path / "a.md").read_text().startswith("# Hi\n")
    assert talk.session.conversation == Conversation.from_json((tmp_path / "a.json").read_bytes())
    assert 0o600 == (tmp_path / "a.md").stat().st_mode & 0o777


def test_new(talk: Talk) -> None:
    """/new begins another conversation with the same model and system message; the old one stays as it was."""
    talk.session.take("/system Be brief")
    talk.session.take("Hi")
    old = talk.session.conversation

    talk.session.take("/new")

    assert (Conversation("m", "Be brief"), 1) == (talk.session.conversation, talk.begun)
    assert 2 == len(old.messages)


def test_blocks() -> None:
    """Three quotes begin and end a question of several lines, which is one whatever it begins with."""
    assert " /a\nb" == block([""], ["/a", "b", '"""', "c"])
    assert " one" == block(['one"""'], [])
    assert " a\n\nb" == block(["a"], ["", 'b"""'])


@pytest.mark.parametrize("given", ["'a b.png'", '"a b.png"', "a\\ b.png", "a b.png"])
def test_paths(given: str) -> None:
    """A path may be quoted, or escaped as terminals do that drop it."""
    assert "a b.png" == unquoted(given)


def test_another_conversation(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    """/list shows what is kept, /load goes on with one of them; one that is not there changes nothing."""
    kept = Conversation("n", None, [{"role": "user", "content": "Old"}, {"role": "assistant", "content": "yes"}])

    def load(name: str) -> Conversation:
        if name != "2":
            message = f"there is no conversation {name}"
            raise KeptChatError(message)
        return kept

    talk.session = Session(Conversation("m"), talk._ask, talk._begin, [], lambda: ["1  a", "2  b"], load)
    assert all(map(talk.session.take, ["/list", "/load", "/load 7"]))
    assert "m" == talk.session.conversation.model
    assert all(map(talk.session.take, ["/load 2", "New"]))

    said = capsys.readouterr().err
    assert "1  a\n2  b\n/load needs the number" in said
    assert "there is no conversation 7\ngoes on with: Old (1 answered, model n)" in said
    assert (kept, 4) == (talk.session.conversation, len(kept.messages))

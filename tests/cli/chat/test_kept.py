"""Files of conversations."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from anyfast_async.cli.chat.conversation import Conversation
from anyfast_async.cli.chat.kept import KeptChat, KeptChatError, folder


def _talk(said: str) -> Conversation:
    return Conversation("m", None, [{"role": "user", "content": said}, {"role": "assistant", "content": "yes"}])


def test_for_the_user_alone(tmp_path: Path) -> None:
    """Folder and file can be read by nobody else, and nothing else is left in the folder."""
    where = tmp_path / "anyfast" / "chats"
    kept = KeptChat.new(where)

    assert kept.write(_talk("one"))
    assert kept.write(_talk("two"))

    assert (0o700, 0o600) == (where.stat().st_mode & 0o777, kept.path.stat().st_mode & 0o777)
    assert [kept.path] == list(where.iterdir())


def test_the_latest(tmp_path: Path) -> None:
    """The conversation that was added to last is gone on with; what is no file of a conversation is not looked at."""
    assert KeptChat.latest(tmp_path / "none") is None
    for number, name in enumerate(("b.json", "a.json", "c.json.tmp")):
        (tmp_path / name).write_bytes(_talk(name).as_json())
        os.utime(tmp_path / name, (number, number))

    found = KeptChat.latest(tmp_path)

    assert found is not None
    assert (tmp_path / "a.json", "a.json") == (found[0].path, found[1].title)


def test_a_broken_file_is_left(tmp_path: Path) -> None:
    """A file that cannot be read is named with the reason, and stays as it is."""
    path = tmp_path / "a.json"
    path.write_bytes(b'{"version": 1, "mod')

    with pytest.raises(KeptChatError, match=r"a\.json is not JSON.*left as it is"):
        KeptChat.latest(tmp_path)

    assert b'{"version": 1, "mod' == path.read_bytes()


def test_two_that_go_on_with_one(tmp_path: Path) -> None:
    """Who finds that another program has written to the file goes on in one of its own: nothing is lost."""
    KeptChat.new(tmp_path).write(_talk("first"))
    mine, theirs = KeptChat.latest(tmp_path), KeptChat.latest(tmp_path)
    assert mine is not None
    assert theirs is not None

    assert theirs[0].write(_talk("theirs"))
    assert not mine[0].write(_talk("mine"))
    assert mine[0].write(_talk("mine again"))

    titles = {Conversation.from_json(path.read_bytes()).title for path in tmp_path.iterdir()}
    assert {"theirs", "mine again"} == titles


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    """What stands in the way of a file or a folder is said with its name."""
    (tmp_path / "file").write_text("")

    with pytest.raises(KeptChatError, match="cannot be written"):
        KeptChat.new(tmp_path / "file" / "chats").write(_talk("x"))
    with pytest.raises(KeptChatError, match="cannot be read"):
        KeptChat.latest(tmp_path / "file")


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversations are in the folder for state; without the package that knows it, the install line is said."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert tmp_path / "anyfast" / "chats" == folder()

    monkeypatch.setitem(sys.modules, "platformdirs", None)
    with pytest.raises(KeptChatError, match=r"pip install 'anyfast-async\[cli\]'"):
        folder()


def test_older_ones(tmp_path: Path) -> None:
    """Conversations are listed from the latest, and found by number, or by a part of the id that no other has."""
    assert [] == list(KeptChat.listed(tmp_path / "none"))
    for number, name in enumerate(("20260101-aa", "20260102-ab", "20260103-ac")):
        (tmp_path / f"{name}.json").write_bytes(_talk(name).as_json() if number else b"{")
        os.utime(tmp_path / f"{name}.json", (number, number))

    assert [
        "  1  20260103-ac    1  20260103-ac",
        "  2  20260102-ab    1  20260102-ab",
        "  3  20260101-aa    -  cannot be read",
    ] == list(KeptChat.listed(tmp_path))
    assert ["20260103-ac", "20260102-ab", "20260102-ab"] == [
        KeptChat.named(tmp_path, name)[1].title for name in ("1", "2", "0102")
    ]
    for name, problem in (("4", "no conversation '4'"), ("2026", "3 conversations have"), ("", "no conversation ''")):
        with pytest.raises(KeptChatError, match=problem):
            KeptChat.named(tmp_path, name)

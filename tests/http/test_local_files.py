"""Reading files that the caller named: regular ones, whole, and bounded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from anyfast_async._http.local_files import content_of, status_of


def test_a_file_comes_whole_or_not_at_all(tmp_path: Path) -> None:
    """Up to the limit a file comes byte for byte, one byte more is refused; links are followed."""
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"a\r\n\x1a\0b")
    link.symlink_to(file)
    assert b"a\r\n\x1a\0b" == content_of(link, 6)
    assert 6 == status_of(link).st_size
    with pytest.raises(ValueError, match=r"^it is larger than 5 bytes$"):
        content_of(link, 5)


def test_what_is_no_file(tmp_path: Path) -> None:
    """A directory, a file that is not there, and a name that no file can have are told apart."""
    with pytest.raises(ValueError, match="it is a directory"):
        content_of(tmp_path, 5)
    with pytest.raises(FileNotFoundError):
        content_of(tmp_path / "away", 5)
    with pytest.raises(ValueError, match="null"):
        content_of(Path("a\0b"), 5)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe or device is refused without being opened; one that came in the meantime is not waited for."""
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    os.mkfifo(pipe)
    file.write_bytes(b"x")
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(ValueError, match="no regular file, but a pipe, a device or a socket"):
            content_of(path, 5)
    monkeypatch.setattr("anyfast_async._http.local_files.status_of", lambda _: None)
    assert content_of(pipe, 5) == b""

"""What goes out beside a question."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from anyfast_async.cli.chat.attachments import AttachmentError, document, fenced, image


def test_images(tmp_path: Path) -> None:
    """An image is read when it is named; a URL goes out as it is."""
    (tmp_path / "a.PNG").write_bytes(b"png")

    assert "data:image/png;base64,cG5n" == image(str(tmp_path / "a.PNG"))["image_url"]["url"]
    assert "https://example.com/x" == image("https://example.com/x")["image_url"]["url"]


def test_texts(tmp_path: Path) -> None:
    """A text of any name goes out under its name, without a mark at its beginning."""
    (tmp_path / "a.py").write_bytes(b"\xef\xbb\xbfprint(1)\n")

    assert {"type": "text", "text": "a.py:\n```\nprint(1)\n```"} == document(str(tmp_path / "a.py"))


def test_fences() -> None:
    """The fence is longer than any in the text."""
    assert fenced("a.md", "```\nx\n```").startswith("a.md:\n````\n```\nx")


@pytest.mark.parametrize(
    ("name", "kind"), [("a.pdf", "file"), ("a.wav", "input_audio"), ("a.mp4", "video_url"), ("a.png", "image_url")]
)
def test_other_kinds(tmp_path: Path, name: str, kind: str) -> None:
    """What models take goes out in the form that they take."""
    (tmp_path / name).write_bytes(b"\x00\xff")

    assert kind == document(str(tmp_path / name))["type"]


@pytest.mark.parametrize(
    ("take", "name", "wrong"),
    [
        (image, "a.pdf", "is no image: it must be one of .png .jpg"),
        (image, "none.png", "cannot attach .*No such file"),
        (document, "none.txt", "cannot attach .*No such file"),
        (document, "a.bin", "is no text in UTF-8, and none of .*.pdf"),
        (document, "pipe", "no regular file"),
        (document, ".", "it is a directory"),
    ],
)
def test_what_cannot_be(tmp_path: Path, take: Any, name: str, wrong: str) -> None:
    """What cannot be attached is named, with the reason."""
    (tmp_path / "a.pdf").write_bytes(b"pdf")
    (tmp_path / "a.bin").write_bytes(b"\xff\xfe\x00")
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(AttachmentError, match=wrong):
        take(str(tmp_path / name))

"""Local files that data names."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from anyfast_async import AnyFastError
from anyfast_async._http.folder_file import MOST, FolderFile, What, media_type
from anyfast_async._http.request_body import encoded
from anyfast_async.messages import ImagePart, UserMessage
from anyfast_async.requests import as_request

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of files, and one beside it that is nobody's business."""
    files = tmp_path / "files"
    (files / "sub").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(PNG)
    (tmp_path / "files2").mkdir()
    (tmp_path / "files2" / "a.png").write_bytes(PNG)
    (files / "a.jpg").write_bytes(PNG)
    (files / "a.gif").write_bytes(b"GIF89a")
    (files / "a.pdf").write_bytes(b"%PDF-1.7")
    (files / "a.txt").write_bytes("Grüße".encode() * 40)
    (files / "cut.txt").write_bytes("Grüße".encode()[:3])
    (files / "empty.png").touch()
    with (files / "large.png").open("wb") as file:
        file.write(PNG)
        file.truncate(MOST + 1)
    (files / "out.png").symlink_to(tmp_path / "secret.png")
    (files / "away").symlink_to(tmp_path)
    (files / "in.png").symlink_to("a.jpg")
    (files / "loop.png").symlink_to("loop.png")
    os.mkfifo(files / "pipe.png")
    return files


@pytest.mark.parametrize("name", ["a.jpg", "sub/../a.jpg", "in.png", "./a.jpg", "{}/a.jpg", "away/files/a.jpg"])
def test_under_the_folder(folder: Path, name: str) -> None:
    """A file is read as what it is, by relative and absolute paths and by links, also if the folder is one itself."""
    link = folder.with_name("link")
    link.symlink_to(folder)

    for root in (folder, link):
        file = FolderFile(root, name.format(root), "image")
        file.check()
        assert (PNG, ".png") == (file.content(), file.suffix)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../secret.png", "it is not under"),
        ("{}/../secret.png", "it is not under"),
        ("../files2/a.png", "it is not under"),
        ("away/secret.png", "it is not under"),
        ("out.png", "it is not under"),
        ("/etc/passwd", "it is not under"),
        ("loop.png", "link"),
        ("pipe.png", "it is no regular file"),
        ("sub", "it is a directory"),
        (".", "it is a directory"),
        ("none.png", "No such file"),
        ("a.gif", r"it is no image that models take \(PNG, JPEG, WebP, HEIC\)"),
        ("a.pdf", "it is no image that models take"),
        ("empty.png", "it is empty"),
        ("large.png", f"it is larger than {MOST} bytes"),
        ("a\0.png", "null"),
        ("a" * 5000, "its name is too long"),
    ],
)
def test_refused(folder: Path, name: str, problem: str) -> None:
    """What leads out of the folder, or is no image, is refused by a look and by reading it."""
    file = FolderFile(folder, name.format(folder), "image")

    with pytest.raises((OSError, ValueError), match=problem):
        file.check()
    with pytest.raises((OSError, ValueError), match=problem):
        file.content()


def test_documents(folder: Path) -> None:
    """A text is one whose beginning ends in the middle of a character, and none if it does so itself."""
    text, pdf = FolderFile(folder, "a.txt", "document"), FolderFile(folder, "a.pdf", "document")

    text.check()
    assert (400 - 120, ".txt") == (len(text.content()), text.suffix)
    assert (b"%PDF-1.7", ".pdf") == (pdf.content(), pdf.suffix)
    with pytest.raises(ValueError, match="it is no document that models take"):
        FolderFile(folder, "cut.txt", "document").check()


@pytest.mark.parametrize(
    ("data", "what", "kind"),
    [
        (b"RIFF0000WEBPVP8 ", "image", "image/webp"),
        (b"\0\0\0\x18ftypheic", "image", "image/heic"),
        (b"\0\0\0\x18ftypmif1", "image", "image/heif"),
        (b"\xff\xd8\xff\xe0", "image", "image/jpeg"),
        (b"%PDF-", "document", "application/pdf"),
        (b"RIFF0000WAVE", "image", None),
        (b"a\0b", "document", None),
        (b"", "document", None),
    ],
)
def test_kinds(data: bytes, what: What, kind: str | None) -> None:
    """Kinds are told by the content."""
    if kind is not None:
        assert kind == media_type(data, what)
        return
    with pytest.raises(ValueError, match="it is"):
        media_type(data, what)


async def test_sent(folder: Path) -> None:
    """It is read when the request is encoded, in a thread; what has gone meanwhile is an error of it."""
    file = FolderFile(folder, "a.jpg", "image")
    request = as_request(UserMessage([ImagePart(file)]), {"model": "m"})

    assert b'"url":"data:image/png;base64,iVBOR' in await encoded(request, stream=False)
    (folder / "a.jpg").unlink()
    with pytest.raises(AnyFastError, match="cannot send the file"):
        await encoded(request, stream=False)
    assert file == pickle.loads(pickle.dumps(file))  # noqa: S301 - its own

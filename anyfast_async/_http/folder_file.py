"""A local file that data names: opened only under a folder that the caller has named, and sent as what it holds."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from anyfast_async._http.local_files import content_of, status_of

What = Literal["image", "document"]

MOST: Final = 20 * 1024 * 1024
"""Largest file in bytes: models take no more within a request."""
_LONGEST_NAME: Final = 4096
_HEAD: Final = 64
"""Bytes by which a kind of file is told."""
_SUFFIXES: Final[Mapping[str, str]] = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/heic": ".heic",
    "image/heif": ".heif",
    "application/pdf": ".pdf",
    "text/plain": ".txt",
}
_HEIC: Final = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis"})
_HEIF: Final = frozenset({b"mif1", b"msf1"})
_TAKEN: Final[Mapping[What, str]] = {"image": "PNG, JPEG, WebP, HEIC", "document": "PDF, text in UTF-8"}

if TYPE_CHECKING:
    _Path = Path
else:
    _Path = type(Path())  # before 3.12 only the system's own can be extended


class FolderFile(_Path):
    """The path of such a file. Nothing is opened when it is made.

    Its suffix is that of what the file holds, once that was read.

    Args:
        folder: under which it must be, links followed.
        name: of the file, from there.
        what: it must be.

    """

    def __new__(cls, folder: Path, name: str, what: What) -> Self:  # noqa: ARG004 - for __init__
        return super().__new__(cls, folder, name)

    def __init__(self, folder: Path, name: str, what: What) -> None:
        if sys.version_info >= (3, 12):
            super().__init__(folder, name)
        self._folder = folder
        self._name = name
        self._what: What = what
        self._kind = ""

    def __reduce__(self) -> tuple[type[FolderFile], tuple[Path, str, What]]:
        return FolderFile, (self._folder, self._name, self._what)

    @property
    def suffix(self) -> str:
        """What says the kind of file, whatever its name says."""
        return _SUFFIXES.get(self._kind, ".png" if self._what == "image" else ".pdf")

    def content(self) -> bytes:
        """Return what it holds.

        Raises:
            OSError: it cannot be read.
            ValueError: it is not under its folder, is no such file, or is too large.

        """
        data = content_of(self._inside(), MOST)
        self._kind = media_type(data, self._what)
        return data

    def check(self) -> None:
        """Look whether :meth:`content` returns something, without reading all of it; raises the same."""
        path = self._inside()
        size = status_of(path).st_size
        if size > MOST:
            message = f"it is larger than {MOST} bytes"
            raise ValueError(message)
        with path.open("rb") as file:
            head = file.read(_HEAD)
        media_type(head, self._what, is_cut=size > len(head))

    def _inside(self) -> Path:
        """Return the file itself."""
        if len(self._name) > _LONGEST_NAME:
            message = "its name is too long"
            raise ValueError(message)
        try:
            root = self._folder.resolve(strict=True)
            path = (root / self._name).resolve(strict=True)
        except RuntimeError:  # before 3.13, a link to itself
            message = "it is a link that leads nowhere"
            raise ValueError(message) from None
        if not path.is_relative_to(root):
            message = f"it is not under {self._folder}"
            raise ValueError(message)
        return path


def media_type(data: bytes, what: What, *, is_cut: bool = False) -> str:
    """Return the media type of what a file holds, told by the content; *is_cut* says that there is more of it.

    Raises:
        ValueError: it is none that models take.

    """
    kind = _by_its_beginning(data)
    if kind is None and what == "document" and _is_text(data, is_cut=is_cut):
        kind = "text/plain"
    if not data:
        problem = "it is empty"
    elif kind is None or (what == "image") != kind.startswith("image/"):
        problem = f"it is no {what} that models take ({_TAKEN[what]})"
    else:
        return kind
    raise ValueError(problem)


def _by_its_beginning(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC | _HEIF:
        return "image/heic" if data[8:12] in _HEIC else "image/heif"
    return "application/pdf" if data.startswith(b"%PDF-") else None


def _is_text(data: bytes, *, is_cut: bool) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        if not (is_cut and error.start >= len(data) - 3):  # in the middle of a character
            return False
    return b"\0" not in data

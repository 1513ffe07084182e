"""Files that go out with a question: read when they are named, so that what was asked can be asked again later."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from anyfast_async._core.json import codec
from anyfast_async._http.local_files import content_of
from anyfast_async._size_limits import MAX_FILE
from anyfast_async._values.text import escaped
from anyfast_async.messages import JSON, MEDIA_TYPES, ImagePart, UserMessage, part_of_path

_URL: Final = ("https://", "http://", "data:image/")


class AttachmentError(Exception):
    """Something cannot be attached; names it and says why."""


def image(given: str) -> JSON:
    """Return the part for an image: a local file, or a URL, which the gateway fetches.

    Raises:
        AttachmentError: it is no image, or cannot be read.

    """
    if given.startswith(_URL):
        return _part(ImagePart(given))
    path = Path(given).expanduser()
    if not _type(path).startswith("image/"):
        kinds = " ".join(suffix for suffix, kind in MEDIA_TYPES.items() if kind.startswith("image/"))
        message = f"{escaped(given, 200)} is no image: it must be one of {kinds}, or an https: URL"
        raise AttachmentError(message)
    return _part(ImagePart(path), path)


def document(given: str) -> JSON:
    """Return the part for a local file: any text, else what models take.

    Raises:
        AttachmentError: it is of another kind, or cannot be read.

    """
    path = Path(given).expanduser()
    if _type(path).partition("/")[0] not in ("", "text"):
        return _part(part_of_path(path), path)
    try:
        text = _read(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        kinds = " ".join(suffix for suffix, kind in MEDIA_TYPES.items() if not kind.startswith("text/"))
        message = f"{escaped(given, 200)} is no text in UTF-8, and none of {kinds}"
        raise AttachmentError(message) from None
    return {"type": "text", "text": fenced(path.name, text)}


def fenced(name: str, text: str) -> str:
    """Return a text under its name, in a fence that is longer than any in it."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{name}:\n{fence}\n{text.rstrip()}\n{fence}"


def _type(path: Path) -> str:
    return MEDIA_TYPES.get(path.suffix.lower(), "")


def _read(path: Path) -> bytes:
    try:
        return content_of(path, MAX_FILE)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        message = f"cannot attach {escaped(str(path), 200)}: {reason}"
        raise AttachmentError(message) from None


def _part(part: object, path: Path | None = None) -> JSON:
    files = {} if path is None else {path: _read(path)}
    wire: JSON = codec.message_to_wire(UserMessage((part,)), files)["content"][0]  # type: ignore[arg-type]  # a part
    return wire

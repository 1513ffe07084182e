"""Prompts of rows with an image or a document beside the text: from a URL, a ``data:`` URL, bytes, or a local file.

A cell is data, and whoever wrote it may be anybody: it names a file only under a folder that the caller has named,
links and ``..`` followed first, and what is sent is what the file holds, whatever its name says.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import attrs

from anyfast_async._core.prompt_template import NOTHING, PromptTemplate, cell_at
from anyfast_async._http.folder_file import MOST, FolderFile, What, media_type
from anyfast_async._values.text import escaped
from anyfast_async.messages import FilePart, ImagePart, Part, TextPart, UserMessage

_SHOWN: Final = 200


class MediaError(TypeError):
    """A cell that cannot be sent: says why."""


@attrs.frozen
class MediaTemplate:
    """A template with columns of files beside it; it is used as a :class:`PromptTemplate`.

    Args:
        prompt: the text.
        image: the column of images.
        document: the column of documents.
        folder: under which local files may be; None: none may be sent.
        looks: whether local files are looked at; else nothing is opened before the request is sent.

    """

    prompt: PromptTemplate
    image: str | None = None
    document: str | None = None
    folder: Path | None = None
    looks: bool = False

    @property
    def text(self) -> str:
        """The text of the template."""
        return self.prompt.text

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order, each once."""
        return tuple(dict.fromkeys((*self.prompt.columns, *(name for name, _ in self._files()))))

    def _files(self) -> Iterator[tuple[str, What]]:
        if self.image is not None:
            yield self.image, "image"
        if self.document is not None:
            yield self.document, "document"

    def looking(self) -> MediaTemplate:
        """Return the same for a pass that only looks whether all is well."""
        return attrs.evolve(self, looks=True)

    def lacks(self, row: Mapping[str, Any]) -> list[str]:
        """Return the names of the columns that *row* does not have."""
        return [name for name in self.columns if cell_at(row, name) is NOTHING]

    def cells(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return what *row* is made of, as text."""
        return self.prompt.cells(row) | {name: _known_by(cell_at(row, name)) for name, _ in self._files()}

    def as_json(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row of JSON values of which the same message is made: paths as they are, bytes as ``data:`` URLs.

        Raises:
            TypeError: a column holds what cannot be sent.

        """
        return self.prompt.cells(row) | {name: _as_json(cell_at(row, name), what) for name, what in self._files()}

    def fill(self, row: Mapping[str, Any]) -> UserMessage | None:
        """Return the message for *row*, which lacks none of the columns; None if there is no text for it.

        Raises:
            TypeError: a column holds what cannot be sent; it is named.

        """
        text = self.prompt.fill(row)
        if text is None:
            return None
        parts: list[Part] = [TextPart(text)]
        for name, what in self._files():
            given = cell_at(row, name)
            for one in given if isinstance(given, (list, tuple)) and given else [given]:
                try:
                    parts.append(self._part(one, what))
                except MediaError as error:
                    message = f"{escaped(name, 80)}: {error}"
                    raise MediaError(message) from None
        return UserMessage(parts)

    def _part(self, cell: Any, what: What) -> Part:
        cell = _taken_out(cell)
        if isinstance(cell, (bytes, bytearray, memoryview)):
            return _of_bytes(bytes(cell), what)
        if not isinstance(cell, str):
            message = "nothing stands there"
            if cell is not None:
                message = f"a URL, a path or bytes must stand there, not {escaped(type(cell).__name__, 40)}"
            raise MediaError(message)
        cell = cell.strip()
        if not cell:
            message = "nothing stands there"
            raise MediaError(message)
        if cell[:5].lower() == "data:":
            return _of_data(cell, what)
        if cell[:8].lower() == "https://":
            return ImagePart(cell)  # PDFs come by it as well
        return self._local(cell, what)

    def _local(self, cell: str, what: What) -> Part:
        shown = repr(escaped(cell, _SHOWN))
        if "://" in cell:
            message = f"{shown} is no https: or data: URL, and no path of a file"
            raise MediaError(message)
        if self.folder is None:
            message = (
                f"{shown} is a local file, and no folder is named under which such may be (--files-under, files_under=)"
            )
            raise MediaError(message)
        file = FolderFile(self.folder, cell, what)
        if self.looks:
            try:
                file.check()
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                message = f"{shown}: {reason}"
                raise MediaError(message) from None
        return ImagePart(file) if what == "image" else FilePart(file.name, file)


def _taken_out(cell: Any) -> Any:
    """Return the bytes or the path of a file as Hugging Face keeps them; another cell as it is."""
    if not isinstance(cell, Mapping) or not {"bytes", "path"} & cell.keys():
        return cell
    return cell.get("bytes") if cell.get("bytes") is not None else cell.get("path")


def _as_json(cell: Any, what: What) -> Any:
    if isinstance(cell, (list, tuple)):
        return [_as_json(one, what) for one in cell]
    cell = _taken_out(cell)
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return _url_of(bytes(cell), what)[1]
    return cell


def _of_bytes(data: bytes, what: What) -> Part:
    kind, url = _url_of(data, what)
    return ImagePart(url) if what == "image" else FilePart(_named(kind), url)


def _url_of(data: bytes, what: What) -> tuple[str, str]:
    """Return the media type of a file, and the file as a ``data:`` URL."""
    try:
        kind = media_type(data, what)
    except ValueError as error:
        raise MediaError(str(error)) from None
    if len(data) > MOST:
        message = f"it is larger than {MOST} bytes"
        raise MediaError(message)
    return kind, f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _of_data(cell: str, what: What) -> Part:
    kind = cell[5:].partition(",")[0].partition(";")[0].lower()
    if len(cell) > MOST * 4 // 3 + len(kind) + 100:
        message = f"the data: URL is larger than {MOST} bytes"
    elif what == "image" and kind.startswith("image/"):
        return ImagePart(cell)
    elif what == "document" and kind and not kind.startswith("image/"):
        return FilePart(_named(kind), cell)
    else:
        message = f"the data: URL is of {repr(escaped(kind, 40)) if kind else 'no type'}, which is no {what}"
    raise MediaError(message)


def _named(kind: str) -> str:
    return "document.pdf" if kind == "application/pdf" else "document.txt"


def _known_by(cell: Any) -> str:
    """Return what tells a cell from others: a text as it is, bytes by their hash."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return blake2b(cell, digest_size=16).hexdigest()
    if isinstance(cell, Mapping):
        return repr({str(name): _known_by(value) for name, value in cell.items()})
    if isinstance(cell, (list, tuple)):
        return repr([_known_by(one) for one in cell])
    return repr(cell)

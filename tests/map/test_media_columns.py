"""Images and documents beside the prompts of rows."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from anyfast_async import AnyFast, ConfigurationError
from anyfast_async._core.prompt_template import PromptTemplate
from anyfast_async._http.folder_file import MOST
from anyfast_async._map.media_columns import MediaTemplate
from anyfast_async.errors import RequestValidationError
from anyfast_async.simulator import Simulator

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20
AS_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an image, and one outside of it."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.jpg").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(PNG)
    return tmp_path / "files"


def template(folder: Path | None, what: str) -> MediaTemplate:
    """A template with a column of files."""
    prompt = PromptTemplate.parse("See.", may_be_same=True)
    return (
        MediaTemplate(prompt, "file", None, folder) if what == "image" else MediaTemplate(prompt, None, "file", folder)
    )


def sent(cell: Any, folder: Path | None = None, what: str = "image") -> list[Any]:
    """What goes out for a cell, beside the text."""
    assert template(folder, what).looking().fill({"file": cell}) is not None
    message = template(folder, what).fill({"file": cell})
    assert message is not None
    text, *parts = message.content
    assert "See." == text.text  # type: ignore[union-attr]  # a part
    return parts


def refused(cell: Any, folder: Path | None = None, what: str = "image") -> str:
    """Why a cell is not taken."""
    with pytest.raises(TypeError) as looking:
        template(folder, what).looking().fill({"file": cell})
    return str(looking.value)


def test_ways(folder: Path) -> None:
    """URLs, bytes, bytes with a path as Hugging Face keeps them, files, and several at once."""
    assert "https://example.com/a b.png" == sent("https://example.com/a b.png")[0].url
    assert AS_URL == sent(AS_URL)[0].url == sent(PNG)[0].url == sent({"bytes": PNG, "path": "../x"})[0].url
    assert folder / "a.jpg" == sent({"bytes": None, "path": " a.jpg\n"}, folder)[0].url
    assert [folder / "a.jpg", "https://x.org/y"] == [part.url for part in sent(["a.jpg", "https://x.org/y"], folder)]


def test_documents(folder: Path) -> None:
    """Documents go out as files, those that a URL names as what models fetch."""
    (folder / "a.pdf").write_bytes(b"%PDF-")

    assert ("a.pdf", folder / "a.pdf") == ((part := sent("a.pdf", folder, "document")[0]).filename, part.file_data)
    assert "document.pdf" == sent("data:application/pdf;base64,JVBERi0=", None, "document")[0].filename
    assert ("document.txt", "data:text/plain;base64,YQ==") == (
        (part := sent(b"a", None, "document")[0]).filename,
        part.file_data,
    )
    assert "https://example.com/a.pdf" == sent("https://example.com/a.pdf", None, "document")[0].url


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("../secret.png", "it is not under"),
        ("none.png", "No such file"),
        ("file:///etc/passwd", "is no https: or data: URL, and no path"),
        ("http://example.com/x.png", "is no https: or data: URL, and no path"),
        ("data:text/html,x", "is of 'text/html', which is no image"),
        ("data:,x", "is of no type"),
        ("data:image/png;base64," + "A" * (MOST * 4 // 3 + 200), "is larger than"),
        ("", "nothing stands there"),
        (None, "nothing stands there"),
        ([], "not list"),
        (7, "not int"),
        (b"", "it is empty"),
        (b"text", "it is no image"),
        (PNG + bytes(MOST), "it is larger than"),
    ],
)
def test_refused(folder: Path, cell: Any, problem: str) -> None:
    """What is no image, or no file that may be sent, is refused in words that name the column."""
    said = refused(cell, folder)

    assert problem in said
    assert said.startswith("file: ")
    assert len(said) < 400


def test_what_rows_are_known_by() -> None:
    """Cells that differ are known apart, bytes by their content."""
    cells = ["a", b"a", {"bytes": b"a"}, {"bytes": b"b"}, ["a"], None]

    assert len(cells) == len({template(None, "image").cells({"file": cell})["file"] for cell in cells})


def test_no_folder() -> None:
    """Without a folder no local file is opened, whatever it is called."""
    assert "'/etc/hostname' is a local file, and no folder is named" in refused("/etc/hostname")
    assert "is no document that models take (PDF, text in UTF-8)" in refused(b"\0", None, "document")


async def test_map(folder: Path) -> None:
    """A map sends the file of each row beside its prompt; one that cannot be sent is that row's error."""
    rows = [{"n": 1, "file": "a.jpg"}, {"n": 2, "file": "../secret.png"}]
    async with Simulator() as simulator, AnyFast("k", base_url=simulator.base_url, model="gemini-2.5-flash") as client:
        good, bad = await client.map(rows, template="Picture {n}", image="file", files_under=folder)

    assert good.ok
    assert isinstance(bad.error, RequestValidationError)
    assert "it is not under" in str(bad.error)
    (request,) = simulator.requests
    assert [{"type": "text", "text": "Picture 1"}, {"type": "image_url", "image_url": {"url": AS_URL}}] == (
        request.body["messages"][0]["content"]
    )


@pytest.mark.parametrize("options", [{"image": "a"}, {"files_under": "x"}, {"template": "{a}", "files_under": "x"}])
async def test_they_go_together(options: dict[str, str]) -> None:
    """A column of files needs a template, a folder needs a column."""
    async with AnyFast("k", model="gemini-2.5-flash") as client:
        with pytest.raises(ConfigurationError, match="go with template="):
            client.map([], **options)  # type: ignore[call-overload]  # by name

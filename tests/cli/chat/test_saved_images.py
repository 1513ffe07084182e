"""Images of answers as files."""

from __future__ import annotations

from pathlib import Path

from anyfast_async.cli.chat.saved_images import save
from anyfast_async.completions import Image

PNG = Image("data:image/png;base64,cG5n")


def test_free_names(tmp_path: Path) -> None:
    """Every image gets a name that was free, by its kind; nothing is replaced."""
    said = [*save([PNG, PNG], tmp_path), *save([PNG, Image("data:image/jpeg;base64,cG5n")], tmp_path)]

    files = sorted(tmp_path.iterdir())
    assert (4, 4, {b"png"}) == (len(said), len(files), {file.read_bytes() for file in files})
    assert [".jpg", ".png", ".png", ".png"] == sorted(file.suffix for file in files)
    assert {f"image saved: {file}" for file in files} == set(said)


def test_what_is_not_saved(tmp_path: Path) -> None:
    """A URL is said and not fetched; what is no image and a folder that is none are said."""
    images = [Image("https://example.com/\x1b.png"), Image("data:image/png;base64,?")]

    url, broken = save(images, tmp_path)
    (nowhere,) = save([PNG], tmp_path / "none")

    assert "image at https://example.com/\\x1b.png" == url
    assert broken.startswith("image not saved: the image in the answer is not valid base64")
    assert nowhere.startswith("image not saved in ")
    assert [] == list(tmp_path.iterdir())

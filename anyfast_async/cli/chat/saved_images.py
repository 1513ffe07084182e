"""Images of answers, saved under names that are free."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from anyfast_async.completions import Image
from anyfast_async.errors import OutputError, escaped

_SUFFIXES: Final = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/svg+xml": ".svg",
}
_SHOWN: Final = 2000
"""Characters of a URL: it is there to be followed."""


def save(images: Iterable[Image], where: Path) -> Iterator[str]:
    """Save *images* in the folder *where*; yield for each what became of it, in words."""
    stem = time.strftime("anyfast-%Y%m%d-%H%M%S")
    for image in images:
        if image.url.startswith(("https:", "http:")):
            yield f"image at {escaped(image.url, _SHOWN)}"
            continue
        try:
            yield f"image saved: {_saved(image, where, stem)}"
        except OutputError as error:
            yield f"image not saved: {error}"
        except OSError as error:
            yield f"image not saved in {where}: {error.strerror or error}"


def _saved(image: Image, where: Path, stem: str) -> Path:
    suffix = _SUFFIXES.get(image.media_type or "", ".bin")
    number = 1
    while True:
        try:
            return image.save(where / f"{stem}-{number}{suffix}")
        except FileExistsError:
            number += 1

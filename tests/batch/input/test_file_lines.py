"""Lines of a file, many at a time."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from anyfast_async.batch.input.file_lines import lines_of, pieces_of


@pytest.mark.parametrize("piece", [1, 5, 64])
@pytest.mark.parametrize("longest", [3, 10])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"ab",
        b"ab\ncd\n",
        b"\xef\xbb\xbfab\r\n\r\ncd",
        b"a" * 9 + b"\nb\n" + b"c" * 30 + b"\nd",
        b"a\rb\x0bc\n",
    ],
)
def test_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, longest: int, piece: int) -> None:
    """They are the same lines with the same numbers, whatever the size of the pieces, packed or not."""
    monkeypatch.setattr("anyfast_async.batch.input.file_lines._PIECE", piece)
    path = tmp_path / "in.txt"
    for content in (data, gzip.compress(data), gzip.compress(data)[:-3]):
        path.write_bytes(content)
        one_by_one = [(number, said(line)) for number, line in lines_of(path, longest)]

        pieces = [*pieces_of(path, longest)]

        assert one_by_one == [
            (n, said(line)) for numbers, lines in pieces for n, line in zip(numbers, lines, strict=True)
        ]


def said(line: Any) -> bytes | str:
    """A line, or what is wrong with it."""
    return line if isinstance(line, bytes) else str(line)

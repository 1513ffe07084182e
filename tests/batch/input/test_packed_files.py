"""Files as they are read and written: every member of a packed one, and other encodings."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyfast_async.batch.input.packed_files import checked_encoding, opened, packed_for
from anyfast_async.batch.input.request_lines import LineError, SourceError
from anyfast_async.batch.input.source import lines_of, open_source

zstd: Any = pytest.importorskip("backports.zstd" if sys.version_info < (3, 14) else "compression.zstd")

SKIPPABLE = b"\x53\x2a\x4d\x18\x04\0\0\0size"
"""A frame of Zstandard without data, as parallel packers write."""
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd.compress,
}
packers = pytest.mark.parametrize("kind", PACKERS)


def read(path: Path, data: bytes, encoding: str | None = None) -> list[bytes | str]:
    """The lines of *data* as a batch reads them, errors as their text."""
    path.write_bytes(data)
    return [str(line) if isinstance(line, LineError) else line for _, line in lines_of(path, 1000, encoding)]


@packers
def test_every_member(tmp_path: Path, kind: str) -> None:
    """A file of several members gives all of them, empty ones and large ones, with lines that go over their ends."""
    parts = [b"a\nb", b"", b"c\n" * 100_000, b"\nd\n"]

    found = read(tmp_path / "in", b"".join(map(PACKERS[kind], parts)))

    assert b"".join(parts).splitlines(keepends=True) == found


def test_frames_without_data(tmp_path: Path) -> None:
    """Frames that hold no data may stand anywhere; a file of nothing else is empty."""
    data = SKIPPABLE + zstd.compress(b"a\n") + SKIPPABLE + zstd.compress(b"b\n") + SKIPPABLE

    assert [b"a\n", b"b\n"] == read(tmp_path / "in", data)
    assert [] == read(tmp_path / "in", SKIPPABLE)


def test_padding_of_xz(tmp_path: Path) -> None:
    """Streams of xz may have zeros between them and at the end."""
    data = lzma.compress(b"a\n") + bytes(300_000) + lzma.compress(b"b\n") + bytes(8)

    assert [b"a\n", b"b\n"] == read(tmp_path / "in", data)


@packers
@pytest.mark.parametrize("damage", [lambda one: one[:-3], lambda one: b"junk" + one, lambda one: one[:2] + b"??" + one])
def test_damage(tmp_path: Path, kind: str, damage: Callable[[bytes], bytes]) -> None:
    """A member that is cut, or bytes that are none, end the file with an error and never in silence."""
    pack = PACKERS[kind]

    found = read(tmp_path / "in", pack(b"a\n") + damage(pack(b"b\n" * 9000)))

    assert "what comes after it was not read" in str(found[-1])


@settings(max_examples=30, deadline=None)
@given(parts=st.lists(st.binary(max_size=300), min_size=1, max_size=6), kind=st.sampled_from(sorted(PACKERS)))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], kind: str) -> None:
    """However it is cut into members, a file unpacks to the same."""
    path = tmp_path_factory.getbasetemp() / f"any.{kind}"
    path.write_bytes(b"".join(map(PACKERS[kind], parts)))

    with opened(path) as file:
        assert b"".join(parts) == file.read()


def test_a_word_that_looks_packed(tmp_path: Path) -> None:
    """A text that begins with the letters of a mark is a text."""
    assert [b"BZhello\n"] == read(tmp_path / "in", b"BZhello\n")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst"])
def test_written(tmp_path: Path, name: str) -> None:
    """What is written packed is packed, and read back."""
    path = tmp_path / name
    with packed_for(path, path.suffix) as file:
        file.write(b"a\n" * 1000)

    assert (path.stat().st_size < 1000) == (name != "a.csv")
    assert read(path, path.read_bytes()) == [b"a\n"] * 1000


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a library for Zstandard there is one line that says what to install."""
    path = tmp_path / "in.jsonl.zst"
    path.write_bytes(zstd.compress(b"a\n"))
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(SourceError, match=r"pip install 'anyfast-async\[zstd\]'"):
        open_source(path)


def test_packed_parquet(tmp_path: Path) -> None:
    """A packed Parquet file is refused with what to do."""
    path = tmp_path / "in.parquet.gz"
    path.write_bytes(gzip.compress(b"PAR1" * 10))

    with pytest.raises(SourceError, match="unpack it first"):
        open_source(path, template="{text}")


# -- encodings -------------------------------------------------------------------------------------------------------

GERMAN = 'Nr;Preis in €, netto;Text\r\n1;3,50;"Schön; günstig"\r\n2;12,00;Übel\r\n'


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig", "UTF8"])
def test_a_table_from_a_german_windows(tmp_path: Path, encoding: str, *, packed: bool) -> None:
    """Semicolons, decimal commas and umlauts come as they stand in the file."""
    path = tmp_path / "in.csv"
    data = GERMAN.encode(encoding)
    path.write_bytes(zstd.compress(data) if packed else data)

    source = open_source(path, template="{Preis in €, netto}: {Text}", id_column="Nr", encoding=encoding)
    lines = [source.line(number, record) for number, record in source.records() if not isinstance(record, LineError)]

    assert ["3,50: Schön; günstig", "12,00: Übel"] == [line.request.messages[0].content for line in lines]  # type: ignore[union-attr]
    assert ["1", "2"] == [line.custom_id for line in lines]


def test_bytes_that_do_not_fit(tmp_path: Path) -> None:
    """Each line that is not in the encoding is an error of its own with what to do; the others are read."""
    path = tmp_path / "in.txt"
    path.write_bytes("gut\nschön\n".encode("cp1252") + b"\x81\nEnde\n")

    def found(encoding: str | None) -> list[str]:
        source = open_source(path, encoding=encoding)
        return [str(one) if isinstance(one, LineError) else one["text"] for _, one in source.records()]

    hint = "if the file is from Windows, --encoding cp1252"
    windows = "is not cp1252; --encoding names another"
    assert ["gut", "schön", windows, "Ende"] == found("cp1252")
    wrong = [f"is not UTF-8 (byte {place} of the line); {hint}" for place in (4, 1)]
    assert ["gut", *wrong, "Ende"] == found("utf-8")
    assert ["gut", *wrong, "Ende"] == found(None)


def test_a_header_that_does_not_fit(tmp_path: Path) -> None:
    """Names of columns that are not UTF-8 are said to be so, not to be missing."""
    path = tmp_path / "in.csv"
    path.write_bytes("Nr;Größe\n1;2\n".encode("cp1252"))

    with pytest.raises(SourceError, match=r"is not UTF-8.*--encoding cp1252"):
        open_source(path, template="{Größe}")


def test_an_encoding_that_ends_early(tmp_path: Path) -> None:
    """A character that is cut at the end of the file is an error, not an end."""
    found = read(tmp_path / "in", "a\nb\n".encode("utf-16")[:-1], "utf-16")

    assert "is not utf-16" in str(found[-1])


@pytest.mark.parametrize("name", ["nonsense", "base64", "", "a\0b"])
def test_what_is_no_encoding(name: str) -> None:
    """A name that is none of a text encoding is refused."""
    with pytest.raises(SourceError, match="no text encoding"):
        checked_encoding(name)


def test_a_file_that_says_that_it_is_utf8(tmp_path: Path) -> None:
    """The mark of UTF-8 wins over another encoding: nothing is sent in garbled letters."""
    path = tmp_path / "in.txt"
    path.write_text("schön\n", encoding="utf-8-sig")

    with pytest.raises(SourceError, match="leave --encoding out"):
        open_source(path, encoding="cp1252")

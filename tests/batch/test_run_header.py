"""What a run depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from anyfast_async.batch import MismatchError, open_batch, open_source, rows, survey
from anyfast_async.batch.run_header import BegunWith, checked_before, header_for, note_input, recorded


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """An input."""
    path = tmp_path / "in.csv"
    path.write_text("id,text\n1,good\n2,bad\n")
    return path


def begin(source: Path, output: Path, **options: str) -> None:
    """Begin a batch, and end it at once."""
    found = survey(open_source(source, **options))  # type: ignore[arg-type]  # two of its options
    header = header_for(found, model="m", system=None, fields={})
    with open_batch(output, output.with_suffix(".errors"), header=header) as files:
        note_input(files.journal, found, None)


def test_it_is_found_again(table: Path, tmp_path: Path) -> None:
    """The header that a run wrote is read back, and stands for the survey of the same input."""
    output = tmp_path / "out.jsonl"
    assert recorded(output).header is None
    begin(table, output, template="{text}")
    source = open_source(table, template="{text}")

    found = checked_before(source, recorded(output))

    assert found == survey(source)
    assert ["line-2", "line-3"] == [row.custom_id for row in rows(found)]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"template": "{text}!"}, None),
        ({"template": "{text}", "id_column": "id"}, None),
        ({"template": "{text}"}, "id,text\n1,good\n2,bat\n"),
    ],
)
def test_another_input(table: Path, tmp_path: Path, options: dict[str, str], text: str | None) -> None:
    """Another file, or the same read in another way, is checked anew, and is refused as another batch."""
    output = tmp_path / "out.jsonl"
    begin(table, output, template="{text}")
    if text is not None:
        table.write_text(text)
    source = open_source(table, **options)  # type: ignore[arg-type]  # two of its options

    assert checked_before(source, recorded(output)) is None
    with pytest.raises(MismatchError, match="input"):
        begin(table, output, **options)


def test_headers_of_others(table: Path) -> None:
    """A header that says nothing of an input stands for no survey."""
    source = open_source(table, template="{text}")

    assert [None] * 3 == [checked_before(source, one) for one in map(BegunWith, (None, {}, {"input": {"sha256": "x"}}))]

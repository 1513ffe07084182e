"""Results as a table."""

from __future__ import annotations

from typing import Any

from anyfast_async import AssistantMessage, ChatCompletion, Choice, Usage
from anyfast_async.batch.results.row import MISSING, FailedRow, Row, answered_row, failed_row, told_of
from anyfast_async.batch.results.table import MOST, Columns

OWN = ["outcome", "finish_reason", "model", "prompt_tokens", "completion_tokens", "error_kind", "error"]


def row(text: str, outcome: Any = "ok") -> Row:
    """An answered row."""
    choice = Choice(message=AssistantMessage(text), finish_reason="stop")
    completion = ChatCompletion(model="m", choices=(choice,), usage=Usage(prompt_tokens=3, completion_tokens=2))
    return answered_row("a", completion)._replace(outcome=outcome)


def cells(columns: Columns, of: Row, *prompts: str) -> dict[str, Any]:
    """The cells of one row."""
    return {name: cells[0] for name, cells in columns.table([of], prompts).items()}


def columns_of(*texts: str) -> Columns:
    """The columns of a table with these answers."""
    columns = Columns()
    for text in texts:
        columns.look(told_of([row(text)]))
    return columns


def test_fields_are_columns() -> None:
    """When every answer is an object its fields are columns in the order of their coming, each with its kind."""
    columns = columns_of(
        '{"city": "Paris", "people": 2, "big": true, "score": 1, "tags": ["a"], "none": null, "mixed": 1}',
        '{"city": null, "people": 3, "big": false, "score": 0.5, "tags": {}, "mixed": "x", "late": "y"}',
    )

    fields = {
        "city": "text",
        "people": "integer",
        "big": "boolean",
        "score": "number",
        "tags": "json",
        "none": "text",
        "mixed": "json",
        "late": "text",
    }
    assert ["custom_id", *fields, *OWN] == list(columns.kinds)
    assert fields == {name: kind for name, kind in columns.kinds.items() if name in fields}


def test_one_answer_that_is_no_object() -> None:
    """If one answer is something else, all of them stay text."""
    columns = columns_of('{"a": 1}', "Sorry, I cannot do that.", '{"a": 2}')

    assert ["custom_id", "text", *OWN] == list(columns.kinds)
    assert '{"a": 1}' == cells(columns, row('{"a": 1}'))["text"]


def test_what_is_no_answer_does_not_count() -> None:
    """Failed rows and empty answers do not keep fields from being columns; their cells are empty."""
    columns = columns_of('{"a": 1}')
    empty, failed = row("", "empty"), failed_row("b", FailedRow("server", "gone", True, "no"))
    for other in (empty, failed):
        columns.look(told_of([other]))
        assert (None, other.outcome) == tuple(cells(columns, other)[name] for name in ("a", "outcome"))

    assert ("server", "gone") == tuple(cells(columns, failed)[name] for name in ("error_kind", "error"))
    assert "missing" == cells(columns, failed_row("c", MISSING, "missing"))["error_kind"]


def test_names_that_are_taken() -> None:
    """A field that is called like another column gets a prefix; nothing is overwritten."""
    columns = columns_of('{"custom_id": "theirs", "error": "none", "text": "t", "prompt": "p"}')

    found = cells(columns, row('{"custom_id": "theirs", "error": "none", "text": "t", "prompt": "p"}'))

    assert ("a", "theirs", "none", "t", "p") == tuple(
        found[name] for name in ("custom_id", "answer.custom_id", "answer.error", "answer.text", "answer.prompt")
    )
    assert list(found) == list(columns.kinds)


def test_too_many_fields() -> None:
    """Answers that make up ever new names do not make a table of a million columns."""
    columns = columns_of(*(f'{{"field{number}": 1}}' for number in range(MOST + 1)))

    assert ["custom_id", "text", *OWN] == list(columns.kinds)


def test_large_integers() -> None:
    """An integer of more than 63 bits is no number in a table."""
    assert "json" == columns_of('{"n": 1}', '{"n": 18446744073709551615}').kinds["n"]


def test_prompts() -> None:
    """Joined with its input a row has its prompt."""
    columns = Columns(with_prompt=True)

    assert ["custom_id", "prompt", "text"] == list(columns.kinds)[:3]
    assert "Why?" == cells(columns, row("x"), "Why?")["prompt"]


def test_what_is_odd_takes_no_columns() -> None:
    """An answer that was cut, filtered or refused leaves the columns of the others; its text has one of its own."""
    columns = columns_of('{"label": "good"}', '{"label": "bad"}')
    for outcome in ("cut", "filtered", "refused"):
        columns.look(told_of([row('{"label": "go', outcome)]))

    assert ["custom_id", "label", "text", *OWN] == list(columns.kinds)
    assert (None, '{"label": "go') == tuple(
        cells(columns, row('{"label": "go', "cut"))[name] for name in ("label", "text")
    )
    assert ("good", None) == tuple(cells(columns, row('{"label": "good"}'))[name] for name in ("label", "text"))


def test_one_in_ten_that_is_no_object() -> None:
    """A few good answers that are no objects do not take the columns of the many that are."""
    columns = columns_of(*['{"a": 1}'] * 9, "Sure! Here you are")

    assert ["custom_id", "a", "text", *OWN] == list(columns.kinds)


def test_whole_numbers_beside_others() -> None:
    """A whole number that no float is stays exact, even if other rows have a decimal point there."""
    assert "json" == columns_of('{"n": 9007199254740993}', '{"n": 0.5}').kinds["n"]
    assert "number" == columns_of('{"n": 3}', '{"n": 0.5}').kinds["n"]

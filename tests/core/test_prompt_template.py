"""Templates: places for columns, and nothing that is evaluated."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from anyfast_async._core.prompt_template import TEXT, PromptTemplate


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("Label: {text}", "Label: good"),
        ("{text}{text}", "goodgood"),
        ("{{{text}}}", "{good}"),
        ('{{"a": {n}}} {text}', '{"a": 7} good'),
        ("{a.b} {a[0]} {a!r} {a:>9}", "dotted indexed converted formatted"),
    ],
)
def test_filling(text: str, filled: str) -> None:
    """A name between braces is that of a column, whatever it looks like; doubled braces are braces."""
    row = {"text": "good", "n": 7, "a.b": "dotted", "a[0]": "indexed", "a!r": "converted", "a:>9": "formatted"}

    assert filled == PromptTemplate.parse(text).fill(row)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{text", "'{' at character 1 has no partner"),
        ("text} {text}", "'}' at character 5 has no partner"),
        ("a {} {text}", "'{' at character 3"),
        ("hello", "no column is named"),
        ("{{text}}", "no column is named"),
    ],
)
def test_templates_that_cannot_be(text: str, words: str) -> None:
    """A brace alone, or no column at all, is refused with its place."""
    with pytest.raises(ValueError, match=words.replace("{", r"\{").replace("}", r"\}")):
        PromptTemplate.parse(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (float("nan"), "-"),
        ("", "-"),
        (True, "true-"),
        (7, "7-"),
        (0.5, "0.5-"),
        (["a", {"b": None}], '["a",{"b":null}]-'),
        (dt.date(2026, 1, 2), "2026-01-02-"),
    ],
)
def test_cells(value: Any, text: str) -> None:
    """Missing cells are nothing, dates are dates, and what is neither text nor these is JSON."""
    assert text == PromptTemplate.parse("{x}-{y}").fill({"x": value, "y": "-"}).removesuffix("-")  # type: ignore[union-attr]


@pytest.mark.parametrize("value", [b"x", {"a": {1, 2}}])
def test_cells_that_are_no_text(value: Any) -> None:
    """Bytes and what JSON cannot hold are an error that names the column."""
    with pytest.raises(TypeError, match="x: holds"):
        PromptTemplate.parse("{x}").fill({"x": value})


def test_nested_fields() -> None:
    """A dot leads into a field where no column has the whole name; a field of what is missing is missing."""
    template = PromptTemplate.parse("{meta.author.name}: {text}")
    rows: list[dict[str, Any]] = [
        {"meta": {"author": {"name": "Ann"}}, "text": "a"},
        {"meta.author": {"name": "Bob"}, "meta": 1, "text": "b"},
        {"meta.author.name": "Cy", "meta": {}, "text": "c"},
        {"meta": None, "text": "d"},
    ]

    assert ["Ann: a", "Bob: b", "Cy: c", ": d"] == [template.fill(row) for row in rows]
    assert [["meta.author.name"], ["meta.author.name", "text"]] == [
        template.lacks({"meta": {"author": "Ann"}, "text": "a"}),
        template.lacks({}),
    ]


def test_empty_rows() -> None:
    """A row whose columns are all empty makes no prompt; one that has something in one of them does."""
    template = PromptTemplate.parse("a {x} b {y}")

    assert (None, "a  b 1") == (template.fill({"x": " ", "y": None}), template.fill({"x": "", "y": 1}))
    assert (("x", "y"), ("text",)) == (template.columns, TEXT.columns)

"""Classes that make their own schema, beside those that are read here."""

from __future__ import annotations

import pydantic
import pytest

from anyfast_async._structured.json_schema import schema_of
from anyfast_async._structured.parsing import FieldMismatchError, parse


class Node(pydantic.BaseModel):
    name: str
    children: list[Node] = []


def test_own_schema() -> None:
    """A pydantic model is read by itself, and what is wrong has a path into the answer."""
    assert schema_of(Node)["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert parse('{"name": "a"}', Node) == Node(name="a")
    with pytest.raises(FieldMismatchError, match=r"\$\[0\].children\[1\].name: is missing"):
        parse('[{"name": "a", "children": [{"name": "b"}, {}]}]', list[Node])

"""Schemas made of definitions: written out or by reference, they say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyfast_async._structured import schema_references
from anyfast_async._structured.schema_references import arranged, changed


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, Any]:
    """A schema with definitions that refer to each other as it comes, some of them in circles."""
    names = [f"D{n}" for n in range(draw(st.integers(1, 7)))]
    inner = st.sampled_from([{"type": "string"}, {"enum": [{"$ref": "#/$defs/D0"}]}, {"$ref": "#/$defs/none"}])
    one = inner | st.sampled_from(names).map(lambda name: {"$ref": f"#/$defs/{name}"})
    shape = st.fixed_dictionaries(
        {
            "type": st.just("object"),
            "properties": st.dictionaries(st.sampled_from(["a", "$ref", "enum"]), one, max_size=3),
        },
        optional={"anyOf": st.lists(one, min_size=1, max_size=2), "items": one},
    )
    return {**draw(shape), "$defs": {name: draw(shape) for name in names}}


def unfolded(schema: Any, definitions: Mapping[str, Any], levels: int) -> Any:
    """The schema as a tree: every reference followed, so many levels deep."""
    while isinstance(reference := schema.get("$ref"), str) and reference.removeprefix("#/$defs/") in definitions:
        schema = definitions[reference.removeprefix("#/$defs/")]
    if not levels:
        return "..."
    return changed(schema, lambda one: unfolded(one, definitions, levels - 1))


def whole(schema: Mapping[str, Any]) -> Any:
    root = {name: value for name, value in schema.items() if name != "$defs"}
    return unfolded(root, schema.get("$defs", {}), 6)


@settings(deadline=None)
@given(schemas(), st.booleans(), st.sampled_from([0, 1, 20_000]), st.sampled_from([1, 2, 20]))
def test_it_says_the_same(schema: dict[str, Any], write_out: bool, most: int, levels: int) -> None:
    """However much is written out, following all references gives one and the same; no definition is left unused."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema_references, "MOST", most)
        patch.setattr(schema_references, "LEVELS", levels)
        made = arranged(schema, write_out=write_out)
    assert whole(schema) == whole(made)
    assert all(f"#/$defs/{name}'" in str(made) for name in made.get("$defs", {}))


def test_a_chain_is_written_out_up_to_a_depth() -> None:
    """A thousand definitions, each in the next, are looked at without recursion, none in more than twenty."""
    chain = {f"D{n}": {"properties": {"a": {"$ref": f"#/$defs/D{n + 1}"}}} for n in range(1_000)}
    made = arranged({"$ref": "#/$defs/D0", "$defs": chain | {"D1000": {"type": "null"}}}, write_out=True)
    levels, one = 0, made
    while "properties" in one:
        levels, one = levels + 1, one["properties"]["a"]
    assert 1 <= levels <= 21
    assert 45 <= len(made["$defs"]) <= 51


def test_data_is_no_schema() -> None:
    """What looks like a reference in a default or among the words of an enum stays as it is."""
    data = {"$ref": "#/$defs/A"}
    schema = {
        "default": data,
        "enum": [data],
        "properties": {"$ref": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"type": "null"}},
    }
    assert {"default": data, "enum": [data], "properties": {"$ref": {"type": "null"}}} == arranged(
        schema, write_out=True
    )

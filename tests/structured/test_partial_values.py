"""Views of a value that is being written: they stay as they were."""

from __future__ import annotations

import copy
import pickle

import pytest

from anyfast_async import Partial, PartialList
from anyfast_async._structured.partial_json import PartialJson


def _read(text: str) -> Partial:
    reader = PartialJson()
    reader.feed(text)
    found = reader.so_far()
    assert isinstance(found, Partial)
    return found


def test_an_object() -> None:
    """Fields are attributes and items; what is not there yet is None, or a KeyError."""
    partial = _read('{"name": "Par", "tags": ["a", "b')
    assert (partial.name, partial["name"], partial.country) == ("Par", "Par", None)
    assert ("name" in partial, "country" in partial, 5 in partial) == (True, False, False)
    assert (list(partial), len(partial)) == (["name", "tags"], 2)
    with pytest.raises(KeyError):
        _ = partial["country"]
    with pytest.raises(AttributeError):
        _ = partial._private
    assert partial == {"name": "Par", "tags": ["a", "b"]}
    assert partial != {"name": "Par"}
    assert (partial == 5, repr(partial)) == (False, "Partial({'name': 'Par', 'tags': ['a', 'b']})")
    with pytest.raises(TypeError):
        hash(partial)


def test_a_list() -> None:
    """A list is a sequence whose last member may still grow."""
    tags = _read('{"tags": ["a", {"b": 1}, {"c": "d').tags
    assert isinstance(tags, PartialList)
    assert (len(tags), tags.complete, tags[0], tags[-1].c) == (3, 2, "a", "d")
    assert tags[:2] == ["a", {"b": 1}]
    assert tags == ["a", {"b": 1}, {"c": "d"}]
    assert (tags == 5, repr(tags)) == (False, "PartialList(['a', {'b': 1}, {'c': 'd'}])")
    assert list(reversed(tags))[-1] == "a"
    for place in (3, -4):
        with pytest.raises(IndexError):
            _ = tags[place]
    with pytest.raises(TypeError):
        hash(tags)


def test_fields_with_names_of_methods() -> None:
    """Every name can be had as an item."""
    partial = _read('{"to_dict": 1, "_x": 2, "items": 3}')
    assert (partial["to_dict"], partial["_x"], partial.items) == (1, 2, 3)


def test_it_stays_as_it_was() -> None:
    """What was given out does not change while more arrives, copied or not."""
    reader, text = PartialJson(), '{"a": [1, {"b": "xyz"}, 2], "c": "long"}'
    seen = []
    for character in text:
        if reader.feed(character):
            partial = reader.so_far()
            seen.append((partial, partial.to_dict()))
    assert len(seen) > 10
    for partial, was in seen:
        assert partial == was
        assert copy.deepcopy(partial) == was
        assert pickle.loads(pickle.dumps(partial)) == was  # noqa: S301 - made here

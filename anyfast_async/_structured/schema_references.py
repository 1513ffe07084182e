"""A JSON schema that is made of ``$defs``: which of them stay, and which are written out where they are referred to.

A class that repeats stays a reference, so that a schema is as large as its classes, not as their combinations. Models
whose translation follows no references get every class written out, up to a bound; what contains itself cannot be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

MOST: Final = 20_000
"""Parts of a schema that is written out; beyond them what repeats stays a reference for every model."""
LEVELS: Final = 20
"""Classes written out within each other; further in they are references again."""

_PREFIX: Final = "#/$defs/"
_BY_NAME: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs"})
"""Keywords whose value has a schema under every name, also under the name of a keyword."""
_DATA: Final = frozenset({"default", "enum", "const", "examples", "example", "required"})
"""Keywords whose value is no schema, whatever it looks like."""


def changed(schema: Any, change: Callable[[Any], Any]) -> dict[str, Any]:
    """Return a copy of *schema* with *change* made to the schemas directly inside of it."""
    made: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _DATA:
            made[keyword] = value
        elif keyword in _BY_NAME and isinstance(value, Mapping):
            made[keyword] = {name: _one(item, change) for name, item in value.items()}
        elif isinstance(value, list):
            made[keyword] = [_one(item, change) for item in value]
        else:
            made[keyword] = _one(value, change)
    return made


def _one(value: Any, change: Callable[[Any], Any]) -> Any:
    return change(value) if isinstance(value, Mapping) else value


def _parts(schema: Schema) -> Iterator[Schema]:
    """Yield a schema and every one inside of it."""
    left: list[Any] = [schema]
    while left:
        one = left.pop()
        yield one
        changed(one, left.append)


def _target(schema: Schema) -> str | None:
    """Return the name of the definition that a schema refers to."""
    reference = schema.get("$ref")
    return reference.removeprefix(_PREFIX) if isinstance(reference, str) and reference.startswith(_PREFIX) else None


def arranged(schema: Schema, *, write_out: bool) -> dict[str, Any]:
    """Return *schema* with the definitions that are referred to once, or with *write_out* all, put in their place.

    Parts of what is returned may be one object at several places.
    """
    definitions: Mapping[str, Schema] = schema.get("$defs", {})
    root = {keyword: value for keyword, value in schema.items() if keyword != "$defs"}
    plan = _Arrangement(root, definitions)
    kept = plan.kept(write_out=write_out)
    written: dict[str, dict[str, Any]] = {}

    def placed(one: Schema) -> dict[str, Any]:
        name = _target(one)
        beside = {keyword: value for keyword, value in one.items() if keyword != "$ref"}
        if name is None or name not in definitions:
            return changed(one, placed)
        if name not in kept:
            return written[name] | changed(beside, placed)
        # Nothing may stand beside a reference: older drafts ignore it, strict modes refuse it.
        reference = {"$ref": _PREFIX + name}
        return {"anyOf": [reference], **changed(beside, placed)} if beside else reference

    for name in plan.order:
        written[name] = placed(definitions[name])
    found = placed(root)
    if set(found) == {"$ref"} and (whole := _target(found)) is not None:
        found = written.get(whole, found)  # the whole must be an object
    used = {name: written[name] for name in definitions if name in kept}
    return found | {"$defs": used} if used else dict(found)


class _Arrangement:
    """What refers to what."""

    def __init__(self, root: Schema, definitions: Mapping[str, Schema]) -> None:
        self._sizes = {name: sum(1 for _ in _parts(schema)) for name, schema in definitions.items()}
        self._needs = {name: _references(schema, definitions) for name, schema in definitions.items()}
        self._root = _references(root, definitions)
        self.order: list[str] = []
        """The definitions that are used, each after those that it refers to, those excepted that close a circle."""
        self._circular: set[str] = set()
        """Those that close a circle: kept, they leave none."""
        self._visit()

    def _visit(self) -> None:
        inside: dict[str, bool] = {}
        going: list[tuple[str, Iterator[str]]] = [("", iter(self._root))]
        while going:
            name, others = going[-1]
            for other in others:
                if other not in inside:
                    inside[other] = True
                    going.append((other, iter(self._needs[other])))
                    break
                if inside[other]:
                    self._circular.add(other)
            else:
                going.pop()
                if going:
                    inside[name] = False
                    self.order.append(name)

    def kept(self, *, write_out: bool) -> frozenset[str]:
        """Return the definitions that stay."""
        uses = self._root.copy()
        for name in self.order:
            uses.update(self._needs[name])
        repeated = {name for name, count in uses.items() if count > 1}
        kept = self._deep(self._circular | (set() if write_out else repeated))
        return kept if not write_out or self._size(kept) <= MOST else self._deep(self._circular | repeated)

    def _deep(self, kept: set[str]) -> frozenset[str]:
        """Return *kept* and what would else stand in too many others."""
        levels: Counter[str] = Counter()
        more = set(kept)
        for name in self.order:
            levels[name] = 1 + max((levels[other] for other in self._needs[name] if other not in more), default=0)
            if levels[name] > LEVELS:
                more.add(name)
        return frozenset(more)

    def _size(self, kept: frozenset[str]) -> int:
        """Return the number of parts when all but *kept* are written out."""
        sizes: Counter[str] = Counter()
        for name in self.order:
            inner = self._needs[name].items()
            sizes[name] = self._sizes[name] + sum(n * sizes[other] for other, n in inner if other not in kept)
        whole = sum(n * sizes[name] for name, n in self._root.items() if name not in kept)
        return whole + sum(sizes[name] for name in kept)


def _references(schema: Schema, definitions: Mapping[str, Schema]) -> Counter[str]:
    return Counter(name for part in _parts(schema) if (name := _target(part)) in definitions and name is not None)

"""A JSON value that is still being written, as it was at one moment: views of what only ever grows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, overload


class GrowingText:
    """A string that pieces are added to; the whole is put together when somebody looks."""

    __slots__ = ("_pieces", "_whole", "length")

    def __init__(self) -> None:
        self.length: int = 0
        """Characters so far."""
        self._whole = ""
        self._pieces: list[str] = []

    def add(self, piece: str) -> None:
        """Add what came."""
        self._pieces.append(piece)
        self.length += len(piece)

    def upto(self, length: int) -> str:
        """Return the string as it was when it had *length* characters."""
        if self._pieces:
            self._whole += "".join(self._pieces)
            self._pieces.clear()
        return self._whole if length == len(self._whole) else self._whole[:length]


class GrowingList:
    """A list that members are added to, each when it is complete."""

    __slots__ = ("members",)

    def __init__(self) -> None:
        self.members: list[Any] = []


class GrowingObject(GrowingList):
    """An object that members are added to, each when it is complete."""

    __slots__ = ("places",)

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, int] = {}
        """Where the member of a name stands."""


Open: TypeAlias = "Partial | PartialList | tuple[GrowingText, int] | None"
"""The member that is still being written: a view, a string up to a length, or nothing to see yet."""


def shown(member: Any) -> Any:
    """Return a member as it is given out."""
    if type(member) is GrowingObject:
        return Partial(member, len(member.members), None, None)
    if type(member) is GrowingList:
        return PartialList(member, len(member.members), None)
    return member[0].upto(member[1]) if type(member) is tuple else member


def plain(value: Any) -> Any:
    """Return a value with dicts and lists in place of views."""
    if isinstance(value, Partial):
        return value.to_dict()
    return value.to_list() if isinstance(value, PartialList) else value


class Partial:  # noqa: PLW1641 - as a dict, it has none
    """An object as far as it has arrived; what a stream of objects yields. Nothing in it is checked yet.

    ``partial.name`` is the value of a field as JSON has it, None if it is not there yet; what is a string grows, what
    is an object or a list is a :class:`Partial` or a :class:`PartialList`. ``partial["name"]`` does the same for every
    name, and raises ``KeyError`` for what is not there. It stays as it is while the stream goes on.
    """

    __slots__ = ("_count", "_name", "_object", "_open")

    def __init__(self, found: GrowingObject, count: int, name: str | None, member: Open) -> None:
        self._object = found
        self._count = count
        """Members that were complete."""
        self._name = name
        """Of the one that was not, None if there was none."""
        self._open = member

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            return None

    def __getitem__(self, name: str) -> Any:
        if name == self._name:
            return shown(self._open)
        place = self._object.places.get(name, self._count)
        if place >= self._count:
            raise KeyError(name)
        return shown(self._object.members[place])

    def __contains__(self, name: object) -> bool:
        return name is not None and (
            name == self._name or self._object.places.get(name, self._count) < self._count  # type: ignore[call-overload]
        )

    def __iter__(self) -> Iterator[str]:
        yield from (name for name, place in self._object.places.items() if place < self._count and name != self._name)
        if self._name is not None:
            yield self._name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __eq__(self, other: object) -> bool:
        return plain(self) == plain(other) if isinstance(other, (Partial, dict)) else NotImplemented

    def __repr__(self) -> str:
        return f"Partial({self.to_dict()!r})"

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of what has arrived, made of dicts and lists."""
        return {name: plain(self[name]) for name in self}


class PartialList(Sequence[Any]):  # noqa: PLW1641 - as a list, it has none
    """A list as far as it has arrived; its last member may still grow. See :class:`Partial`."""

    __slots__ = ("_count", "_list", "_open")

    def __init__(self, found: GrowingList, count: int, member: Open) -> None:
        self._list = found
        self._count = count
        """Members that were complete."""
        self._open = member

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        wanted = place + len(self) if place < 0 else place
        if not 0 <= wanted < len(self):
            message = "there is no such member yet"
            raise IndexError(message)
        return shown(self._list.members[wanted] if wanted < self._count else self._open)

    def __len__(self) -> int:
        return self._count + (self._open is not None)

    def __eq__(self, other: object) -> bool:
        return plain(self) == plain(other) if isinstance(other, (PartialList, list)) else NotImplemented

    def __repr__(self) -> str:
        return f"PartialList({self.to_list()!r})"

    @property
    def complete(self) -> int:
        """Members that are complete: all, or all but the last."""
        return self._count

    def to_list(self) -> list[Any]:
        """Return a copy of what has arrived, made of dicts and lists."""
        return [plain(member) for member in self]

"""Functions as tools: what a model is told of them, which arguments are read, and what cannot be a tool."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import functools
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, NewType, TypedDict

import attrs
import pytest
from jsonschema import Draft202012Validator

from anyfast_async import ConfigurationError, Tool, tool
from anyfast_async._tools.docstring import documented


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


@attrs.frozen
class Place:
    """Somewhere."""

    city: str
    country: str | None = None


class Window(TypedDict):
    begins: dt.date
    days: int


UserId = NewType("UserId", int)


@tool
def find(  # noqa: D417 - some need no words
    place: Place,
    within: Annotated[int, "kilometres"] = 5,
    *,
    mood: Mood = Mood.GOOD,
    when: Window | None = None,
    words: list[str] = [],  # noqa: B006 - that it is no default of JSON is what is looked at
    user: UserId = UserId(0),
) -> str:
    """Find a hotel.

    Rates are in euro.

    Args:
        place: Where, with the
            country if it is known.
        within (int): is said by the annotation.
        words: in the name
    """
    return f"{place} {within} {mood} {when} {words} {user}"


def test_definition() -> None:
    """A model is told the name, the description, and a schema with the types, defaults and words of the parameters."""
    function = find.definition["function"]
    schema = function["parameters"]

    assert find.definition["type"] == "function"
    assert (function["name"], function["description"]) == ("find", "Find a hotel.\n\nRates are in euro.")
    Draft202012Validator.check_schema(schema)
    assert schema["required"] == ["place"]
    properties = schema["properties"]
    assert properties["place"]["description"] == "Where, with the country if it is known."
    assert properties["place"]["properties"]["city"] == {"type": "string"}
    assert properties["within"] == {"type": "integer", "description": "kilometres", "default": 5}
    assert properties["mood"] == {"type": "string", "enum": ["good", "bad"], "default": "good"}
    assert properties["words"] == {"type": "array", "items": {"type": "string"}, "description": "in the name"}
    assert properties["when"]["default"] is None


def test_arguments() -> None:
    """Arguments are read into the types of the parameters; those that were not given are left to the function."""
    args, kwargs = find.read('{"place": {"city": "Rome"}, "mood": "bad", "when": {"begins": "2026-01-02", "days": 2}}')

    assert args == []
    assert kwargs == {
        "place": Place("Rome"),
        "mood": Mood.BAD,
        "when": {"begins": dt.date(2026, 1, 2), "days": 2},
    }
    assert find(**kwargs).startswith("Place(city='Rome'")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{", "the arguments are no JSON"),
        ("[1]", "must be one JSON object"),
        ('"Rome"', "must be one JSON object"),
        ("{}", "place: is missing"),
        ('{"place": "Rome"}', "place: must be an object, not str"),
        ('{"place": {"city": 3}}', "place.city: must be a string, not int"),
        ('{"place": {"city": "Rome"}, "within": "5"}', "within: must be an integer, not str"),
        ('{"place": {"city": "Rome"}, "mood": "fine"}', "mood: must be one of 'good', 'bad'"),
        ('{"plaice": {"city": "Rome"}}', "plaice: there is no such argument; place: is missing"),
    ],
)
def test_mistakes_in_arguments(given: str, words: str) -> None:
    """What a model got wrong is said in words that name every place, and what the arguments are."""
    with pytest.raises(ValueError, match="argument") as caught:
        find.read(given)

    assert words in str(caught.value)


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, 2**64, 2**64 + 1, -(2**63) - 1, 10**300 + 1])
def test_integers_are_exact(number: int) -> None:
    """An integer of any size is read as it was written, alone and inside of others."""

    @tool
    def pay(account: int, to: list[int], note: dict[str, int]) -> None:
        pass

    text = f'{{"account": {number}, "to": [{number}], "note": {{"x": {number}}}}}'
    assert pay.read(text) == ([], {"account": number, "to": [number], "note": {"x": number}})


@pytest.mark.parametrize("given", ["", "  ", "null", "{}", None, {}])
def test_no_arguments(given: Any) -> None:
    """A tool without parameters takes every way in which models say that there are no arguments."""

    @tool
    def now() -> str:
        return "12:00"

    assert now.read(given) == ([], {})
    assert now.definition["function"] == {
        "name": "now",
        "parameters": {"type": "object", "properties": {}, "required": []},
    }


def test_arguments_as_an_object() -> None:
    """An object, which some upstreams send, is read as its text would be."""
    assert find.read({"place": {"city": "Rome"}})[1] == {"place": Place("Rome")}


def test_given_by_place() -> None:
    """Parameters that cannot be named are given by place."""

    @tool
    def add(a: int, b: int = 2, /, c: int = 3) -> int:
        return a + b + c

    args, kwargs = add.read('{"a": 1, "c": 5}')
    assert (args, kwargs) == ([1], {"c": 5})
    assert add(*args, **kwargs) == 8


def test_stays_the_function() -> None:
    """A tool is called as the function that it is, and documents itself as that."""
    assert getattr(find, "__name__", None) == "find"
    assert find.__doc__ is not None
    assert find.__wrapped__ is find.function  # type: ignore[attr-defined]
    assert repr(find) == "Tool(find(place, within, mood, when, words, user))"


class Shop:
    """Has methods and can be called."""

    name = "not the tool's"

    def __init__(self) -> None:
        self.name = "nor this"

    def price(self, item: str) -> float:
        """Say what it costs."""
        return len(item)

    @staticmethod
    def opens() -> str:
        """Say when it opens."""
        return "9"

    @classmethod
    def all(cls) -> str:
        """Name all."""
        return cls.name

    async def __call__(self, item: str) -> str:
        """Buy it."""
        return item


def _scaled(value: float, factor: float) -> float:
    """Scale it."""
    return value * factor


@pytest.mark.parametrize(
    ("made", "name", "description", "parameters", "is_async"),
    [
        (tool(Shop().price), "price", "Say what it costs.", ["item"], False),
        (tool(Shop.opens), "opens", "Say when it opens.", [], False),
        (tool(Shop.all), "all", "Name all.", [], False),
        (tool(Shop(), name="buy"), "buy", "Buy it.", ["item"], True),
        (tool(functools.partial(_scaled, factor=2.0)), "_scaled", "Scale it.", ["value", "factor"], False),
        (tool(_scaled, description="Times."), "_scaled", "Times.", ["value", "factor"], False),
        (tool(tool(_scaled), name="times"), "times", "Scale it.", ["value", "factor"], False),
    ],
)
def test_kinds_of_functions(
    made: Tool[Any, Any], name: str, description: str, parameters: list[str], *, is_async: bool
) -> None:
    """Bound methods, static and class methods, objects that can be called and partial applications are tools."""
    assert (made.name, made.description, made.is_async) == (name, description, is_async)
    assert list(made.parameters["properties"]) == parameters


def test_partial_default() -> None:
    """What a partial application fixed by name is a default."""
    made = tool(functools.partial(_scaled, factor=2.0))

    assert made.parameters["required"] == ["value"]
    assert made.parameters["properties"]["factor"] == {"type": "number", "default": 2.0}


def no_type(city) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
    return str(city)


def star(*cities: str) -> str:
    return ""


def stars(**cities: str) -> str:
    return ""


def odd(city: complex) -> str:
    return ""


def lost(city: Nowhere) -> str:  # type: ignore[name-defined]  # noqa: F821
    return ""


def yields(city: str) -> Iterator[str]:
    yield city


def named(city: str) -> str:
    return city


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tool(no_type), "tool no_type: the parameter city needs a type, such as city: str"),
        (
            lambda: tool(Shop.price),
            "tool price: the parameter self needs a type; of a method, make a tool of the bound",
        ),
        (lambda: tool(star), r"tool star: a model cannot give \*cities; name every parameter"),
        (lambda: tool(stars), r"tool stars: a model cannot give \*\*cities"),
        (lambda: tool(odd), "complex.* has no shape in JSON"),
        (lambda: tool(lost), "tool lost: name 'Nowhere' is not defined"),
        (lambda: tool(yields), "tool yields: it yields"),
        (lambda: tool(lambda city: city), r"a tool's name must be .* not '<lambda>'; give it one"),
        (lambda: tool(named, name="get weather"), "a tool's name must be .* not 'get weather'"),
        (lambda: tool(named, name="1st"), "begin with a letter"),
        (lambda: tool(named, name="x" * 65), "1 to 64"),
        (lambda: tool(named, name=""), "1 to 64"),
        (lambda: tool(named, name="wetter_für"), "letters, digits"),
        (lambda: tool(named, name="googleSearch"), "a tool of Gemini's own"),
        (lambda: tool(named, timeout=0), "timeout must be seconds above 0 or None, not 0"),
        (lambda: tool(Shop), "a tool must be a function"),
        (lambda: tool("find"), "a tool must be a function, not 'find'"),  # type: ignore[call-overload]
    ],
)
def test_what_is_no_tool(make: Callable[[], object], words: str) -> None:
    """What models cannot call is refused when the tool is made, with the reason."""
    with pytest.raises(ConfigurationError, match=words):
        make()


GOOGLE = """Say it.

    More of it,
    in two lines.

    Second paragraph.

    Arguments:
        a: one
        b (int, optional): two,
            and more

            and a paragraph
        *c: three
        d:
            four
    Returns:
        a: nothing
    """
SPHINX = """Say it.

    More of it, in two lines.

    Second paragraph.

    :param a: one
    :param int b: two,
        and more and a paragraph
    :parameter c: three
    :type c: str
    :param d: four
    :returns: a: nothing
    """
NUMPY = """Say it.

    More of it, in two lines.

    Second paragraph.

    Parameters
    ----------
    a
        one
    b : int, optional
        two, and more
        and a paragraph
    *c : str
        three
    d : {"x", "y"}
        four

    Returns
    -------
    a
        nothing
    """


@pytest.mark.parametrize("text", [GOOGLE, SPHINX, NUMPY], ids=["google", "sphinx", "numpy"])
def test_docstrings(text: str) -> None:
    """The three usual styles say the same."""
    found = documented(text)

    assert found.description == "Say it.\n\nMore of it, in two lines.\n\nSecond paragraph."
    assert found.parameters == {"a": "one", "b": "two, and more and a paragraph", "c": "three", "d": "four"}


@pytest.mark.parametrize("text", [None, "", "   ", "Args:", "Args:\n", "Parameters\n---", ":param x", ":param : y"])
def test_docstrings_that_say_nothing(text: str | None) -> None:
    """Nothing, and beginnings of sections, say nothing."""
    assert documented(text).parameters == {}


def test_other_sections_are_no_description() -> None:
    """What a docstring says to programmers alone is not told to a model; a colon in a text is no section."""
    found = documented("Note this: it is text.\n\nReturns:\n    str: a text\n\nRaises:\n    ValueError: no\n")

    assert found == ("Note this: it is text.", {})


async def test_awaits_as_the_function() -> None:
    """An async tool is awaited as its function."""

    @tool(timeout=3)
    async def later(seconds: float, word: Literal["a", "b"] = "a") -> str:
        await asyncio.sleep(seconds)
        return word

    assert (later.is_async, later.timeout) == (True, 3)
    assert await later(0) == "a"

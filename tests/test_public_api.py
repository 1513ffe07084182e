"""The public surface, as a list that is checked in: whoever changes it sees what changed, and says so.

``nox -s snapshot`` writes the list (``tests/data/public_api.txt``); run as a program, this file does it too.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Generic, is_typeddict

import attrs

import anyfast_async
from anyfast_async import CallOptions, ChatOptions, ChatRequest, ChatStream, MapRun, RequestFields
from anyfast_async.batch import BatchFiles
from anyfast_async.errors import AnyFastError, ConfigurationError
from anyfast_async.openai import AsyncStream
from anyfast_async.simulator import Headers

ROOT: Final = Path(__file__).parents[1]
SNAPSHOT: Final = ROOT / "tests" / "data" / "public_api.txt"
FRAGMENTS: Final = ROOT / "changelog.d"
HEAD: Final = "# The public surface, one line each. Written by `nox -s snapshot`, not by hand.\n"
MODULES: Final = (
    "anyfast_async",
    "anyfast_async.asgi",
    "anyfast_async.batch",
    "anyfast_async.observing",
    "anyfast_async.openai",
    "anyfast_async.otel",
    "anyfast_async.simulator",
    "anyfast_async.testing",
)
REACHED: Final = {
    "anyfast_async.openai._options": ("CreateOptions",),
    "anyfast_async.openai._resources": ("AsyncCompletions", "AsyncModels"),
}
"""Classes without a public name whose members programs use all the same."""
ONE_LIST: Final = (ChatRequest, RequestFields, ChatOptions)
"""Their fields are the same ones, which a test below sees to, and are listed once."""
HANDED_OUT: Final = (AsyncStream, BatchFiles, ChatStream, Headers, MapRun)
"""Programs get these and do not make them."""


# -- the list ---------------------------------------------------------------------------------------------------------


def surface() -> str:
    """The whole list as text."""
    spaces = {
        name: (space := importlib.import_module(name), sorted(set(space.__all__) - {"__version__"})) for name in MODULES
    }
    spaces |= {name: (importlib.import_module(name), sorted(names)) for name, names in REACHED.items()}
    listed = {id(getattr(space, name)) for space, names in spaces.values() for name in names}
    parts = {
        module: [line for name in names for line in described(name, getattr(space, name), listed)]
        for module, (space, names) in spaces.items()
    }
    parts["fields of a request"] = list(request_fields())
    parts["pytest fixtures"] = list(importlib.import_module("anyfast_async.pytest_plugin").__all__)
    parts["command line"] = list(commands())
    return HEAD + "".join(f"\n[{title}]\n" + "".join(f"{line}\n" for line in lines) for title, lines in parts.items())


BASES = "anyfast_async._values.bases"
"""How values are shown and compared, as attrs would do it: nobody's surface."""


def described(name: str, value: Any, listed: Collection[int]) -> Iterator[str]:
    """The lines of one public name."""
    if not inspect.isclass(value):
        yield f"{name}{signature(value)}" if inspect.isroutine(value) else f"{name}: {constant(value)}"
        return
    if value.__name__ != name:
        yield f"{name} is {value.__name__}"
        return
    kinds = {"typed dict": is_typeddict(value), "exception": issubclass(value, BaseException)}
    kind = next((kind for kind, fits in kinds.items() if fits), "class")
    shown = (base for base in value.__bases__ if base not in (object, dict, Generic) and base.__module__ != BASES)
    bases = ", ".join(base.__name__ for base in shown)
    own = "__init__" in vars(value) and not attrs.has(value) and value not in HANDED_OUT
    yield f"{kind} {name}{f'({bases})' if bases else ''}{f': made by {signature(value.__init__)}' if own else ''}"
    inherited = [base for base in value.__mro__[1:] if base.__module__.startswith("anyfast_async")]
    for one in [value, *(base for base in inherited if id(base) not in listed)]:
        yield from sorted(f"{name}.{line}" for line in members(one))


def members(kind: type) -> Iterator[str]:
    """The fields, methods, properties and constants that a class itself defines."""
    fields = {a.name: a for a in attrs.fields(kind)} if attrs.has(kind) else {}
    annotations = vars(kind).get("__annotations__", {}) if kind not in ONE_LIST else {}
    for name, annotation in annotations.items():
        if not name.startswith("_"):
            yield f"{name}: {written(annotation)}{field(fields[name]) if name in fields else value_of(kind, name)}"
    for name, value in vars(kind).items():
        if name.startswith("_") or name in fields or name in annotations:
            continue
        if isinstance(value, property):
            yield f"{name} -> {written(inspect.signature(value.fget).return_annotation)}"  # type: ignore[arg-type]
        elif isinstance(value, classmethod | staticmethod):
            yield f"{name}{signature(value.__func__)}, {type(value).__name__}"
        elif inspect.isfunction(value):
            yield f"{name}{signature(value)}"
        elif isinstance(value, str | int | float):
            yield f"{name} = {value!r}"


def value_of(kind: type, name: str) -> str:
    """The value of an annotated name in a class, where there is one to show."""
    value = vars(kind).get(name, inspect)
    return f" = {value!r}" if value is None or isinstance(value, str | int | float | tuple) else ""


def signature(function: Any) -> str:
    """The signature of a function as it is written, without self."""
    found = inspect.signature(function)
    parameters = [
        p.replace(
            annotation=p.empty if p.annotation is p.empty else _Text(written(p.annotation)),
            default=p.empty if p.default is p.empty else _Text(default(p.default)),
        )
        for p in found.parameters.values()
        if p.name not in ("self", "cls")
    ]
    arrow = "" if found.return_annotation is found.empty else f" -> {written(found.return_annotation)}"
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    return (
        f"{found.replace(parameters=parameters, return_annotation=found.empty)}{arrow}{', async' if is_async else ''}"
    )


class _Text(str):
    """What inspect prints as it is."""

    __slots__ = ()

    __repr__ = str.__str__


def default(value: Any) -> str:
    """A default: the class alone where it is an instance with nothing changed, ``...`` for a private marker."""
    if attrs.has(type(value)) and _needs_nothing(type(value)) and value == type(value)():
        return f"{type(value).__name__}()"
    text = repr(value)
    return "..." if " at 0x" in text else text


def written(annotation: Any) -> str:
    """An annotation as in the source."""
    annotation = getattr(annotation, "__forward_arg__", annotation)  # a TypedDict's
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def field(a: Any) -> str:
    """Default and rule of an attrs field."""
    notes = [note for note in ("keyword" if a.kw_only else "", "" if a.init else "not given", allowed(a)) if note]
    tail = f"  # {', '.join(notes)}" if notes else ""
    if a.default is attrs.NOTHING:
        return tail
    if not isinstance(a.default, attrs.Factory):  # type: ignore[arg-type]
        return f" = {default(a.default)}{tail}"
    made = a.default.factory
    return f" = {'...' if made.__name__ == '<lambda>' else f'{made.__name__}()'}{tail}"


def _needs_nothing(kind: type) -> bool:
    return all(a.default is not attrs.NOTHING for a in attrs.fields(kind))


def allowed(a: Any) -> str:
    """What a field takes, as its rule or validator says it of a value that nothing takes."""
    rule: Callable[[Any], str | None] | None = a.metadata.get("rule")
    said = ""
    if rule is not None:
        said = rule(object()) or ""
    elif type(a.validator).__module__.startswith("attr"):
        return ", ".join(re.findall(r"<(.+?)>(?![ =])", repr(a.validator)))
    elif a.validator is not None:
        try:
            a.validator(None, a, object())
        except ConfigurationError as error:
            said = str(error)
    return said.partition("must be ")[2].rpartition(", not ")[0]


def constant(value: Any) -> str:
    """A constant: what it holds, if that is short, else what it is made of."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return f"{type(value).__name__} of {', '.join(sorted(map(str, value)))}"
    text = repr(value)
    return f"of {type(value).__name__}" if " at 0x" in text else text


def request_fields() -> Iterator[str]:
    """The documented fields of the wire."""
    for a in attrs.fields(ChatRequest):
        yield f"{a.name}: {written(vars(ChatRequest)['__annotations__'][a.name])}{field(a)}"


def commands() -> Iterator[str]:
    """The commands with their options."""
    app = importlib.import_module("anyfast_async.cli.app")
    for name, command in sorted(app.anyfast.commands.items()):
        yield f"anyfast {name}"
        for parameter in command.params:
            names = "/".join([*parameter.opts, *parameter.secondary_opts])
            notes = [parameter.type.name]
            choices, low, high = (getattr(parameter.type, n, None) for n in ("choices", "min", "max"))
            notes += [" | ".join(map(str, choices))] if choices else []
            notes += [f"from {low}"] * (low is not None) + [f"to {high}"] * (high is not None)
            notes += ["required"] * parameter.required + ["repeatable"] * bool(getattr(parameter, "multiple", False))
            given = isinstance(parameter.default, str | int | float) and parameter.default is not False
            notes += [f"default {parameter.default!r}"] * given
            yield f"anyfast {name} {names}: {', '.join(notes)}"


# -- checks -----------------------------------------------------------------------------------------------------------


def test_the_snapshot_is_the_surface() -> None:
    """Every public name, signature, field with its range, default and exception is in the list as it is."""
    kept = SNAPSHOT.read_text(encoding="utf-8").splitlines()
    changes = [
        line
        for line in difflib.unified_diff(kept, surface().splitlines(), lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]
    assert not changes, "\n".join(
        [
            f"{SNAPSHOT.relative_to(ROOT)} does not list the public surface as it is:",
            *changes,
            "If that is what you want: nox -s snapshot",
        ]
    )


def test_the_surface_does_not_depend_on_what_ran() -> None:
    """Nothing in the list is an address in memory, and writing it twice gives the same."""
    assert " at 0x" not in surface()
    assert surface() == surface()


def keys_of(file: Path, table: str) -> set[str]:
    """The keys of a dict that a file assigns to a name at its top."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == table and isinstance(node.value, ast.Dict):
            return {str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)}
    message = f"{file.relative_to(ROOT)} has no table {table}"
    raise AssertionError(message)


def news() -> set[str]:
    """Every word that stands in backticks in the changelog or a fragment."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "CHANGELOG.md", *FRAGMENTS.glob("*.md"))]
    return {word for text in texts for span in re.findall(r"`([^`]+)`", text) for word in re.findall(r"[\w-]+", span)}


def test_a_request_field_is_everywhere_it_belongs() -> None:
    """A field of the wire is in both classes, in both tables of the test, in the snapshot and in the changelog."""
    tests = ROOT / "tests" / "test_requests.py"
    in_class, in_dict = {a.name for a in attrs.fields(ChatRequest)} - {"messages"}, set(RequestFields.__annotations__)
    places = {
        "anyfast_async/requests.py: class ChatRequest has no field": in_class,
        "anyfast_async/requests.py: class RequestFields has no key": in_dict | {"extra_body"},
        "tests/test_requests.py: GOOD has no row for": keys_of(tests, "GOOD"),
        "tests/test_requests.py: BAD has no row for": keys_of(tests, "BAD"),
        "tests/data/public_api.txt: has no line for": set(re.findall(r"(?m)^(\w+): ", SNAPSHOT.read_text("utf-8"))),
        "changelog.d/: no fragment, nor CHANGELOG.md, names": news(),
    }
    missing = [f"{place} `{name}`" for place, names in places.items() for name in sorted((in_class | in_dict) - names)]
    assert not missing, "\n".join(["CONTRIBUTING.md says how to add a request field. What is missing:", *missing])


def test_every_public_name_has_news() -> None:
    """Whatever a program can import, pass to a call or run is named in the changelog or in a fragment."""
    names = {*anyfast_async.__all__, *CallOptions.__annotations__}
    names |= {n for n, v in vars(anyfast_async.AnyFast).items() if inspect.isfunction(v) and not n.startswith("_")}
    names |= set(importlib.import_module("anyfast_async.pytest_plugin").__all__)
    names |= set(importlib.import_module("anyfast_async.cli.app").anyfast.commands)
    missing = sorted(names - {"__version__"} - news())
    assert not missing, (
        f"changelog.d/: no fragment, nor CHANGELOG.md, names {', '.join(f'`{n}`' for n in missing)}; "
        "write changelog.d/+<subject>.<type>.md, see CONTRIBUTING.md"
    )


def test_fragments_are_found() -> None:
    """Every file in the folder of fragments is named so that towncrier takes it, and says something."""
    types = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["towncrier"]["type"]
    name = re.compile(rf"\+[a-z0-9-]+\.({'|'.join(one['directory'] for one in types)})\.md")
    files = [path for path in FRAGMENTS.iterdir() if path.name != ".gitignore"]
    wrong = [path.name for path in files if not name.fullmatch(path.name) or not path.read_text("utf-8").strip()]
    assert not wrong, f"changelog.d/: {wrong} must be called {name.pattern}, and hold a sentence"


def test_every_exception_has_a_kind_of_its_own() -> None:
    """The word in ``.kind`` tells the exceptions apart, in a log or in a row of a table."""

    def tree(kind: type[AnyFastError]) -> Iterator[type[AnyFastError]]:
        yield kind
        for inner in kind.__subclasses__():
            if inner.__module__ == "anyfast_async.errors":
                yield from tree(inner)

    kinds = {kind.kind: kind for kind in tree(AnyFastError) if "kind" in vars(kind)}
    assert len(kinds) == sum("kind" in vars(kind) for kind in tree(AnyFastError))


if __name__ == "__main__":
    SNAPSHOT.write_text(surface(), encoding="utf-8")

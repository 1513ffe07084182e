"""The exception tree, and that exceptions are plain values."""

from __future__ import annotations

import ast
import asyncio
import builtins
import copy
import functools
import inspect
import pickle
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import anyfast_async
from anyfast_async import errors
from anyfast_async.completions import ChatCompletion, Choice
from anyfast_async.errors import AnyFastError, Attempt, FieldError, escaped
from anyfast_async.messages import AssistantMessage

CLASSES: list[type[AnyFastError]] = [
    c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, AnyFastError)
]
each_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)


def drawn() -> list[tuple[str, str, str]]:
    """Return (name, parent, further base) of every class in the drawing at the head of the module."""
    found: list[tuple[str, str, str]] = []
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        place = re.match(r"    ([│├└─ ]*)(?=[A-Z])", line)
        if place is None:
            continue
        depth, rest = len(place[1]) // 4, line[place.end() :]
        for name, base in re.findall(
            r"\b([A-Z]\w+(?:Error|Timeout|Exceeded))\b(?: \((\w+)\))?", rest.split("     ")[0]
        ):
            found.append((name, above.get(depth - 1, ""), base))
            above[depth] = name
    return found


def test_the_tree_is_as_drawn() -> None:
    """The drawing at the head of the module has every class of it, under its parent."""
    real = [(c.__name__, "" if c is AnyFastError else c.__bases__[0].__name__) for c in CLASSES]
    assert sorted(real) == sorted(d[:2] for d in drawn())


def test_builtin_bases_are_as_drawn() -> None:
    """Where the drawing names a built-in exception, the class is one, and nowhere else."""
    real = {c.__name__: ", ".join(b.__name__ for b in c.__bases__[1:]) for c in CLASSES}
    drawing = {name: base for name, _, base in drawn()}
    assert real == drawing


def test_every_class_is_public() -> None:
    """Every class of the tree can be imported from the package itself."""
    assert [] == [c.__name__ for c in CLASSES if getattr(anyfast_async, c.__name__, None) is not c]


def test_kinds_are_stable_words() -> None:
    """Every class that is raised has a kind of its own, for programs; they do not change between versions."""
    assert {
        "AnyFastError": "error",
        "ConfigurationError": "configuration",
        "RequestValidationError": "validation",
        "ClientStateError": "state",
        "ForeignFileError": "configuration",
        "LockedError": "configuration",
        "MismatchError": "configuration",
        "QueueFullError": "queue_full",
        "StoreError": "store",
        "BudgetExceeded": "budget",
        "NotSentError": "not_sent",
        "APIConnectionError": "connection",
        "APITimeoutError": "timeout",
        "ConnectTimeout": "connect_timeout",
        "FirstTokenTimeout": "first_token_timeout",
        "IdleTimeout": "idle_timeout",
        "ResponseTimeout": "response_timeout",
        "DeadlineExceeded": "deadline",
        "APIError": "api",
        "APIStatusError": "api",
        "BadRequestError": "bad_request",
        "AuthenticationError": "auth",
        "PermissionDeniedError": "permission",
        "NotFoundError": "not_found",
        "ConflictError": "conflict",
        "UnprocessableEntityError": "unprocessable",
        "RateLimitError": "rate_limit",
        "InternalServerError": "server",
        "InsufficientQuotaError": "quota",
        "ModelNotFoundError": "model",
        "ResponseShapeError": "response_shape",
        "IncompleteStreamError": "incomplete",
        "ToolRoundsError": "tool_rounds",
        "OutputError": "output",
    } == {c.__name__: c.kind for c in CLASSES}


def test_defaults_say_what_may_be_billed() -> None:
    """What never left costs nothing, what may have arrived may cost, an answer that does not parse did."""
    wanted = {
        "no": "ConnectTimeout QueueFullError BudgetExceeded NotSentError RequestValidationError APIStatusError",
        "maybe": "APIConnectionError FirstTokenTimeout IdleTimeout ResponseTimeout ResponseShapeError "
        "IncompleteStreamError",
        "yes": "OutputError",
    }
    assert [] == [n for b, names in wanted.items() for n in names.split() if getattr(errors, n).billed != b]


def test_builtin_handlers_catch_them() -> None:
    """Programs that catch TimeoutError, ValueError or RuntimeError catch ours."""
    for cls in (errors.ConnectTimeout, errors.IdleTimeout, errors.DeadlineExceeded):
        with pytest.raises(TimeoutError):
            raise cls
    for other, builtin in ((errors.ConfigurationError, ValueError), (errors.ClientStateError, RuntimeError)):
        with pytest.raises(builtin):
            raise other


def filled(cls: type[AnyFastError]) -> AnyFastError:
    """Return an exception with every attribute of its class set to something."""
    error = cls("what happened")
    completion = ChatCompletion(id="c", choices=(Choice(index=0, message=AssistantMessage("so far")),), request_id="r")
    special: dict[str, Any] = {
        "attempts": (Attempt(1, "rate_limit", 429, 0.5, "no", 5.0), Attempt(2, "ok", 200, 1.0, "yes")),
        "partial": completion,
        "completion": completion,
        "errors": (FieldError("a.b", "is bad"),),
        "body": {"error": {"message": "m", "n": [1, None]}},
        "message": "all of it",
        "args": error.args,
    }
    names = {
        n for c in cls.__mro__ if issubclass(c, AnyFastError) for n in (*vars(c).get("__annotations__", ()), "message")
    }
    for name in names:
        setattr(error, name, special.get(name, f"value of {name}"))
    return error


def repickled(protocol: int, error: AnyFastError) -> Any:
    return pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own


@each_class
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, functools.partial(repickled, 2), functools.partial(repickled, 5)],
    ids=["copy", "deepcopy", "pickle-2", "pickle-5"],
)  # fmt: skip
def test_exceptions_are_plain_values(cls: type[AnyFastError], copied: Any) -> None:
    """Every exception goes through pickle and copy with all of its attributes, also those set on the way."""
    error = filled(cls)
    again = copied(error)
    assert (type(error), str(error), error.args) == (type(again), str(again), again.args)
    assert vars(error) == vars(again)


@each_class
def test_partial_answers_do_not_show(cls: type[AnyFastError]) -> None:
    """What the model had said so far is in .partial, never in the text of the exception."""
    error = filled(cls)
    assert "so far" not in f"{error} {error!r}"


def _shown(e: AnyFastError) -> tuple[Any, ...]:
    return str(e), e.message, e.attempts, e.request_id, e.partial


@each_class
def test_every_class_is_documented(cls: type[AnyFastError]) -> None:
    """Every class says when it is raised, and a bare one has the defaults of its kind."""
    assert inspect.getdoc(cls)
    assert ("", "", (), None, None) == _shown(cls())


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ([FieldError("n", "is bad")], "invalid request: n: is bad"),
        ([FieldError("n", "is bad"), FieldError("m", "too")], "invalid request, 2 problems:\n  n: is bad\n  m: too"),
    ],
)
def test_request_validation_error_lists_all(found: list[FieldError], text: str) -> None:
    """One problem reads as a line, several as a list; .errors has them for programs."""
    error = errors.RequestValidationError.of(iter(found))
    assert (text, tuple(found)) == (str(error), error.errors)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain é 你 😀", "plain é 你 😀"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\u202eb\u2066c\u200bd", "a\\u202eb\\u2066c\\u200bd"),
        ("\x00\x7f\x9b\ufeff", "\\x00\\x7f\\x9b\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("", ""),
    ],
)
def test_escaped(text: str, wanted: str) -> None:
    """Printable text stays; controls, escapes, bidirectional and invisible characters become visible escapes."""
    assert wanted == escaped(text)


def test_escaped_is_cut() -> None:
    """Long text is cut at the limit, and says how long it was."""
    assert "x" * 400 == escaped("x" * 400)
    assert "x" * 400 + "... (401 characters)" == escaped("x" * 401)
    assert "xx... (5 characters)" == escaped("x" * 5, 2)


@given(st.text(st.characters(), max_size=50))
def test_escaped_is_printable_and_encodable(text: str) -> None:
    """Whatever the text, the result is one printable line that can be encoded."""
    assert escaped(text).isprintable()
    escaped(text).encode()


def test_a_field_error_reads_as_one_line() -> None:
    """A field error is its path and its problem."""
    assert "n: is bad" == str(FieldError("n", "is bad"))


# -- what is raised ----------------------------------------------------------------------------------------------------

PACKAGE = Path(anyfast_async.__file__).parent
ELSEWHERE = ("anyfast_async.asgi", "anyfast_async.batch", "anyfast_async.openai", "anyfast_async.scale")
"""Public modules beside the package itself that have errors of their own."""
OTHER_RULES = ("simulator/", "cli/", "pytest_plugin.py", "_testing.py")
"""The simulator does not know the package, and raises what is built in; the command shows errors, and lets none out."""
BUILT_IN: dict[str, set[str]] = {
    "__init__.py": {"AttributeError"},  # a name that a module does not have
    "_http/api_key.py": {"TypeError"},  # a key that somebody pickles
    "_journal/disk.py": {"FileNotFoundError"},  # of files: as the system says it
    "_journal/journal.py": {"FileNotFoundError", "PermissionError"},
    "scale/exchange.py": {"OSError"},  # of pieces that did not arrive in a store
    "scale/lease.py": {"LeaseLostError"},  # of the files that a shard is kept in
    "scale/object_store.py": {"OSError"},  # of a store, in its own words
    "scale/shard_result.py": {"OSError"},  # of a worker's files, as its system said it
    "scale/stored_shard.py": {"FileNotFoundError"},  # a piece that is not in its store
    "_structured/partial_values.py": {"AttributeError", "IndexError", "KeyError"},  # as any object, list and mapping
    "openai/__init__.py": {"AttributeError", "ImportError"},
    "openai/_base.py": {"AttributeError"},
    # wrong arguments, as the vendor SDK takes them
    "openai/_client.py": {"TypeError", "ValueError"},
    "openai/_options.py": {"TypeError"},
    "openai/_resources.py": {"AttributeError"},
}
"""Built-in exceptions that users may meet."""
CAUGHT: dict[str, set[str]] = {
    "_call/plan.py": {"ValueError"},
    "_core/http/body_end.py": {"MalformedError", "TruncatedError"},
    "_core/http/compression.py": {"BombError", "MalformedError", "TruncatedError"},
    "_core/http/head.py": {"MalformedError"},
    "_core/json/codec.py": {"InvalidJSONError"},
    "_core/json/jsontext.py": {"InvalidJSONError", "TypeError"},
    "_core/json/lossless.py": {"RoundedError"},
    "_core/sse.py": {"ValueError"},
    "_http/exchange.py": {"TruncatedError"},
    "_http/folder_file.py": {"ValueError"},
    "_http/local_files.py": {"ValueError"},
    "_http/transport.py": {"ConnectionTimeoutError", "ServerDisconnectedError"},  # aiohttp's
    "_http/wire.py": {"TruncatedError", "UnaskedError"},
    "_limits/shared_asking.py": {"TimeoutError"},  # what a StoreError names as its cause
    "_structured/json_in_text.py": {"NoJsonError"},
    "_structured/parsing.py": {"FieldMismatchError"},
    "_tools/content.py": {"TypeError"},
    "_tools/rounds.py": {"_NoResult", "_TooSlow"},
    "_tools/signature.py": {"ArgumentsError"},
    "_core/prompt_template.py": {"TypeError", "ValueError"},
    "_map/media_columns.py": {"MediaError"},
    "batch/results/table_files.py": {"ValueError"},
    "scale/dask.py": {"WorkersAwayError"},
    "batch/input/other_forms.py": {"NoCounterpartError"},
    "batch/input/packed_files.py": {"EOFError", "OSError"},
    "openai/_events.py": {"_CutError"},
}
"""Exceptions that do not get out of the package: others of its files take them and say it in our words."""


def exceptions_made() -> Iterator[tuple[str, type[BaseException]]]:
    """Every exception that a file of the package makes or raises, by the name that stands there."""
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE).as_posix()
        if file.startswith(OTHER_RULES):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names: dict[str, Any] = dict(vars(builtins))
        names |= vars(import_module(".".join(["anyfast_async", *Path(file).with_suffix("").parts])))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module not in {None, "_typeshed"}:  # for type checkers alone
                home = import_module(node.module)
                names |= {n.asname or n.name: getattr(home, n.name) for n in node.names if hasattr(home, n.name)}
        for node in ast.walk(tree):
            raised = node.exc if isinstance(node, ast.Raise) else node.func if isinstance(node, ast.Call) else None
            found = raised if raised is None else named(raised, names)
            if inspect.isclass(found) and issubclass(found, BaseException):
                yield file, found


def named(node: ast.expr, names: dict[str, Any]) -> Any:
    """What stands behind ``name``, ``name.of`` or ``module.name``; for a classmethod, its class."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        owner = names.get(node.value.id)
        return owner if inspect.isclass(owner) else getattr(owner, node.attr, None)
    return None


def test_everything_raised_is_ours_and_public() -> None:
    """What the package raises is an ``AnyFastError`` with a public name; what is not stands above, and does occur."""
    listed = {(file, name) for table in (BUILT_IN, CAUGHT) for file, names in table.items() for name in names}
    public, protocol = public_values(), (StopAsyncIteration, asyncio.CancelledError)
    made = set(exceptions_made())
    foreign = {
        (file, kind.__name__) for file, kind in made if kind not in protocol and kind not in public & of_the_package()
    }
    assert sorted(foreign - listed) == []
    assert sorted(listed - foreign) == [], "are not raised any more"


def public_values() -> set[Any]:
    """The classes that public modules export."""
    modules = (anyfast_async, *map(import_module, ELSEWHERE))
    return {value for module in modules for name in module.__all__ if inspect.isclass(value := getattr(module, name))}


def test_every_error_of_the_package_is_public() -> None:
    """Every subclass of ``AnyFastError`` that any module defines can be imported from a public one."""
    assert sorted(kind.__qualname__ for kind in of_the_package() - public_values()) == []


def of_the_package() -> set[type[AnyFastError]]:
    """Every subclass of ``AnyFastError``, whichever module defines it."""
    for module in pkgutil.walk_packages(anyfast_async.__path__, "anyfast_async."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    found, left = set[type[AnyFastError]](), [AnyFastError]
    while left:
        found.add(kind := left.pop())
        left += [one for one in kind.__subclasses__() if one.__module__.startswith("anyfast_async")]
    return found

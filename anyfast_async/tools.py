"""Tools: functions that a model may call, and what became of a conversation in which it did.

``AnyFast.run_tools`` asks, calls and asks again until the model answers; how, stands in ``_tools/rounds``.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, ParamSpec, TypeVar, overload

from anyfast_async._tools.signature import Signature, signature_of
from anyfast_async._values.tool_run import ToolRun, ToolUse
from anyfast_async.errors import ConfigurationError, escaped
from anyfast_async.messages import JSON, ToolCall

P = ParamSpec("P")
R = TypeVar("R")

_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")
"""What OpenAI and Gemini both take."""
_TAKEN: Final = frozenset({"googleSearch", "codeExecution", "urlContext"})
"""Names that switch on tools of Gemini's own (new-api ``relay/channel/gemini``)."""


class Tool(Generic[P, R]):
    """A function that a model may call. Called, it is the function.

    Args:
        function: async or not; every parameter has a type, and may have a default. A function that is not async is
            called in a thread.
        name: what models call it; else the function's own name.
        description: what models are told of it; else what the docstring says before its first section. What it says of
            the parameters (Google's, NumPy's or Sphinx's style), or ``Annotated[int, "words"]``, is told too.
        timeout: seconds for one call of it; None: any. A thread cannot be stopped: it is not waited for any more.

    Raises:
        ConfigurationError: models cannot call it so; the message says why.

    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float | None = None,
    ) -> None:
        if isinstance(function, (classmethod, staticmethod)) or not callable(function) or inspect.isclass(function):
            message = f"a tool must be a function, not {escaped(repr(function), 80)}"
            raise ConfigurationError(message)
        self.name: str = _name_of(function, name)
        if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
            message = f"tool {self.name}: timeout must be seconds above 0 or None, not {timeout!r}"
            raise ConfigurationError(message)
        called = function if inspect.isroutine(function) or hasattr(function, "func") else type(function).__call__
        if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
            message = f"tool {self.name}: it yields; a tool returns what it has to say"
            raise ConfigurationError(message)
        self.function: Callable[P, R] = function
        self.timeout: float | None = timeout
        self.is_async: bool = inspect.iscoroutinefunction(called)
        """Whether it is awaited, not called in a thread."""
        self._signature: Signature = signature_of(function, self.name)
        self.description: str = self._signature.description if description is None else description
        """What models are told of it."""
        plain: Any = function
        functools.update_wrapper(self, plain, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Tool({self.name}({', '.join(self._signature.names)}))"

    @property
    def parameters(self) -> JSON:
        """The JSON schema of the arguments."""
        return self._signature.schema

    @property
    def definition(self) -> JSON:
        """The tool as it stands in ``tools`` of a request, for a loop of your own."""
        function: dict[str, Any] = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": {key: value for key, value in function.items() if value != ""}}

    def read(self, arguments: str | Mapping[str, Any] | None) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments by place and by name that a model gave, such as ``call.arguments``, read and checked.

        Raises:
            ValueError: they do not fit; the message names every place.

        """
        return self._signature.read(arguments)


def _name_of(function: Any, name: str | None) -> str:
    found = name if name is not None else getattr(getattr(function, "func", function), "__name__", None)
    if not isinstance(found, str) or not _NAME.fullmatch(found):
        shown = escaped(repr(found), 80) if found is not None else f"none ({escaped(repr(function), 80)} has no name)"
        message = (
            "a tool's name must be 1 to 64 letters, digits, '_' and '-', and begin with a letter or '_', "
            f"not {shown}; give it one: tool(function, name=...)"
        )
        raise ConfigurationError(message)
    if found in _TAKEN:
        message = f"tool {found}: the gateway takes this name for a tool of Gemini's own; give it another: name=..."
        raise ConfigurationError(message)
    return found


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(
    function: Callable[P, R],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
) -> Tool[P, R]: ...


@overload
def tool(
    *, name: str | None = None, description: str | None = None, timeout: float | None = None
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
) -> Any:
    """Make a function a :class:`Tool`, as a decorator or of a function that is there: ``tool(shop.find)``.

    Args:
        function: as for :class:`Tool`.
        name: as for :class:`Tool`.
        description: as for :class:`Tool`.
        timeout: as for :class:`Tool`.

    Raises:
        ConfigurationError: models cannot call it so; the message says why.

    """

    def made(function: Callable[..., Any]) -> Tool[..., Any]:
        inner = function.function if isinstance(function, Tool) else function
        return Tool(inner, name=name, description=description, timeout=timeout)

    return made if function is None else made(function)


AnyTool = Tool[Any, Any] | Callable[..., Any]
"""A tool, or a function to make one of."""
OnError = Callable[[ToolCall, Exception], str]
"""Says to the model in words what a tool raised; what it raises itself ends the run."""

__all__ = ["Tool", "ToolRun", "ToolUse", "tool"]

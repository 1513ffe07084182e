"""The observers of a client, sorted by what each of them wants to hear. The log hears after them, whoever they are.

Beside the public hooks (``anyfast_async/observing``) there are some for the house alone, because what they are given
is as it was on the wire: ``_on_head`` and ``_on_body`` (the vendor SDK's shape shows raw responses), ``_on_contents``
(prompt and answer, for a tracer that was asked to record them), and ``_request_headers``, which gives headers to send:
so a trace goes on at the gateway.
"""

from __future__ import annotations

import copy
import inspect
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from anyfast_async._http.settings import headers_of
from anyfast_async._observers.log import LOGGER
from anyfast_async._values.text import did_you_mean, escaped
from anyfast_async.errors import ConfigurationError

PUBLIC: Final = ("on_attempt_start", "on_first_content", "on_attempt_end", "on_hold", "on_call_end")
HOOKS: Final[Mapping[str, str]] = {
    **{name: name.removeprefix("on_") for name in PUBLIC},
    "_on_head": "head",
    "_on_body": "body",
    "_on_contents": "contents",
    "_request_headers": "request_headers",
}
"""Methods of observers, and where they are kept."""

Hook: TypeAlias = Callable[..., Any]


class Hooks:
    """What observers are to be told.

    Args:
        observers: objects with any of the hooks.

    Raises:
        ConfigurationError: one of them has none, or one that is no plain function.

    """

    __slots__ = ("_failed", "observers", *HOOKS.values())

    def __init__(self, observers: Iterable[object] = ()) -> None:
        self.observers: tuple[object, ...] = tuple(observers)
        self._failed: set[Hook] = set()
        """Hooks that have raised."""
        for number, one in enumerate(self.observers):
            _check(one, f"observers[{number}]")
        for hook, field in HOOKS.items():
            setattr(self, field, self._with(hook))

    attempt_start: tuple[Hook, ...]
    first_content: tuple[Hook, ...]
    attempt_end: tuple[Hook, ...]
    hold: tuple[Hook, ...]
    call_end: tuple[Hook, ...]
    head: tuple[Hook, ...]
    body: tuple[Hook, ...]
    contents: tuple[Hook, ...]
    request_headers: tuple[Hook, ...]

    def _with(self, name: str) -> tuple[Hook, ...]:
        """Return the hooks of that name. Those of the house stand in a class: a mock would have every attribute."""
        if name in PUBLIC:
            return tuple(hook for one in self.observers if (hook := getattr(one, name, None)) is not None)
        return tuple(getattr(one, name) for one in self.observers if hasattr(type(one), name))

    def and_also(self, observer: object) -> Hooks:
        """Return hooks that tell *observer*, too, one of the house."""
        other = copy.copy(self)
        for hook, field in HOOKS.items():
            if hasattr(type(observer), hook):
                setattr(other, field, (*getattr(self, field), getattr(observer, hook)))
        return other

    def tell(self, hooks: tuple[Hook, ...], *values: Any) -> None:
        """Call each of *hooks*; what one raises is logged, the first time."""
        for hook in hooks:
            try:
                hook(*values)
            except (Exception, CancelledError):  # noqa: BLE001 - an observer breaks no call
                self._say_once(hook)

    def headers(self, value: Any) -> dict[str, str]:
        """Return the headers that observers want to be sent with the request that *value* tells of."""
        headers: dict[str, str] = {}
        for hook in self.request_headers:
            try:
                headers.update(headers_of("an observer's headers", hook(value)))
            except (Exception, CancelledError):  # noqa: BLE001 - as above
                self._say_once(hook)
        return headers

    def _say_once(self, hook: Hook) -> None:
        if hook not in self._failed:
            self._failed.add(hook)
            LOGGER.exception("an observer failed in %s: the call goes on, and this is not said again", _name_of(hook))


def _name_of(hook: Hook) -> str:
    return escaped(getattr(hook, "__qualname__", None) or repr(type(hook)), 200)


def _check(one: object, where: str) -> None:
    """Check that *one* is an observer.

    Raises:
        ConfigurationError: it is not.

    """
    if isinstance(one, type):
        message = f"{where} is the class {one.__name__}; give an object of it"
        raise ConfigurationError(message)
    hooks = {name: hook for name in PUBLIC if (hook := getattr(one, name, None)) is not None}
    for name, hook in hooks.items():
        if not callable(hook) or inspect.iscoroutinefunction(hook):
            message = (
                f"{where}.{name} must be a plain function, not {'async' if callable(hook) else type(hook).__name__}"
            )
            raise ConfigurationError(message)
    if not hooks:
        kind = type(one)
        near = next(
            (f"; {said}" for name in dir(kind) if name.startswith("on_") and (said := did_you_mean(name, PUBLIC))), ""
        )
        message = f"{where} ({kind.__name__}) has none of the hooks {', '.join(PUBLIC)}{near}"
        raise ConfigurationError(message)


LOG_ALONE: Final = Hooks()
"""Of a client without observers."""


def hooks_of(observers: Iterable[object]) -> Hooks | None:
    """Return the hooks of the observers that a client is given, None if there are none.

    Raises:
        ConfigurationError: one of them is none.

    """
    try:
        given = tuple(observers)
    except TypeError:
        message = f"observers must be a list of objects, not {type(observers).__name__}"
        raise ConfigurationError(message) from None
    return Hooks(given) if given else None

"""Rounds of a model and its tools: it is asked, the tools that it calls are run at once, it is asked again.

What goes back is what the documentation of OpenAI (function calling) and of Google (OpenAI compatibility, thought
signatures) demands: the answer as it came, with every call and every field of it, then one message for each call, in
their order, with its id and its name. The name is Google's, and tells calls apart that an upstream gave no id.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs

from anyfast_async._limits.budget import Spending
from anyfast_async._limits.reservation import Account, AccountOfRun
from anyfast_async._tools.content import content_of, error_content
from anyfast_async._tools.signature import ArgumentsError
from anyfast_async._values.rules import shown
from anyfast_async._values.text import did_you_mean
from anyfast_async.errors import (
    AnyFastError,
    ConfigurationError,
    DeadlineExceeded,
    FieldError,
    RequestValidationError,
    ToolRoundsError,
    escaped,
)
from anyfast_async.messages import Message, Prompt, ToolCall, ToolMessage, as_messages
from anyfast_async.policies import Budget
from anyfast_async.requests import ChatRequest
from anyfast_async.tools import AnyTool, OnError, Tool, ToolRun, ToolUse

if TYPE_CHECKING:
    from anyfast_async._client.calls import Calls
    from anyfast_async.completions import ChatCompletion

_WORDS: Final = 2000
"""Characters of an exception's message that a model is told."""


class ToolRounds:
    """One conversation with tools.

    Args:
        calls: makes the calls.
        messages: what is asked.
        tools: what the model may call.
        options: of each call.
        max_rounds: how often the model is asked at most.
        concurrency: tools that run at once.
        deadline: seconds for the whole; None: any.
        budget: a ceiling on what the requests of this run may spend.
        on_error: says to the model what a tool raised.

    Raises:
        ConfigurationError: an argument cannot be, or a tool.
        RequestValidationError: an option cannot be.

    """

    def __init__(
        self,
        calls: Calls,
        messages: Prompt | ChatRequest,
        tools: Iterable[AnyTool],
        options: Mapping[str, Any],
        *,
        max_rounds: int,
        concurrency: int,
        deadline: float | None,
        budget: Budget | None,
        on_error: OnError | None,
    ) -> None:
        _check_whole("max_rounds", max_rounds)
        _check_whole("concurrency", concurrency)
        if deadline is not None and not (type(deadline) in (int, float) and 0 < deadline < math.inf):
            message = f"deadline must be seconds above 0 or None, not {deadline!r}"
            raise ConfigurationError(message)
        if budget is not None and not isinstance(budget, Budget):
            message = f"budget must be a Budget or None, not {escaped(repr(budget), 80)}"
            raise ConfigurationError(message)
        if budget is not None and budget.name is not None:
            message = "budget is of this run alone, and has no name; AnyFast(budget=Budget(name=...)) shares one"
            raise ConfigurationError(message)
        self._calls = calls
        self._options = {name: value for name, value in options.items() if value is not None}
        # By name they come among the options, where the wire has a field called so.
        self._tools = tools_of(self._options.pop("tools", tools) if tools == () else tools)
        self._request, self._history = self._first(messages)
        self._max_rounds = max_rounds
        self._turns = asyncio.Semaphore(concurrency)
        self._seconds = deadline
        self._ends_at: float | None = None
        self._on_error = on_error or _in_words
        self._account_of = Account if budget is None else self._accounts_within(budget)
        self._completions: list[ChatCompletion] = []
        self._uses: list[ToolUse] = []

    @property
    def so_far(self) -> ToolRun:
        """What there is."""
        return ToolRun(history=tuple(self._history), completions=tuple(self._completions), uses=tuple(self._uses))

    async def run(self) -> ToolRun:
        """Ask until the model answers without a call."""
        loop = asyncio.get_running_loop()
        self._ends_at = None if self._seconds is None else loop.time() + self._seconds
        try:
            await self._rounds()
        except Exception as error:
            self._attach(error)
            raise
        return self.so_far

    async def _rounds(self) -> None:
        while calls := await self._asked():
            if len(self._completions) >= self._max_rounds:
                raise self._too_many(calls)
            await self._answer(calls)

    def _attach(self, error: Exception) -> None:
        """Let an error carry what there is: tools may have done something, and answers are paid for."""
        if isinstance(error, AnyFastError):
            error.tool_run = self.so_far
        elif hasattr(error, "__dict__"):
            error.__dict__["tool_run"] = self.so_far

    # -- the model ---------------------------------------------------------------------------------------------------

    def _first(self, messages: Prompt | ChatRequest) -> tuple[ChatRequest, list[Message]]:
        """Return the checked request, and the messages in it that the caller gave."""
        if "tools" in self._options or (isinstance(messages, ChatRequest) and messages.tools is not None):
            problem = "are given to run_tools itself, as functions; definitions alone cannot be called"
            raise RequestValidationError.of([FieldError("tools", problem)])
        definitions = [tool.definition for tool in self._tools.values()]
        options = self._options | ({"tools": definitions} if definitions else {})
        request = self._calls.request(messages, options)
        if request.n not in (None, 1) or (request.extra_body or {}).get("n") not in (None, 1):
            raise RequestValidationError.of([FieldError("n", "must be 1 where tools are run")])
        given = as_messages(messages.messages if isinstance(messages, ChatRequest) else messages)
        return request, [*given]

    async def _asked(self) -> list[ToolCall]:
        """Ask the model, and return the calls that it wants; those without a name do not go back to it."""
        completion = await self._calls.complete(self._request, self._timed(), account_of=self._account_of)
        self._completions.append(completion)
        self._history.append(completion.message)
        self._request = attrs.evolve(
            self._request,
            messages=(*self._request.messages, completion.message),
            # A choice that forces a call would force one for ever.
            tool_choice=self._request.tool_choice if self._request.tool_choice in ("auto", "none") else None,
        )
        return [call for call in completion.tool_calls if call.name]

    def _timed(self) -> Mapping[str, Any]:
        """Return the options of the next call, which has no more time than there is left."""
        if self._ends_at is None:
            return self._options
        left = self._ends_at - asyncio.get_running_loop().time()
        if left <= 0:
            raise self._too_late()
        timeouts = self._calls.timeouts_of(self._options)
        total = left if timeouts.total is None else min(left, timeouts.total)
        return {**self._options, "timeout": attrs.evolve(timeouts, total=max(total, _SHORTEST))}

    def _accounts_within(self, budget: Budget) -> Callable[..., Account]:
        """Return what makes the accounts of the calls, each request of which counts for *budget* too."""
        spending = Spending(budget, self._calls.shared.spending.prices)
        model = self._request.model or ""
        if budget.usd is None:
            return partial(AccountOfRun, spending, None)
        price = spending.prices.price(model) if spending.prices is not None else None
        if price is None:
            message = (
                f"Budget(usd=...) needs the price of {escaped(model, 60)!r}; give AnyFast(prices=Prices(...)) with it"
            )
            raise ConfigurationError(message)
        return partial(AccountOfRun, spending, price)

    def _too_many(self, calls: list[ToolCall]) -> ToolRoundsError:
        names = ", ".join(dict.fromkeys(escaped(call.name, 60) for call in calls))
        return ToolRoundsError(
            f"the model was asked max_rounds={self._max_rounds} times and still calls tools ({names}); what it called "
            "last was not run. error.tool_run has the conversation"
        )

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"the deadline of {self._seconds:g} s for the run with tools passed")

    # -- the tools ---------------------------------------------------------------------------------------------------

    async def _answer(self, calls: list[ToolCall]) -> None:
        """Run what the model calls, at once, and put what it is told behind the history in the order of the calls."""
        clock = asyncio.timeout_at(self._ends_at)
        tasks: list[asyncio.Task[ToolUse]] = []
        try:
            async with clock, asyncio.TaskGroup() as group:
                tasks += [group.create_task(self._use(call)) for call in calls]
        except TimeoutError:
            if clock.expired():
                raise self._too_late() from None
            raise
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        finally:
            done = [task.result() for task in tasks if task.done() and not task.cancelled() and not task.exception()]
            self._uses += done
        told = [ToolMessage(use.content, _id_of(use.call), name=use.call.name) for use in done]
        self._history += told
        self._request = attrs.evolve(self._request, messages=(*self._request.messages, *told))

    async def _use(self, call: ToolCall) -> ToolUse:
        async with self._turns:
            now = asyncio.get_running_loop().time
            begun = now()
            try:
                content, error = await self._called(call), None
            except _NoResult as failed:
                content, error = error_content(str(failed)), str(failed)
            return ToolUse(round=len(self._completions), call=call, content=content, error=error, seconds=now() - begun)

    async def _called(self, call: ToolCall) -> str:
        """Return what the tool says.

        Raises:
            _NoResult: there is no such tool, or the arguments do not fit it, or it failed; in words for the model.

        """
        tool = self._tools.get(call.name)
        if tool is None:
            hint = did_you_mean(call.name, self._tools)
            known = f"the tools are {', '.join(self._tools)}" if self._tools else "there are no tools"
            words = f"there is no tool {escaped(call.name, 80)!r}; {hint + ' ' if hint else ''}{known}"
            raise _NoResult(words)
        try:
            args, kwargs = tool.read(_arguments_of(call))
        except ArgumentsError as error:
            words = f"invalid arguments: {error}"
            raise _NoResult(words) from None
        try:
            return content_of(await _result(tool, args, kwargs))
        except _TooSlow:
            words = f"{tool.name} did not answer within {tool.timeout:g} s"
            raise _NoResult(words) from None
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            words = f"{tool.name} was cancelled"  # by itself: nobody cancels the run
            raise _NoResult(words) from None
        except Exception as error:  # noqa: BLE001 - tools raise what they like, and the model is told
            raise _NoResult(self._on_error(call, error)) from None


class _NoResult(Exception):  # noqa: N818 - it is told, not raised to anybody
    """There is no result; ``str()`` says why, to the model."""


class _TooSlow(Exception):  # noqa: N818
    """A tool's own time is over."""


_SHORTEST: Final = 0.001


async def _result(tool: Tool[Any, Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    clock = asyncio.timeout(tool.timeout)
    try:
        async with clock:
            if tool.is_async:
                return await tool.function(*args, **kwargs)
            result = await asyncio.to_thread(tool.function, *args, **kwargs)
            return await result if isinstance(result, Awaitable) else result
    except TimeoutError:
        if clock.expired():
            raise _TooSlow from None
        raise


def _in_words(call: ToolCall, error: Exception) -> str:
    words = str(error)
    return f"{call.name} failed: {type(error).__name__}" + (f": {escaped(words, _WORDS)}" if words else "")


def _arguments_of(call: ToolCall) -> Any:
    """Return the arguments of a call: text, or the object that some upstreams send."""
    function = call.function
    if function is None:
        return None
    return function.arguments if function.arguments is not None else function.extra.get("arguments")


def _id_of(call: ToolCall) -> str:
    """Return the id of a call as it goes back with the answer; some upstreams give numbers, or nothing."""
    given = call.id if call.id is not None else call.extra.get("id")
    return given if isinstance(given, str) else str(given) if type(given) is int else ""


def tools_of(tools: Iterable[AnyTool]) -> dict[str, Tool[Any, Any]]:
    """Return tools by their names, functions made ones.

    Raises:
        ConfigurationError: one of them is none, or two have one name.

    """
    if isinstance(tools, (str, Mapping)) or not isinstance(tools, Iterable):
        message = f"tools must be a list of functions or Tool objects, not {shown(tools)}"
        raise ConfigurationError(message)
    found: dict[str, Tool[Any, Any]] = {}
    for one in tools:
        tool = one if isinstance(one, Tool) else Tool(one)
        if tool.name in found:
            message = f"two tools are called {tool.name!r}; give one of them another name: tool(function, name=...)"
            raise ConfigurationError(message)
        found[tool.name] = tool
    return found


def _check_whole(name: str, value: Any) -> None:
    if type(value) is not int or value < 1:
        message = f"{name} must be a whole number from 1 up, not {value!r}"
        raise ConfigurationError(message)

"""``AnyFast``: composes the floors below.

The verbs and their documentation stand here; how a call is made stands in ``_client/calls``.
"""

from __future__ import annotations

import os
import ssl as ssl_module
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack, overload

from anyfast_async._client.calls import AT_ONCE, Calls, Setup
from anyfast_async._client.shared import Shared, spending_of
from anyfast_async._core.retry.retry_budget import RetryBudget
from anyfast_async._http.api_key import Key, KeySource
from anyfast_async._http.settings import (
    base_url_of,
    check_keyless,
    check_kind,
    headers_of,
    proxy_of,
    unused_proxy,
    whole_in,
)
from anyfast_async._observers.hooks import hooks_of
from anyfast_async._observers.log import show
from anyfast_async._size_limits import MAX_HEAD
from anyfast_async.completions import ChatCompletion, Model
from anyfast_async.messages import Prompt
from anyfast_async.policies import Budget, Hedge, Limits, RetryPolicy, Timeouts, as_timeouts
from anyfast_async.requests import ChatOptions, ChatRequest

if TYPE_CHECKING:
    from types import TracebackType

    from anyfast_async._client.explanation import Explanation
    from anyfast_async._client.stats import Stats
    from anyfast_async._map.map_run import MapRun
    from anyfast_async._map.result import Progress
    from anyfast_async._stream.chat_stream import ChatStream
    from anyfast_async._stream.object_stream import ObjectStream
    from anyfast_async.prices import Prices
    from anyfast_async.tools import AnyTool, OnError, ToolRun


T = TypeVar("T")

CLOSING: Final = 1.0
"""Seconds that closing waits for the calls it has stopped."""

_UNSET: Final[Any] = object()


class AnyFast:
    """A client for the AnyFast gateway's chat completions.

    Use it as an async context manager, or call :meth:`aclose`. It may be built outside of an event loop, and belongs to
    the loop in which it is first used; once that one does not run any more, it serves the next.

    Args:
        api_key: the key: a ``str``, a ``pathlib.Path`` to a file that holds it (read again when it changes), or an
            async function (asked once per attempt, and once more after a 401), or ``NO_KEY`` for a server that wants
            none. Else ``ANYFAST_API_KEY``, else the file named by ``ANYFAST_API_KEY_FILE``. A file is read when the
            client is built and again, in a thread, when it has changed or the key in it was refused; while it is away,
            empty or half written the last key goes on.
        base_url: the gateway, with or without ``/v1`` or the whole endpoint; else ``ANYFAST_BASE_URL``, else https://www.anyfast.ai/v1.
        model: the model of calls that name none; else ``ANYFAST_MODEL``. There is no default model.
        limits: what the client allows itself.
        retry: when a failed attempt is made again.
        timeouts: the clocks.
        budget: a ceiling on what the client may spend.
        headers: sent with every request.
        proxy: the URL of an HTTP proxy, or ``"env"`` for ``HTTPS_PROXY`` and ``NO_PROXY``.
        ssl_context: for another certificate authority, or client certificates.
        allow_http: hosts to which plain http is allowed; also ``ANYFAST_ALLOW_HTTP``, separated by commas. Loopback is
            always allowed.
        max_head: the largest head of an answer in bytes, 1024 to 16 MiB; a larger one is an error.
        prices: what tokens cost, for ``Budget(usd=...)`` and every cost that is told; else the list prices of the extra
            ``prices``, where it is installed.
        hedge: when a stream that is late is asked for a second time; None: never.
        observers: objects that are told of attempts, holds and calls, see ``anyfast_async.observing``. The log of the
            logger ``anyfast_async`` is there without them; ``ANYFAST_LOG=debug`` (``info``, ``warning``) shows it on
            the standard error.

    Raises:
        ConfigurationError: no key, or ``NO_KEY`` for the default gateway, or an argument that cannot be; the message
            names it.

    """

    def __init__(
        self,
        api_key: KeySource | None = None,
        *,
        base_url: str | None = None,
        model: str | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008
        timeouts: Timeouts = Timeouts(),  # noqa: B008
        budget: Budget | None = None,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        ssl_context: ssl_module.SSLContext | None = None,
        allow_http: Sequence[str] = (),
        max_head: int = MAX_HEAD,
        prices: Prices | None = None,
        hedge: Hedge | None = None,
        observers: Iterable[object] = (),
    ) -> None:
        try:
            key = Key(api_key)
        finally:
            del api_key  # tracebacks may show locals
        check_kind("limits", limits, Limits)
        check_kind("retry", retry, RetryPolicy)
        check_kind("timeouts", timeouts, Timeouts)
        check_kind("budget", budget, Budget, None)
        check_kind("hedge", hedge, Hedge, None)
        if prices is not None:
            from anyfast_async.prices import Prices  # noqa: PLC0415 - whoever has some, has it

            check_kind("prices", prices, Prices, None)
        check_kind("ssl_context", ssl_context, ssl_module.SSLContext, None)
        allowed = tuple(allow_http)
        hooks = hooks_of(observers)
        show(os.environ.get("ANYFAST_LOG"))
        address = base_url_of(base_url, allowed)
        if key.absent:
            check_keyless(address)
        setup = Setup(
            key=key,
            base_url=address,
            allow_http=allowed,
            model=model if model is not None else os.environ.get("ANYFAST_MODEL") or None,
            limits=limits,
            retry=retry,
            timeouts=timeouts,
            headers=headers_of("headers", headers),
            hooks=hooks,
            hedge=hedge,
        )
        self._shared = Shared(
            limits,
            RetryBudget(retry.retry_ratio),
            spending_of(budget, prices, limits),
            ssl_context=ssl_context,
            proxy=proxy_of(proxy, address),
            hint=unused_proxy(proxy, address),
            max_head=whole_in("max_head", max_head, 1024, 16 * 1024 * 1024),
            hooks=hooks,
        )
        self._calls = Calls(self._shared, setup)
        self._root = True
        if budget is not None and budget.usd is not None and setup.model is not None:
            self._calls.price_of(setup.model)

    def __repr__(self) -> str:
        # A traceback that shows locals may show a client whose construction failed.
        setup = self._calls.setup if hasattr(self, "_calls") else None
        base_url, model = ("", None) if setup is None else (setup.base_url, setup.model)
        return f"AnyFast(base_url={str(base_url)!r}, model={model!r})"

    async def __aenter__(self) -> Self:
        await self._shared.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, grace: float = 0) -> None:
        """Close the client.

        Queued calls end at once; those in flight get *grace* seconds, then end too, all with ``ClientStateError``.
        Only the client that was built closes anything, not what ``with_options`` made of it. Calling it again does
        nothing.
        """
        shared = self._shared
        if not self._root or shared.closed:
            return
        shared.closed = True
        shared.gate.close()
        shared.spending.close()
        if grace > 0:
            await shared.in_flight.ended(grace)
        shared.in_flight.stop()
        await shared.in_flight.ended(CLOSING)
        if shared.gate.sharing is not None:
            await shared.gate.sharing.aclose()
        await shared.spending.aclose()
        await shared.transport.aclose()

    def with_options(
        self,
        *,
        api_key: KeySource = _UNSET,
        base_url: str = _UNSET,
        model: str | None = _UNSET,
        retry: RetryPolicy = _UNSET,
        timeouts: Timeouts | float = _UNSET,
        headers: Mapping[str, str] | None = _UNSET,
        lane: str | None = _UNSET,
        weight: float = _UNSET,
        priority: int = _UNSET,
        reserve: int = _UNSET,
        hedge: Hedge | None = _UNSET,
    ) -> Self:
        """Return a client with other settings that shares connections and limits with this one. It costs nothing.

        *headers* are put over those of this client.

        Calls of a *lane* share the limits with those of others, by tokens. While several wait, lanes of *priority* 0
        (the default) go before 1, to 9, and each of these gets a tenth at least; among equals it is the *weight* that
        counts (default 1). *reserve* places in flight are kept free for it. Within a lane calls go as they came. Who
        names a lane again is in the same one, and changes of its settings those that are given. None leaves it.

        Raises:
            ConfigurationError: as at construction; *weight*, *priority* or *reserve* without a lane.

        """
        before = self._calls.setup
        changes: dict[str, Any] = {}
        try:
            if api_key is not _UNSET:
                changes["key"] = Key(api_key)
        finally:
            del api_key  # tracebacks may show locals
        if base_url is not _UNSET:
            changes["base_url"] = base_url_of(base_url, before.allow_http)
        if model is not _UNSET:
            changes["model"] = model
        if retry is not _UNSET:
            check_kind("retry", retry, RetryPolicy)
            changes["retry"] = retry
        if timeouts is not _UNSET:
            changes["timeouts"] = as_timeouts(timeouts, before.timeouts)
        if hedge is not _UNSET:
            check_kind("hedge", hedge, Hedge, None)
            changes["hedge"] = hedge
        if headers is not _UNSET:
            changes["headers"] = {**before.headers, **headers_of("headers", headers)}
        numbers = {"weight": weight, "priority": priority, "reserve": reserve}
        given = {name: value for name, value in numbers.items() if value is not _UNSET}
        if lane is not _UNSET or given:
            changes["lane"] = self._shared.gate.named(before.lane if lane is _UNSET else lane, given)
        calls = self._calls.changed(**changes)
        if calls.setup.key.absent:
            check_keyless(calls.setup.base_url)
        other = object.__new__(type(self))
        other._shared, other._calls, other._root = self._shared, calls, False
        return other

    # -- the verbs ---------------------------------------------------------------------------------------------------

    async def complete(self, messages: Prompt | ChatRequest, **options: Unpack[ChatOptions]) -> ChatCompletion:
        """Send *messages* and return the completion.

        Args:
            messages: a ``str`` (one user message), a message, several, or a ``ChatRequest``.
            **options: the fields of the wire, see :class:`ChatRequest`, and of the call, see ``CallOptions``.

        Raises:
            RequestValidationError: naming every bad field; nothing was sent.
            AnyFastError: the call failed; ``.attempts`` tells what was tried, ``.billed`` whether it may have cost
                money.

        """
        calls = self._calls
        plan = calls.plans.get(options) or calls.plan(options)
        if plan is not None and (body := plan.body(messages)) is not None:
            return await calls.planned(plan, messages, body)  # type: ignore[arg-type]  # a text
        return await calls.complete(calls.request(messages, options), options)

    @overload
    def stream(
        self, messages: Prompt | ChatRequest, *, into: None = None, **options: Unpack[ChatOptions]
    ) -> ChatStream: ...

    @overload
    def stream(
        self, messages: Prompt | ChatRequest, *, into: type[T], **options: Unpack[ChatOptions]
    ) -> ObjectStream[T]: ...

    def stream(
        self, messages: Prompt | ChatRequest, *, into: type[T] | None = None, **options: Unpack[ChatOptions]
    ) -> ChatStream | ObjectStream[T]:
        """Return the stream that answers *messages*; nothing is sent before it is entered, awaited or iterated over.

        Args:
            messages: as for :meth:`complete`.
            into: a class, as for :meth:`parse`: then what is iterated over is not text, but how much of the object
                there is, and ``.value`` is the instance at the end.
            **options: as for :meth:`complete`.

        Raises:
            RequestValidationError: naming every bad field; nothing is sent.

        """
        stream = self._calls.stream(self._calls.request(messages, options, into), options)
        if into is None:
            return stream
        from anyfast_async._stream.object_stream import ObjectStream  # noqa: PLC0415 - with the first object

        return ObjectStream(stream, into)

    @overload
    def map(
        self,
        source: Iterable[Any] | AsyncIterable[Any],
        *,
        request: Callable[[Any], Prompt | ChatRequest] | None = None,
        template: str | None = None,
        image: str | None = None,
        document: str | None = None,
        files_under: str | os.PathLike[str] | None = None,
        id: Callable[[Any], Any] | str | None = None,
        into: None = None,
        repair: int = 0,
        concurrency: int = AT_ONCE,
        ordered: bool = False,
        journal: str | os.PathLike[str] | None = None,
        progress: Callable[[Progress], None] | bool = False,
        stop_on: Iterable[str] = ...,
        retry: Iterable[str] | str | None = None,
        changed: bool = False,
        dedupe: bool = False,
        deadline: float | None = None,
        give_up_after: float | None = None,
        **options: Unpack[ChatOptions],
    ) -> MapRun[None]: ...

    @overload
    def map(
        self,
        source: Iterable[Any] | AsyncIterable[Any],
        *,
        request: Callable[[Any], Prompt | ChatRequest] | None = None,
        template: str | None = None,
        image: str | None = None,
        document: str | None = None,
        files_under: str | os.PathLike[str] | None = None,
        id: Callable[[Any], Any] | str | None = None,
        into: type[T],
        repair: int = 0,
        concurrency: int = AT_ONCE,
        ordered: bool = False,
        journal: str | os.PathLike[str] | None = None,
        progress: Callable[[Progress], None] | bool = False,
        stop_on: Iterable[str] = ...,
        retry: Iterable[str] | str | None = None,
        changed: bool = False,
        dedupe: bool = False,
        deadline: float | None = None,
        give_up_after: float | None = None,
        **options: Unpack[ChatOptions],
    ) -> MapRun[T]: ...

    def map(
        self,
        source: Iterable[Any] | AsyncIterable[Any],
        *,
        request: Callable[[Any], Prompt | ChatRequest] | None = None,
        template: str | None = None,
        image: str | None = None,
        document: str | None = None,
        files_under: str | os.PathLike[str] | None = None,
        id: Callable[[Any], Any] | str | None = None,  # noqa: A002 - what it is called everywhere
        into: type[T] | None = None,
        repair: int = 0,
        concurrency: int = AT_ONCE,
        ordered: bool = False,
        journal: str | os.PathLike[str] | None = None,
        progress: Callable[[Progress], None] | bool = False,
        stop_on: Iterable[str] = ("auth",),
        retry: Iterable[str] | str | None = None,
        changed: bool = False,
        dedupe: bool = False,
        deadline: float | None = None,
        give_up_after: float | None = None,
        **options: Unpack[ChatOptions],
    ) -> MapRun[Any]:
        """Send every item of *source* and return the run: await it for a list in input order, or enter it and iterate.

        A bad item is a value (``result.error``), not a raise. Throttling never fails an item. An item's ``timeout``
        runs from its admission, and stands still while the gateway throttles or is away.

        Args:
            source: any iterable or async iterable of prompts, messages, ``ChatRequest`` objects, or, with *request*,
                of anything. It may be endless. With *template* it may be a table (pandas, polars, Arrow, DuckDB).
            request: makes the prompt or ``ChatRequest`` of an item.
            template: makes the prompt of a row: ``"Good or bad? {text}"``, fields as ``{meta.author}``. Rows are dicts.
            image: with *template*: the name of the field that holds the image of a row, which is sent with the prompt:
                an ``https:`` or ``data:`` URL, bytes, or the path of a file under *files_under*. Several in a list.
            document: likewise, for a PDF or a text.
            files_under: the folder under which local files may be, however a row names them; None: none is read.
            id: the id of an item, as ``result.id`` and in ``result.row()``: the name of a field, or a function of the
                item. Else its ``custom_id`` or ``id``. It keeps its type.
            into: a class to parse every answer into, as ``result.value``; an answer that does not fit is an error.
            repair: with *into*: as for :meth:`parse`. ``result.rejected`` are the answers that did not fit; what they
                used is part of ``result.cost`` and of the tokens in ``result.row()``.
            concurrency: items in work at once, from 1; ``Limits.concurrency`` bounds them too. Default: 64, or with
                ``Limits(concurrency="auto")`` as many as it may find.
            ordered: give results in the order of the source, not as they come.
            journal: a file of answers, made if it is not there. What an earlier run recorded is given again
                (``result.recorded``) and not sent; of failed items those are sent that may succeed
                (``error.retryable``). An item is known by its id, or by its request and how often that came before.
            progress: True for a bar in a terminal or a notebook, if rich is installed, else a line every 10 s to the
                standard error; or a function, called with a ``Progress`` after each result.
            stop_on: kinds of errors of an item that end the run; those of this side do in any case (a spent budget, a
                closed client, a key that cannot be had). A used-up quota or an unknown model ends the items of that
                model alone, unless it is named here.
            retry: which items are sent again that the *journal* has a result of, in place of those that failed and may
                succeed: ``"all"`` (every failed one), ``"none"``, kinds of errors, outcomes of answers (``"empty"``,
                ``"cut"``, ``"filtered"``, ``"refused"``). A new answer replaces the old one, which stays in the log.
            changed: True to go on although options differ from those that the *journal* was written with, such as a
                larger ``max_tokens`` for ``retry="cut"``: what is recorded for an id then counts for any request.
            dedupe: True to send equal requests once, and give the answer to all of them (``result.same_as`` names the
                item that was sent): also where each would have had an answer of its own, as with a ``temperature``.
            deadline: seconds for the whole run. At its end, items that are not answered carry ``DeadlineExceeded``;
                ``error.billed`` of those that were not sent is ``"no"``.
            give_up_after: seconds without an answer or anything in flight (throttled, away) that end the run.
            **options: as for :meth:`complete`, for every item.

        A run that ends early (``.stopped`` says why) finishes what is in flight, unless it is the deadline, and sends
        nothing more. Awaited, the items that were not sent carry ``NotSentError``; iterated over, the run raises what
        ended it after the last result, but for the deadline, which raises nothing.

        Raises:
            ConfigurationError: an argument is wrong; on entering: another process has the *journal*, or it is none.
            RequestValidationError: an option is wrong; nothing is sent.
            OSError: while it runs: the *journal* cannot be written; what it has stays.
            Exception: what *source* or *progress* raises, after what is in flight. Awaited, ``.results`` of it (and of
                every other exception) is a list of what there is.

        """
        from anyfast_async._client.map_arguments import plan_of, run_of, template_of  # noqa: PLC0415 - with the first

        filled = template_of(template, image, document, files_under)
        plan = plan_of(
            self._calls,
            options,
            request=request,
            id_=id,
            template=filled,
            into=into,
            repair=repair,
            concurrency=concurrency,
            deadline=deadline,
            give_up_after=give_up_after,
            is_looked_into=journal is not None or dedupe,
        )
        return run_of(
            source,
            plan,
            template=filled,
            id_=id,
            journal=journal,
            progress=progress,
            stop_on=stop_on,
            concurrency=self._calls.width(concurrency),
            ordered=ordered,
            retry=retry,
            changed=changed,
            dedupe=dedupe,
        )

    async def parse(
        self, messages: Prompt | ChatRequest, kind: type[T], *, repair: int = 0, **options: Unpack[ChatOptions]
    ) -> T:
        """Ask for JSON that describes a *kind* and return the instance.

        It is ``complete(..., response_format=<the schema of kind>)`` and ``completion.parse(kind)``.

        Args:
            messages: as for :meth:`complete`.
            kind: an attrs class, a dataclass, a pydantic model, or anything made of them and of plain values.
            repair: how often an answer that does not fit is sent back to the model with what is wrong, 0 to 10. Each
                time is another call, and billed.
            **options: as for :meth:`complete`; a ``response_format`` of your own is used instead of the schema.

        Raises:
            OutputError: the answer does not fit; ``.errors`` names every place, ``.completion`` is the answer,
                ``.rejected`` are those before it.
            AnyFastError: the call failed.

        """
        calls = self._calls
        if repair:
            from anyfast_async._client.repairs import parsed  # noqa: PLC0415 - with the first repair
            from anyfast_async._structured.repair import MOST  # noqa: PLC0415

            return await parsed(calls, messages, kind, options, whole_in("repair", repair, 0, MOST))
        plan = calls.plans.get(options, kind) or calls.plan(options, kind)
        if plan is not None and (body := plan.body(messages)) is not None:
            return (await calls.planned(plan, messages, body)).parse(kind)  # type: ignore[arg-type]  # a text
        return (await calls.complete(calls.request(messages, options, kind), options)).parse(kind)

    async def run_tools(
        self,
        messages: Prompt | ChatRequest,
        functions: Iterable[AnyTool] = (),
        /,
        *,
        max_rounds: int = 8,
        concurrency: int = 8,
        deadline: float | None = None,
        budget: Budget | None = None,
        on_error: OnError | None = None,
        **options: Unpack[ChatOptions],
    ) -> ToolRun:
        """Let the model call *functions* until it answers without a call, and return the conversation.

        The calls of one answer run at once. A tool that fails, arguments that do not fit and a name that no tool has
        are told to the model, which may do better; cancellation and what *on_error* raises end the run.

        Args:
            messages: as for :meth:`complete`; the ``history`` of an earlier run with the next question behind it.
            functions: the tools: functions, or what ``@tool`` made of them; ``tools=`` takes them, too.
            max_rounds: how often the model is asked at most, from 1.
            concurrency: tools that run at once, from 1.
            deadline: seconds for the whole run.
            budget: a ceiling on what the requests of this run may spend, beside that of the client.
            on_error: returns the words that the model is told of what a tool raised; else its class and its message.
            **options: as for :meth:`complete`, for every request. A ``tool_choice`` that forces a call holds for the
                first one.

        Raises:
            ConfigurationError: a tool or an argument cannot be; nothing was sent.
            RequestValidationError: naming every bad field; nothing was sent.
            ToolRoundsError: the model still calls tools after *max_rounds* answers.
            DeadlineExceeded: the *deadline* passed.
            BudgetExceeded: the *budget* has no room for the next request.
            AnyFastError: a request failed. Each error has the conversation so far as ``.tool_run``.

        """
        from anyfast_async._tools.rounds import ToolRounds  # noqa: PLC0415 - with the first tool

        return await ToolRounds(
            self._calls,
            messages,
            functions,
            options,
            max_rounds=max_rounds,
            concurrency=concurrency,
            deadline=deadline,
            budget=budget,
            on_error=on_error,
        ).run()

    async def models(self) -> list[Model]:
        """Return the models that the key may use, as the gateway lists them.

        Raises:
            AnyFastError: the call failed.

        """
        return await self._calls.models()

    def explain(self) -> Explanation:
        """Return what limits the client now, for each model and lane, and what would help; ``str()`` says it in words.

        Raises:
            RuntimeError: no loop runs.

        """
        from anyfast_async._client.explanation import explain  # noqa: PLC0415 - with the first question

        return explain(self._shared.gate, self._calls.setup.limits, self._shared.spending)

    def stats(self) -> Stats:
        """Return what the client is doing now, and what it has done; ``str()`` of it is a sentence."""
        from anyfast_async._client.stats import stats_of  # noqa: PLC0415 - with the first look

        shared = self._shared
        return stats_of(shared.gate, shared.spending, shared.phases, shared.hedging.values())

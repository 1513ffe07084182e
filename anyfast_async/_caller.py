"""How a client makes its calls; what ``AnyFast`` adds to it are the verbs.

A call goes: request built and checked, encoded once, then total( retry( gate( exchange ) ) ), and one pure function
turns what came into a completion or an exception.
"""

from __future__ import annotations

import difflib
import time
import warnings
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final

from anyfast_async._account import Account
from anyfast_async._call import Call
from anyfast_async._core import answer
from anyfast_async._mapping import AT_ONCE
from anyfast_async._opening import Draining, receive
from anyfast_async._outgoing import STREAM_HEADERS, UNARY_HEADERS, Route, encoded, idempotency_key
from anyfast_async._schema import response_format, writes_out
from anyfast_async._settings import headers_of
from anyfast_async._stream import ChatStream
from anyfast_async.errors import (
    AnyFastError,
    ConfigurationError,
    FieldError,
    RequestValidationError,
    escaped,
)
from anyfast_async.messages import GEMINI_MODELS, Prompt
from anyfast_async.policies import as_timeouts
from anyfast_async.requests import ChatRequest, as_request

if TYPE_CHECKING:
    from yarl import URL

    from anyfast_async._account import Witness
    from anyfast_async._clock import Clock
    from anyfast_async._ending import Ending
    from anyfast_async._exchange import Exchange
    from anyfast_async._key import Key
    from anyfast_async._lane import Lane, Permit
    from anyfast_async._reception import Reception
    from anyfast_async._shared import Shared
    from anyfast_async.completions import ChatCompletion
    from anyfast_async.policies import Limits, RetryPolicy, Timeouts
    from anyfast_async.prices import Price

_STEERING: Final = frozenset({"system", "timeout", "via_stream", "accept_missing_finish", "extra_headers"})


class Caller:
    """The settings of a client, and the calls that are made with them."""

    _key: Key
    _base_url: URL
    _origin: URL
    _model: str | None
    _limits: Limits
    _retry: RetryPolicy
    _timeouts: Timeouts
    _headers: dict[str, str]
    _shared: Shared
    _routes: dict[tuple[str, str], Route]
    _lanes: dict[str, Lane]
    """By model."""

    async def _complete(
        self,
        request: ChatRequest,
        options: Mapping[str, Any],
        *,
        body: bytes | None = None,
        ending: Ending | None = None,
        witness: Witness | None = None,
    ) -> ChatCompletion:
        """Make a call; with *ending* it is one of a map, which is patient. *witness* is told of what is sent."""
        if options.get("via_stream"):
            return await self._complete_via_stream(request, options, body=body, ending=ending, witness=witness)
        timeouts = self._call_timeouts(options)
        route = self._route("chat/completions", UNARY_HEADERS, options.get("extra_headers"))
        key = idempotency_key()
        await self._shared.enter()
        content = body if body is not None else await self._encoded(request)

        async def attempt(permit: Permit, clock: Clock) -> ChatCompletion:
            exchange, answered = await self._round_trip(route, key, content, timeouts, clock, call)
            completion = answer.completion_of(
                exchange.status, exchange.headers, answered, now=time.time(), hide=exchange.hide
            )
            call.settle(permit, completion.usage)
            return completion

        call: Call[ChatCompletion] = self._call(request, timeouts, ending, witness)
        return call.traced(await call.run(attempt))

    async def _complete_via_stream(
        self,
        request: ChatRequest,
        options: Mapping[str, Any],
        *,
        body: bytes | None,
        ending: Ending | None,
        witness: Witness | None,
    ) -> ChatCompletion:
        timeouts = self._call_timeouts(options)
        route = self._route("chat/completions", STREAM_HEADERS, options.get("extra_headers"))
        key = idempotency_key()
        draining = Draining(accept_missing_finish=bool(options.get("accept_missing_finish")))
        await self._shared.enter()
        content = body if body is not None else await encoded(request, stream=True)

        async def attempt(permit: Permit, clock: Clock) -> ChatCompletion:
            draining.begin()
            exchange = await self._send(route, key, content, timeouts, clock)
            call.connect, call.status = exchange.connect_seconds, exchange.status
            completion = await draining.read(exchange, call, permit, clock)
            call.settle(permit, completion.usage)
            return completion

        call: Call[ChatCompletion] = self._call(request, timeouts, ending, witness)
        call.waits_for = "first_token"
        try:
            return call.traced(await call.run(attempt))
        except AnyFastError as error:
            error.partial = draining.partial(call) or error.partial
            raise

    async def _encoded(self, request: ChatRequest) -> bytes:
        """Return the body that asks for a whole answer."""
        return await encoded(request, stream=False)

    def _stream(self, request: ChatRequest, options: Mapping[str, Any], *, body: bytes | None = None) -> ChatStream:
        timeouts = self._call_timeouts(options)
        route = self._route("chat/completions", STREAM_HEADERS, options.get("extra_headers"))
        key = idempotency_key()
        lenient = bool(options.get("accept_missing_finish"))

        async def opened() -> tuple[Call[Reception], Reception]:
            await self._shared.enter()
            content = body if body is not None else await encoded(request, stream=True)

            async def attempt(permit: Permit, clock: Clock) -> Reception:
                exchange = await self._send(route, key, content, timeouts, clock)
                call.connect, call.status = exchange.connect_seconds, exchange.status
                return await receive(exchange, call, permit, clock, accept_missing_finish=lenient)

            call: Call[Reception] = self._call(request, timeouts)
            call.waits_for = "first_token"
            call.keeps_permit = True
            return call, await call.run(attempt)

        return ChatStream(opened, accept_missing_finish=lenient)

    async def _round_trip(  # noqa: PLR0917 - what an attempt consists of
        self, route: Route, key: str | None, body: bytes | None, timeouts: Timeouts, clock: Clock, call: Call[Any]
    ) -> tuple[Exchange, bytes]:
        """Make one attempt of *call* that is not streamed; return its exchange and what came."""
        exchange = await self._send(route, key, body, timeouts, clock)
        call.connect, call.status = exchange.connect_seconds, exchange.status
        try:
            if exchange.status in answer.SUCCESS:
                return exchange, await exchange.read()
            clock.stop()
            return exchange, await exchange.read_error(timeouts.response)
        except BaseException:
            exchange.close()
            raise

    def _send(
        self, route: Route, key: str | None, body: bytes | None, timeouts: Timeouts, clock: Clock
    ) -> Coroutine[Any, Any, Exchange]:
        return self._shared.transport.exchange(
            route,
            key=self._key,
            body=body,
            idempotency_key=key,
            connect_timeout=timeouts.connect,
            on_sent=clock.start,
        )

    def _url(self, path: str) -> URL:
        return self._base_url / path

    def _route(self, path: str, headers: Mapping[str, str], extra: Mapping[str, str] | None = None) -> Route:
        if not extra:
            known = self._routes.get((path, headers["Accept"]))
            if known is not None:
                return known
        method = "GET" if path == "models" else "POST"
        route = Route(method, self._url(path), headers, self._headers, headers_of("extra_headers", extra))
        if not extra:
            self._routes[path, headers["Accept"]] = route
        return route

    def _request(self, messages: Prompt | ChatRequest, options: Mapping[str, Any], into: Any = None) -> ChatRequest:
        """Return the checked request with its model; it asks for JSON of the class *into*, if that is given."""
        fields = dict(options)
        for name in _STEERING & fields.keys():
            del fields[name]
        if fields.get("model") is None and not (isinstance(messages, ChatRequest) and messages.model):
            fields["model"] = self._model
        if into is not None and fields.get("response_format") is None:
            model = fields.get("model") or getattr(messages, "model", None)
            fields["response_format"] = response_format(into, write_out=writes_out(model))
        request = as_request(messages, fields, system=options.get("system"))
        if request.model is None:
            problem = (
                "is not set: pass model= to the call or to AnyFast(...), or set ANYFAST_MODEL; there is no default"
            )
            raise RequestValidationError.of([FieldError("model", problem)])
        self._warn_of_unknown(request.model)
        return request

    def _warn_of_unknown(self, model: str) -> None:
        if not model.startswith("gemini-") or model in GEMINI_MODELS or model in self._shared.warned:
            return
        self._shared.warned.add(model)
        near = difflib.get_close_matches(model, GEMINI_MODELS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        warnings.warn(f"{escaped(model, 60)!r} is not among the documented Gemini models{hint}", stacklevel=4)

    def _warn_of_concurrency(self, asked: int) -> None:
        limit, said = self._limits.concurrency, f"concurrency {asked}"
        if asked is AT_ONCE or not isinstance(asked, int) or asked <= limit or said in self._shared.warned:
            return
        self._shared.warned.add(said)
        message = (
            f"map(concurrency={asked}) is more than Limits(concurrency={limit}) of the client: no more than {limit} "
            "calls are in flight at once"
        )
        warnings.warn(message, stacklevel=3)

    def _call_timeouts(self, options: Mapping[str, Any]) -> Timeouts:
        value = options.get("timeout")
        return self._timeouts if value is None else as_timeouts(value, self._timeouts)

    def _lane_of(self, model: str) -> Lane:
        lane = self._lanes.get(model)
        if lane is None:
            lane = self._lanes[model] = self._shared.gate.lane((self._origin, self._key.identity, model))
        return lane

    def _calls_of(self, ending: Ending) -> list[Call[Any]]:
        """Return the calls on their way that are of one map."""
        return [one for one in self._shared.running.members if isinstance(one, Call) and one.ending is ending]

    def _call(
        self,
        request: ChatRequest | None,
        timeouts: Timeouts,
        ending: Ending | None = None,
        witness: Witness | None = None,
    ) -> Call[Any]:
        model = (request.model or "") if request is not None else ""  # none: GET /v1/models
        lane, budget = self._lane_of(model), self._shared.spending.budget
        price = self._price_of(model) if budget is not None and budget.usd is not None and request else None
        return Call(
            self._shared,
            lane,
            self._retry,
            timeouts,
            account=Account(self._shared.spending, lane, request, price, witness),
            ending=ending,
            key=self._key,
        )

    def _price_of(self, model: str) -> Price:
        """Return what a model costs.

        Raises:
            ConfigurationError: there is no price for it, so a budget in money means nothing.

        """
        prices = self._shared.spending.prices
        price = prices.price(model) if prices is not None else None
        if price is None:
            message = (
                f"Budget(usd=...) needs the price of {escaped(model, 60)!r}, which is not among those of "
                f"{prices.source if prices is not None else 'none'}; give AnyFast(prices=Prices(...)) with it"
            )
            raise ConfigurationError(message)
        return price

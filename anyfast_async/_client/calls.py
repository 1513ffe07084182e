"""How a client makes its calls: checks what is asked, and makes each call of a spec; the verbs are the client's.

A call goes: request built and checked, encoded once, then total( retry( gate( exchange ) ) ), and one pure function
turns what came into a completion or an exception.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from anyfast_async._call.call import Call
from anyfast_async._call.endpoint import CHAT, MODELS, Endpoint
from anyfast_async._call.plan import PLACE, CallPlan, Plans, can_plan
from anyfast_async._call.spec import Spec
from anyfast_async._call.unary import CompletionCall, UnaryCall
from anyfast_async._core.json import codec
from anyfast_async._http.request_body import encoded
from anyfast_async._http.request_headers import STREAM_HEADERS, UNARY_HEADERS, Route
from anyfast_async._http.settings import headers_of
from anyfast_async._limits.reservation import Account
from anyfast_async._values.bases import Shown
from anyfast_async._values.text import did_you_mean
from anyfast_async.errors import AnyFastError, ConfigurationError, FieldError, RequestValidationError, escaped
from anyfast_async.messages import GEMINI_MODELS, Prompt
from anyfast_async.observing import Destination
from anyfast_async.policies import as_timeouts
from anyfast_async.requests import ChatRequest, as_request

if TYPE_CHECKING:
    from yarl import URL

    from anyfast_async._call.streamed import DrainCall, StreamCall
    from anyfast_async._client.shared import Shared
    from anyfast_async._core.retry.hedging import Hedging
    from anyfast_async._http.api_key import Key
    from anyfast_async._limits.lines import LaneState
    from anyfast_async._limits.reservation import Witness
    from anyfast_async._limits.scope import Scope
    from anyfast_async._map.early_end import Ending
    from anyfast_async._observers.hooks import Hooks
    from anyfast_async._stream.chat_stream import ChatStream
    from anyfast_async._stream.receiver import Receiver
    from anyfast_async.completions import ChatCompletion, Model
    from anyfast_async.policies import Hedge, Limits, RetryPolicy, Timeouts
    from anyfast_async.prices import Price


class _Default(int):
    """A number that nobody asked for."""


AT_ONCE: Final = _Default(64)
"""Items of a map in work at once, unless told otherwise."""
_STEERING: Final = frozenset({"system", "timeout", "via_stream", "accept_missing_finish", "extra_headers"})


@attrs.frozen(eq=False, kw_only=True, repr=False)
class Setup(Shown):
    """What a client was built with, or made of another one by ``with_options``."""

    key: Key
    base_url: URL
    allow_http: tuple[str, ...]
    """Hosts to which plain http is allowed."""
    model: str | None
    """Of calls that name none."""
    limits: Limits
    retry: RetryPolicy
    timeouts: Timeouts
    headers: Mapping[str, str]
    """Sent with every request."""
    query: Sequence[tuple[str, str]] = ()
    """Put behind every address."""
    says_whole: bool = True
    """Whether a request for a whole answer says that it is one."""
    hooks: Hooks | None = None
    """Who hears of its calls; None: nobody but the log."""
    lane: LaneState | None = None
    """That its calls are in; None: that of calls which name none."""
    hedge: Hedge | None = None
    """When its streams are asked for twice; None: never."""


class Calls:
    """Makes the calls of one client.

    Args:
        shared: what it has in common with others.
        setup: its own settings.

    """

    def __init__(self, shared: Shared, setup: Setup) -> None:
        self.shared = shared
        self.setup = setup
        self._origin = setup.base_url.origin()
        self.plans: Plans = Plans()
        """What calls have in common whose options came before."""
        self._specs: dict[tuple[str, str, bool], Spec] = {}
        """Of calls without settings of their own: by path, model, and whether they are streamed."""

    def changed(self, **changes: Any) -> Calls:
        """Return what makes calls with such changes to the setup; the rest is shared."""
        return Calls(self.shared, attrs.evolve(self.setup, **changes))

    # -- the calls ---------------------------------------------------------------------------------------------------

    async def complete(
        self,
        request: ChatRequest,
        options: Mapping[str, Any],
        *,
        body: bytes | None = None,
        ending: Ending | None = None,
        witness: Witness | None = None,
        account_of: Callable[..., Account] = Account,
    ) -> ChatCompletion:
        """Make a call; with *ending* it is one of a map, which is patient. *witness* is told of what is sent.

        *account_of* makes its account: that of a run with a budget counts for both.
        """
        shared = self.shared
        streams = bool(options.get("via_stream"))
        spec = self._spec(CHAT, request.model or "", options, streams=streams)
        await shared.enter()
        content = await self._encoded(request, stream=streams) if body is None else body
        account = account_of(shared.spending, spec.scope, request, spec.price, witness, spec.model)
        return await (_drain_call() if streams else CompletionCall)(shared, spec, account, ending, content).run()

    def planned(
        self, plan: CallPlan, prompt: str, body: bytes, witness: Witness | None = None, ending: Ending | None = None
    ) -> Coroutine[Any, Any, ChatCompletion]:
        """Make a call as :meth:`complete` does, for a *prompt* of which a plan has made the *body*."""
        shared, spec = self.shared, plan.spec
        account = Account(shared.spending, spec.scope, prompt, spec.price, witness, spec.model, plan)
        return (_drain_call() if plan.streams else CompletionCall)(shared, spec, account, ending, body).run()

    def stream(self, request: ChatRequest, options: Mapping[str, Any]) -> ChatStream:
        """Return the stream that answers *request*."""
        from anyfast_async._call.streamed import StreamCall  # noqa: PLC0415 - not by importing the client
        from anyfast_async._stream.chat_stream import ChatStream  # noqa: PLC0415

        spec = self._spec(CHAT, request.model or "", options, streams=True)

        async def opened() -> tuple[StreamCall, Receiver]:
            shared = self.shared
            await shared.enter()
            content = await self._encoded(request, stream=True)
            account = Account(shared.spending, spec.scope, request, spec.price, None, spec.model)
            if spec.hedging is not None:
                return await _hedged(spec.hedging, shared, spec, account, None, content)
            call = StreamCall(shared, spec, account, None, content)
            return call, await call.run()

        return ChatStream(opened, accept_missing_finish=spec.accept_missing_finish)

    async def models(self) -> list[Model]:
        """Return the models that the key may use."""
        shared = self.shared
        spec = self._spec(MODELS, "", {}, streams=False)
        await shared.enter()
        return await UnaryCall(shared, spec, Account(shared.spending, spec.scope, None)).run()

    async def _encoded(self, request: ChatRequest, *, stream: bool) -> bytes:
        content = await encoded(request, stream=stream)
        return content if stream or self.setup.says_whole else codec.unsaid(content)

    def of(self, ending: Ending) -> list[Call[Any]]:
        """Return the calls on their way that are of one map."""
        return [one for one in self.shared.in_flight.members if isinstance(one, Call) and one.ending is ending]

    # -- what they are made of ---------------------------------------------------------------------------------------

    def _spec(self, endpoint: Endpoint[Any], model: str, options: Mapping[str, Any], *, streams: bool) -> Spec:
        timeout, extra = options.get("timeout"), options.get("extra_headers")
        lenient = bool(options.get("accept_missing_finish"))
        is_usual = timeout is None and not extra and not lenient
        spec = self._specs.get((endpoint.path, model, streams)) if is_usual else None
        if spec is None:
            setup = self.setup
            own = headers_of("extra_headers", extra)
            hedge = setup.hedge if streams else None
            spec = Spec(
                self.scope_of(model),
                self.shared.gate.entrance(setup.lane),
                setup.retry,
                self.timeouts_of(options),
                setup.key,
                Route(
                    endpoint.method,
                    self.url_of(endpoint),
                    STREAM_HEADERS if streams else UNARY_HEADERS,
                    setup.headers,
                    own,
                ),
                endpoint,
                model,
                self.price_of(model) if self._is_priced and endpoint.usage_of is not None else None,
                lenient,
                setup.hooks,
                self.destination_of(endpoint, model, streamed=streams),
                None if hedge is None else self.shared.hedging_of(self.scope_of(model), hedge),
            )
            if is_usual:
                if len(self._specs) >= _MOST_SPECS:
                    self._specs.clear()
                self._specs[endpoint.path, model, streams] = spec
        return spec

    def plan(self, options: Mapping[str, Any], into: type[Any] | None = None) -> CallPlan | None:
        """Make a plan of calls with these options, which ask one text each, if it is due; return it, else None."""
        plan = self._new_plan(options, into) if self.plans.is_due(options, into) else None
        if plan is not None:
            self.plans.add(options, into, plan)
        return plan

    def plan_of_run(self, options: Mapping[str, Any], into: type[Any] | None) -> CallPlan | None:
        """Return what the calls of one map have in common, None if something in the options can change."""
        return self._new_plan(options, into) if can_plan(options) else None

    def _new_plan(self, options: Mapping[str, Any], into: type[Any] | None) -> CallPlan | None:
        streams = bool(options.get("via_stream"))
        try:
            request = self.request(PLACE, options, into)
            spec = self._spec(CHAT, request.model or "", options, streams=streams)
            return CallPlan(request, spec, streams=streams, says_whole=self.setup.says_whole)
        except (AnyFastError, ValueError):
            return None  # what is wrong with the options is said of the call

    def url_of(self, endpoint: Endpoint[Any]) -> URL:
        """Return the address of an endpoint."""
        url = self.setup.base_url / endpoint.path
        return url.update_query(self.setup.query) if self.setup.query else url

    def scope_of(self, model: str) -> Scope:
        """Return where calls of *model* are counted."""
        return self.shared.gate.scope((self._origin, self.setup.key.identity, model))

    def destination_of(self, endpoint: Endpoint[Any], model: str, *, streamed: bool) -> Destination:
        """Return what observers are told of such calls; in lanes keys have numbers."""
        keys = self.shared.keys
        number = keys.setdefault(self.setup.key.identity, len(keys) + 1)
        key = "no key" if self.setup.key.absent else f"key {number}"
        lane = f"{escaped(model, 100) or 'no model'} at {self._origin}, {key}"
        return Destination(endpoint.operation, model, lane, self._origin.host or "", self._origin.port, streamed)

    def timeouts_of(self, options: Mapping[str, Any]) -> Timeouts:
        """Return the clocks of a call.

        Raises:
            ConfigurationError: ``timeout`` cannot be.

        """
        value = options.get("timeout")
        return self.setup.timeouts if value is None else as_timeouts(value, self.setup.timeouts)

    @property
    def _is_priced(self) -> bool:
        budget = self.shared.spending.budget
        return budget is not None and budget.usd is not None

    def price_of(self, model: str) -> Price:
        """Return what a model costs.

        Raises:
            ConfigurationError: there is no price for it, so a budget in money means nothing.

        """
        prices = self.shared.spending.prices
        price = prices.price(model) if prices is not None else None
        if price is None:
            message = (
                f"Budget(usd=...) needs the price of {escaped(model, 60)!r}, which is not among those of "
                f"{prices.source if prices is not None else 'none'}; give AnyFast(prices=Prices(...)) with it"
            )
            raise ConfigurationError(message)
        return price

    # -- checks ------------------------------------------------------------------------------------------------------

    def request(self, messages: Prompt | ChatRequest, options: Mapping[str, Any], into: Any = None) -> ChatRequest:
        """Return the checked request with its model; it asks for JSON of the class *into*, if that is given."""
        fields = dict(options)
        for name in _STEERING & fields.keys():
            del fields[name]
        if fields.get("model") is None and not (isinstance(messages, ChatRequest) and messages.model):
            fields["model"] = self.setup.model
        if into is not None and fields.get("response_format") is None:
            from anyfast_async._structured.json_schema import response_format, writes_out  # noqa: PLC0415 - with the first class

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
        if not model.startswith("gemini-") or model in GEMINI_MODELS or model in self.shared.warned:
            return
        self.shared.warned.add(model)
        near = did_you_mean(model, GEMINI_MODELS)
        hint = f"; {near}" if near else ""
        warnings.warn(f"{escaped(model, 60)!r} is not among the documented Gemini models{hint}", stacklevel=_level())

    def width(self, asked: int) -> int:
        """Return how many items of a map are in work: where a window is to be found, as many as it may be."""
        limits = self.setup.limits
        return limits.most_in_flight if asked is AT_ONCE and limits.auto is not None else asked

    def warn_of_concurrency(self, asked: int) -> None:
        """Warn of a map that is wider than the client's limit."""
        limit, said = self.setup.limits.most_in_flight, f"concurrency {asked}"
        if asked is AT_ONCE or not isinstance(asked, int) or asked <= limit or said in self.shared.warned:
            return
        self.shared.warned.add(said)
        message = (
            f"map(concurrency={asked}) is more than Limits(concurrency={limit}) of the client: no more than {limit} "
            "calls are in flight at once"
        )
        warnings.warn(message, stacklevel=_level())


def _level() -> int:
    """Return how far above the caller of this function the first line is that is not of this package."""
    level, frame = 1, sys._getframe(1)  # noqa: SLF001 - the documented way to look there
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level


_PACKAGE: Final = __name__.partition(".")[0] + "."


def _drain_call() -> type[DrainCall]:
    from anyfast_async._call.streamed import DrainCall  # noqa: PLC0415 - loaded by `_client/shared`

    return DrainCall


async def _hedged(hedging: Hedging, *given: Any) -> tuple[StreamCall, Receiver]:
    """Make a call for a stream that may be asked for twice; return the one of the two that is read."""
    from anyfast_async._call.hedged import HedgedCall  # noqa: PLC0415 - with the first of them

    call = HedgedCall(hedging, *given)
    receiver = await call.run()
    return call.winner, receiver


_MOST_SPECS: Final = 256
"""Specs that are kept: as many models are hardly asked by one client at a time."""

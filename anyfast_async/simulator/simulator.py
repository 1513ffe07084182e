"""The simulator that users see: scripting and looking at it, starting and stopping it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from anyfast_async.simulator.http.gateway import Delivery, Gateway, Incoming, Settings
from anyfast_async.simulator.http.recording import RecordedRequest, Recording
from anyfast_async.simulator.http.server import Server
from anyfast_async.simulator.model.prompt import message_text
from anyfast_async.simulator.quirks.catalogue import quirk_named
from anyfast_async.simulator.script.rules import Script
from anyfast_async.simulator.script.scripting import Scripting

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from types import TracebackType

    from anyfast_async.simulator.model.latency import Latency

__all__ = ["MODELS", "Simulator", "SimulatorOptions"]

MODELS = (
    "gemini-3.1-pro-preview",
    "gemini-3.1-flash-image-preview",
    "gemini-3.1-flash-lite-preview",
    "gemini-3-pro-preview",
    "gemini-3-pro-image-preview",
    "gemini-3-flash-preview",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-2.0-flash",
)
"""The models that AnyFast documents for Gemini chat completions."""

_CREATED = 1777288505  # 2026-04-27T11:15:05Z
_MAX_BODY = 128 * 1024 * 1024  # the gateway's default (MAX_REQUEST_BODY_MB)
_MAX_RECORDED = 100_000


class SimulatorOptions(TypedDict, total=False):
    """The keyword arguments of :class:`Simulator`."""

    port: int
    host: str
    seed: int
    strict: bool
    latency: Latency | None
    quirks: Collection[str]
    api_keys: Collection[str] | None
    models: Collection[str] | None
    created: int
    answer_tokens: int | None
    ping: float | None
    max_body: int
    keep_alive: float
    max_recorded: int
    timing: bool
    ignore: Collection[str]


class Simulator(Scripting):
    """The AnyFast gateway on loopback, for tests: ``POST /v1/chat/completions`` and ``GET /v1/models``.

    ::

        async with Simulator() as sim:
            sim.reply("Paris", when="capital")
            sim.fail(429, retry_after=2, times=3)
            ...                                     # a client with base_url=sim.base_url and any key
            assert len(sim.requests) == 4

    ``with Simulator.in_thread() as sim`` serves from a thread of its own, for tests that are not async.

    **What a request gets.** What the gateway refuses (no key, unknown model, wrong types, beyond ``limit``)
    is refused in the gateway's own way, before the script is looked at. Then the first scripted fault that
    matches applies, in the order they were scripted. Without one, or with one that only disturbs the
    connection, the most specific reply that matches is given: text found in the last message, or a function
    that says yes, goes before text found in earlier messages, and that before a reply for all; among equals
    the last scripted wins. What no reply matches gets an answer made up from the request: always the same for
    the same request and seed, its id included, streamed or not.

    **What is made up.** Prose about the prompt, within ``max_tokens``, ``max_completion_tokens`` and
    ``stop``; ``n`` choices (the real Gemini channel answers with one, whatever ``n`` says); thoughts with
    ``reasoning_effort`` or ``extra_body.google.thinking_config``, which count against the token limit; tool
    calls if ``tool_choice`` asks for them or the prompt names the function; JSON that fits
    ``response_format``; from image models a small PNG as a Markdown data URI. Token counts are plausible, not
    those of a tokenizer.

    All methods and properties may be used from any thread, before, while and after the simulator serves.

    Args:
        port: TCP port; 0 (default) takes a free one.
        host: address to listen on; default ``127.0.0.1``.
        seed: the answers, ids and delays of another seed are others.
        strict: True refuses a request that no reply or fault was scripted for (status 501), and leaving the
            context then raises an ``AssertionError`` that names it.
        latency: how fast the models answer; None (default): at once.
        quirks: names from :data:`QUIRKS`: how every answer deviates from the documented format; see
            :meth:`quirk`. These come before the scripted ones. Default: none.
        api_keys: the accepted keys; None (default): any that is not empty.
        models: the known model ids; default :data:`MODELS`; None: any.
        created: the ``created`` of all answers, Unix seconds; also in the ids.
        answer_tokens: length of a made-up text; None (default): 24 to about 100, by request.
        ping: seconds of silence in a stream after which the comment ``: PING`` is sent, and again; None
            (default): never. It keeps proxies from giving up; operators may switch it on.
        max_body: largest request body in bytes; default 128 MiB, as at the gateway.
        keep_alive: seconds that an idle connection is kept; default 75.
        max_recorded: of more requests only the latest so many are kept in ``requests``; default 100 000.
        timing: True lets recorded answers come as slowly as they did, piece by piece; False (default): at once. See
            :meth:`exchange`.
        ignore: fields at the top of a request's body that need not be as recorded; default: none.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        seed: int = 0,
        strict: bool = False,
        latency: Latency | None = None,
        quirks: Collection[str] = (),
        api_keys: Collection[str] | None = None,
        models: Collection[str] | None = MODELS,
        created: int = _CREATED,
        answer_tokens: int | None = None,
        ping: float | None = None,
        max_body: int = _MAX_BODY,
        keep_alive: float = 75.0,
        max_recorded: int = _MAX_RECORDED,
        timing: bool = False,
        ignore: Collection[str] = (),
    ) -> None:
        if any(isinstance(one, str) for one in (api_keys, models, quirks, ignore)):
            message = "api_keys, models, quirks and ignore are collections of strings, not one string"
            raise TypeError(message)
        settings = Settings(
            seed=seed,
            created=created,
            models=None if models is None else tuple(models),
            api_keys=None if api_keys is None else frozenset(api_keys),
            strict=strict,
            latency=latency,
            quirks=tuple(quirk_named(name) for name in quirks),
            answer_tokens=answer_tokens,
            ping=ping,
            max_body=max_body,
            timing=timing,
            ignore=frozenset(ignore),
        )
        self._host = host
        self._requested_port = port
        self._max_body = max_body
        self._keep_alive = keep_alive
        super().__init__(Script())
        self._gateway = Gateway(settings, self._script)
        self._journal = Recording(max_recorded)
        self._unscripted: list[str] = []
        self._script_error: Exception | None = None
        self._server: Server | None = None
        self._port: int | None = None

    def __repr__(self) -> str:
        place = "not started" if self._port is None else self.base_url
        return f"<{type(self).__name__} {place}>"

    # -- running ---------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()
        if kind is None:
            self._verify()

    @classmethod
    @contextmanager
    def in_thread(cls, **options: Unpack[SimulatorOptions]) -> Iterator[Self]:
        """A simulator that serves from a thread and an event loop of its own.

        Takes the arguments of :class:`Simulator`. The object is the same as with ``async with``.
        """
        simulator = cls(**options)
        started: Future[Callable[[], object]] = Future()
        thread = threading.Thread(target=simulator._run, args=(started,), name="anyfast-simulator", daemon=True)
        thread.start()
        stop = started.result()
        try:
            yield simulator
        finally:
            stop()
            thread.join()
        simulator._verify()

    @property
    def base_url(self) -> str:
        """Where clients find it: ``http://127.0.0.1:<port>/v1``. Still there after it has stopped."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}/v1"

    @property
    def port(self) -> int:
        """The TCP port that is or was listened on."""
        if self._port is None:
            message = "the simulator has not been started: use it in 'async with' or as Simulator.in_thread()"
            raise RuntimeError(message)
        return self._port

    # -- looking ---------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[RecordedRequest]:
        """What arrived so far, in order of arrival, refused requests included: a snapshot."""
        return self._journal.records()

    @property
    def in_flight(self) -> int:
        """Requests that are being read or answered now."""
        return self._journal.in_flight

    @property
    def peak_in_flight(self) -> int:
        """The most requests that were in flight at once.

        An answer that takes no time is over before the next request is read: without ``latency`` (or
        ``ttft``) requests that are not streamed are hardly ever in flight together.
        """
        return self._journal.peak_in_flight

    @property
    def connections(self) -> int:
        """TCP connections accepted, since the start or the last ``reset``."""
        return self._journal.connections

    def reset(self) -> None:
        """Forget script, limits, recorded requests and counts. What is in flight goes on."""
        self._script.clear()
        self._gateway.reset()
        self._journal.clear()
        self._unscripted.clear()
        self._script_error = None

    # -- inside ----------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        if self._server is not None:
            message = "the simulator is already running"
            raise RuntimeError(message)
        server = Server(self._handle, self._journal, max_body=self._max_body, keep_alive=self._keep_alive)
        self._port = await server.start(self._host, self._requested_port)
        self._server = server

    async def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    def _run(self, started: Future[Callable[[], object]]) -> None:
        """The thread of ``in_thread``; ``started`` gets a function that ends it, or why there is none."""

        async def serve() -> None:
            loop, stop = asyncio.get_running_loop(), asyncio.Event()
            await self._start()
            started.set_result(lambda: loop.call_soon_threadsafe(stop.set))
            try:
                await stop.wait()
            finally:
                await self._stop()

        try:
            asyncio.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    def _handle(self, request: Incoming) -> Delivery:
        try:
            delivery = self._gateway.handle(request)
        except Exception as error:  # noqa: BLE001  # raised when the context is left
            # Most likely a condition given as a function. The client gets an answer, the test gets the error.
            if self._script_error is None:
                self._script_error = error
            return Delivery(status=500, headers={"Content-Type": "text/plain"}, body=b"error in the simulator")
        if delivery.unscripted:
            self._unscripted.append(
                delivery.difference or f"no scripted reply for {_described(request, delivery.request_body)}"
            )
        return delivery

    def _verify(self) -> None:
        """Raise what should fail the test that used this simulator."""
        if self._script_error is not None:
            raise self._script_error
        if self._unscripted:
            raise AssertionError("; ".join(self._unscripted))


def _described(request: Incoming, body: dict[str, Any]) -> str:
    """A request without its text: messages by role and length."""
    messages = ", ".join(
        f"{message.get('role')}: {len(message_text(message))} characters" for message in body["messages"]
    )
    return f"{request.method} {request.path} ({body['model']}; {messages})"

"""The key and the prompt show nowhere: failures of every kind, and every place that text of them can go to.

Each scenario fails in one way, most of them with a gateway that echoes the key wherever it can. Then the exception is
turned over: its text, arguments, notes and attributes (whatever hangs on them), those of its cause and context, its
pickles and copies, a traceback with local variables, and what was logged and warned of meanwhile, at DEBUG and with
asyncio's debug mode on. What the model said is no place: an answer, also the part of one that hangs on an exception,
stays as it came.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import functools
import gzip
import inspect
import json
import logging
import pickle
import ssl
import traceback
import types
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import attrs
import pytest
import trustme

from anyfast_async import AnyFast, AnyFastError, Budget, Limits, RetryPolicy, Timeouts, errors
from anyfast_async._journal.journal import open_journal

if TYPE_CHECKING:
    from conftest import RawServers

KEY: Final = "sk-Zq7-4f9d8c7b6a5e4d3c-TAIL0042"
PROMPT: Final = "the zebra's private diary"
MODEL: Final = "gemini-2.5-pro"
ONCE: Final = RetryPolicy(attempts=1)
AGAIN: Final = RetryPolicy(backoff=(0, 0))

ECHO: Final = f"Incorrect API key provided: {KEY} (…{KEY[-8:]}). Authorization: Bearer {KEY}"
ECHOING: Final = {
    "x_oneapi_request_id": KEY,
    "x_request_id": f"req-{KEY}",
    "cf_ray": KEY[-8:],
    "www_authenticate": f"Bearer {KEY}",
    "retry_after": KEY,
    "set_cookie": f"a{KEY}[]=1; {KEY}={KEY}",
    "location": f"https://other.example/?key={KEY}",
}
SECRETS: Final = {
    "key": KEY,
    "its end": KEY[-8:],
    "its base64": base64.b64encode(KEY.encode()).decode().rstrip("=")[:-1],
    "the header's base64": base64.b64encode(f"Bearer {KEY}".encode()).decode().rstrip("=")[:-1],
}


# -- everything of an exception --------------------------------------------------------------------------------------

NODES: Final = 3000
"""An exception is made of plain values: more objects than this hang on none."""


def texts_of(root: object) -> Iterator[str]:
    """Every text that can be reached from *root*: attributes, slots, items, and what functions are bound to."""
    seen: set[int] = set()
    left = [root]
    while left:
        value = left.pop()
        if id(value) in seen or isinstance(value, (type, types.ModuleType, types.TracebackType)):
            continue
        seen.add(id(value))
        assert len(seen) < NODES, f"an exception holds the world, {type(value)} among it"
        match value:
            case str():
                yield value
            case bytes() | bytearray():
                yield value.decode("latin-1")
            case Mapping():
                left += [*value.keys(), *value.values()]
            case list() | tuple() | set() | frozenset():
                left += value
            case functools.partial():
                left += [value.func, value.args, value.keywords]
            case types.MethodType():
                left += [value.__self__, value.__func__]
            case types.FunctionType():
                left += [cell.cell_contents for cell in value.__closure__ or ()]
            case _:
                left += _attributes(value)


def _attributes(value: object) -> list[object]:
    found: list[object] = [getattr(value, "__dict__", {})]
    for kind in type(value).__mro__:
        names = vars(kind).get("__slots__", ())
        found += [getattr(value, name, None) for name in ((names,) if isinstance(names, str) else names)]
    if isinstance(value, BaseException):
        found += [value.args, value.__cause__, value.__context__, getattr(value, "__notes__", ())]
    return found


def chain(error: BaseException | None) -> list[BaseException]:
    """An exception, its causes and its contexts."""
    return [] if error is None else [error, *chain(error.__cause__), *chain(error.__context__)]


def report(error: BaseException) -> str:
    """A traceback with the local variables of every frame but those of the tests, which hold the key themselves."""
    kept: list[Any] = []
    for one in chain(error):
        told = traceback.TracebackException.from_exception(one, capture_locals=True)
        kept += [frame for frame in told.stack if not frame.filename.startswith(str(Path(__file__).parent))]
    return "".join(f"{frame.name} {frame.line} {frame.locals}" for frame in kept)


def places(error: AnyFastError) -> dict[str, str]:
    """Where text of an exception can go to, and what would stand there."""
    found = {
        "str": "".join(map(str, chain(error))),
        "repr": "".join(map(repr, chain(error))),
        "args": repr([one.args for one in chain(error)]),
        "notes": repr([getattr(one, "__notes__", ()) for one in chain(error)]),
        "vars": repr([vars(one) for one in chain(error)]),
        "attributes": "\n".join(texts_of(error)),
        "traceback": "".join(traceback.format_exception(error)),
        "copy": "\n".join(texts_of(copy.copy(error))),
        "deep copy": "\n".join(texts_of(copy.deepcopy(error))),
    }
    for protocol in (0, 2, 5):
        data = pickle.dumps(error, protocol)
        found[f"pickle {protocol}"] = data.decode("latin-1") + "\n".join(texts_of(pickle.loads(data)))  # noqa: S301
    return found


ANSWERS: Final = ("partial", "completion", "tool_run")
"""The attributes of exceptions that hold what the model said, and what was said to it."""


def take_answers(error: AnyFastError) -> list[Any]:
    """Take the answers off an exception, its causes and contexts, and return them."""
    found = [vars(one).pop(name, None) for one in chain(error) for name in ANSWERS]
    return [answer for answer in found if answer is not None]


# -- failing ---------------------------------------------------------------------------------------------------------


@attrs.define
class World:
    """What a scenario may use; it remembers the clients that it made."""

    raw: RawServers
    folder: Path
    clients: list[AnyFast] = attrs.field(factory=list)
    shown: list[str] = attrs.field(factory=list)
    """Texts of clients, streams and statistics."""

    def client(self, base_url: str, key: Any = KEY, **settings: Any) -> AnyFast:
        client = AnyFast(key, base_url=base_url, **{"model": MODEL, "retry": ONCE, **settings})
        self.clients.append(client)
        return client

    async def failing(self, client: AnyFast, how: str = "complete", **options: Any) -> AnyFastError:
        """The error of a call."""
        prompt = options.pop("prompt", PROMPT)
        stream: Any = None
        try:
            if how == "complete":
                await client.complete(prompt, **options)
            elif how == "models":
                await client.models()
            elif how == "map":
                return (await client.map([prompt], stop_on=(), **options))[0].error or AnyFastError()
            else:
                stream = client.stream(prompt, **options)
                await stream.drain()
        except AnyFastError as error:
            return error
        finally:
            self.shown += [repr(client), str(client), repr(client.stats()), str(client.stats()), repr(stream)]
        pytest.fail("the call went well")


Scenario: TypeAlias = "Callable[[World], Awaitable[AnyFastError]]"


class Case(NamedTuple):
    kind: type[AnyFastError]
    run: Scenario
    misplaced: bool = False
    """The key was given as something else than a key: variables named so hold it as they were given."""
    answered: bool = False
    """The model said the key before it failed."""


def served(kind: type[AnyFastError], *steps: Any, how: str = "complete", **settings: Any) -> Case:
    """A server that plays *steps*; a step may be a function of ``RawServers`` that gives it."""

    async def run(world: World) -> AnyFastError:
        made = [step(world.raw) if inspect.isfunction(step) else step for step in steps]
        server = await world.raw(made)
        return await world.failing(world.client(server.base_url, **settings), how)

    return Case(kind, run)


def status(
    kind: type[AnyFastError], number: int, code: str = f"c-{KEY}", how: str = "complete", **settings: Any
) -> Case:
    """An error status with the key in each field and header."""
    body = {"error": {"message": ECHO, "type": KEY, "code": code, "param": KEY, KEY: [KEY, {KEY: ECHO}]}}
    return served(kind, lambda raw: raw.answer(body, number, **ECHOING), how=how, **settings)


def success(kind: type[AnyFastError], body: Any, how: str = "complete", **headers: str) -> Case:
    """A success that is none."""
    return served(kind, lambda raw: raw.answer(body, **{**ECHOING, **headers}), how=how)


def streamed(kind: type[AnyFastError], *events: bytes, end: Any = b"0\r\n\r\n", **settings: Any) -> Case:
    """A stream of these events."""
    case = served(
        kind,
        lambda raw: raw.stream_head(**ECHOING) + b"".join(map(raw.chunk, events)),
        end,
        how="stream",
        **settings,
    )
    return case._replace(answered=CUT[1] in events)


def event(**payload: Any) -> bytes:
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


def delta(text: str) -> bytes:
    return event(id="c", object="chat.completion.chunk", choices=[{"index": 0, "delta": {"content": text}}])


async def refused(world: World) -> AnyFastError:
    server = await world.raw([])
    client = world.client(server.base_url, retry=AGAIN)
    await server.stop()
    return await world.failing(client)


async def unknown_host(world: World) -> AnyFastError:
    return await world.failing(world.client("https://nowhere.invalid"))


async def untrusted(world: World) -> AnyFastError:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    server = await world.raw([], context=context)
    return await world.failing(world.client(f"https://localhost:{server.port}"))


async def no_tls(world: World) -> AnyFastError:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(ECHO.encode("utf-8"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        return await world.failing(world.client(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    finally:
        server.close()


def proxied(*steps: Any) -> Case:
    """A proxy that answers CONNECT so, with a password that is the key."""

    async def run(world: World) -> AnyFastError:
        proxy = await world.raw([*steps])
        url = f"http://{KEY}:{KEY}@127.0.0.1:{proxy.port}"
        return await world.failing(world.client("https://gateway.example", proxy=url))

    return Case(errors.APIConnectionError, run)


async def never_connects(world: World) -> AnyFastError:
    """A proxy that does not answer CONNECT is under the clock for connecting."""
    proxy = await world.raw(["hang"])
    url = f"http://{KEY}:{KEY}@127.0.0.1:{proxy.port}"
    client = world.client("https://gateway.example", proxy=url, timeouts=Timeouts(connect=0.05))
    return await world.failing(client)


def constructed(*, misplaced: bool = False, **arguments: Any) -> Case:
    """A client that cannot be built."""

    async def run(_: World) -> AnyFastError:
        with pytest.raises(AnyFastError) as caught:
            AnyFast(**{"api_key": KEY, "base_url": "http://127.0.0.1:9", **arguments})
        return caught.value

    return Case(errors.ConfigurationError, run, misplaced)


def checked(**fields: Any) -> Case:
    """A request that is wrong."""

    async def run(world: World) -> AnyFastError:
        return await world.failing(world.client("http://127.0.0.1:9", model=fields.pop("model", MODEL)), **fields)

    return Case(errors.RequestValidationError, run)


def key_file(content: bytes) -> Case:
    """A key file that is found bad only later, when the last good key is refused."""

    async def run(world: World) -> AnyFastError:
        file = world.folder / "key"
        file.write_text(KEY)
        server = await world.raw([world.raw.answer({"error": {"message": ECHO}}, 401, **ECHOING)])
        client = world.client(server.base_url, key=file, retry=AGAIN)
        file.write_bytes(content)
        return await world.failing(client)

    return Case(errors.ConfigurationError, run)


async def key_of_a_file_is_echoed(world: World) -> AnyFastError:
    file = world.folder / "key"
    file.write_text(f"{KEY}\n")
    server = await world.raw([world.raw.answer({"error": {"message": ECHO}}, 401, **ECHOING)])
    return await world.failing(world.client(server.base_url, key=file, retry=AGAIN))


async def key_of_a_function_is_echoed(world: World) -> AnyFastError:
    async def ask() -> str:
        return KEY

    server = await world.raw([world.raw.answer({"error": {"message": ECHO}}, 401, **ECHOING)])
    return await world.failing(world.client(server.base_url, key=ask, retry=AGAIN))


async def key_function_gives_none(world: World) -> AnyFastError:
    async def ask() -> str:
        return f"{KEY} {KEY}"

    return await world.failing(world.client("http://127.0.0.1:9", key=ask))


async def closed(world: World) -> AnyFastError:
    server = await world.raw(["hang"])
    client = world.client(server.base_url)
    calling = asyncio.create_task(world.failing(client))
    while not server.requests:
        await asyncio.sleep(0.001)
    await client.aclose()
    return await calling


async def two_readers(world: World) -> AnyFastError:
    server = await world.raw([world.raw.stream_head() + world.raw.chunk(delta("a")), "hang"])
    stream = await world.client(server.base_url).stream(PROMPT)
    await anext(stream)
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    with pytest.raises(AnyFastError) as caught:
        await anext(stream)
    world.shown.append(repr(stream))
    await stream.aclose()
    await asyncio.wait({first})
    first.exception()
    return caught.value


async def full(world: World) -> AnyFastError:
    server = await world.raw(["hang"])
    client = world.client(server.base_url, limits=Limits(concurrency=1, max_queued=0))
    holding = asyncio.create_task(client.complete(PROMPT))
    while not server.requests:
        await asyncio.sleep(0.001)
    error = await world.failing(client)
    holding.cancel()
    await asyncio.wait({holding})
    return error


class Away:
    """A store of shared limits that nobody reaches."""

    async def ask(self, scope: str, question: Any) -> Any:
        raise ConnectionRefusedError

    async def news(self, scope: str, client: str, seconds: float) -> None:
        raise ConnectionRefusedError

    async def aclose(self) -> None:
        pass


async def store_away(world: World) -> AnyFastError:
    limits = Limits(requests_per_minute=60, store=Away(), on_store_error="fail")
    return await world.failing(world.client("http://127.0.0.1:9", limits=limits))


async def over_budget(world: World) -> AnyFastError:
    return await world.failing(world.client("http://127.0.0.1:9", budget=Budget(requests=0)))


async def no_json_of_a_class(world: World) -> AnyFastError:
    @attrs.define
    class City:
        name: str
        size: int

    text = json.dumps({"name": KEY, "size": "large"})
    server = await world.raw([world.raw.completion(text)])
    with pytest.raises(AnyFastError) as caught:
        await world.client(server.base_url).parse(PROMPT, City)
    return caught.value


async def all_attempts(world: World) -> AnyFastError:
    """Four attempts that fail in four ways; the last one is told, and what was before."""
    raw = world.raw
    server = await raw([raw.answer({"error": ECHO}, 500)], ["rst"], [raw.answer(ECHO.encode(), 503, **ECHOING)])
    return await world.failing(world.client(server.base_url, retry=AGAIN))


async def map_row(world: World) -> AnyFastError:
    server = await world.raw([world.raw.answer({"error": {"message": ECHO}}, 400, **ECHOING)])
    return await world.failing(world.client(server.base_url), "map")


async def mapped(world: World) -> None:
    """A map with a journal, of one row that is answered."""
    server = await world.raw([world.raw.completion("ok")])
    await world.client(server.base_url).map([PROMPT], journal=world.folder / "journal.jsonl")


async def journal_in_use(world: World) -> AnyFastError:
    with (
        open_journal(world.folder / "journal.jsonl", header={"written by": "map"}),
        pytest.raises(AnyFastError) as caught,
    ):
        await mapped(world)
    return caught.value


async def journal_of_another_kind(world: World) -> AnyFastError:
    (world.folder / "journal.jsonl").write_text("Dear diary\n", encoding="utf-8")
    with pytest.raises(AnyFastError) as caught:
        await mapped(world)
    return caught.value


async def journal_of_other_rows(world: World) -> AnyFastError:
    """A map's, for something else."""
    await mapped(world)
    with pytest.raises(AnyFastError) as caught:
        open_journal(world.folder / "journal.jsonl", header={"written by": "others"})
    return caught.value


async def tools_without_end(world: World) -> AnyFastError:
    async def look(what: str) -> str:
        return what

    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": json.dumps({"what": KEY})}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    server = await world.raw([world.raw.answer({"id": "c", "object": "chat.completion", "choices": choices})])
    with pytest.raises(AnyFastError) as caught:
        await world.client(server.base_url).run_tools(PROMPT, [look], max_rounds=1)
    return caught.value


async def row_after_a_refused_key(world: World) -> AnyFastError:
    """A row that is not sent, because the one before it was refused."""
    server = await world.raw([world.raw.answer({"error": {"message": ECHO}}, 401, **ECHOING)])
    client = world.client(server.base_url)
    results = await client.map([PROMPT, PROMPT], concurrency=1)
    error = results[1].error
    assert error is not None
    return error


PLAIN: Final = "text/plain"
CUT: Final = (delta("so far"), delta(f"your key is {KEY}"))
E = errors
CASES: Final[Mapping[str, Case]] = {
    # statuses
    "301": status(E.APIStatusError, 301),
    "308": status(E.APIStatusError, 308, how="stream"),
    "400": status(E.BadRequestError, 400),
    "401": status(E.AuthenticationError, 401),
    "401 streamed": status(E.AuthenticationError, 401, how="stream"),
    "401 of models": status(E.AuthenticationError, 401, how="models"),
    "402": status(E.InsufficientQuotaError, 402),
    "403": status(E.PermissionDeniedError, 403),
    "404": status(E.NotFoundError, 404),
    "409": status(E.ConflictError, 409),
    "413": status(E.APIStatusError, 413),
    "422": status(E.UnprocessableEntityError, 422),
    "429": status(E.RateLimitError, 429),
    "500": status(E.InternalServerError, 500, retry=AGAIN),
    "504": status(E.InternalServerError, 504, retry=AGAIN, how="stream"),
    "524": status(E.InternalServerError, 524),
    "quota": status(E.InsufficientQuotaError, 403, "insufficient_user_quota"),
    "model": status(E.ModelNotFoundError, 503, "model_not_found"),
    "error as text": served(E.BadRequestError, lambda raw: raw.answer(ECHO.encode(), 400, content_type=PLAIN)),
    "error as a page": served(
        E.InternalServerError, lambda raw: raw.answer(f"<title>{ECHO}</title>".encode(), 502, content_type="text/html")
    ),
    "error packed": served(
        E.BadRequestError,
        lambda raw: raw.answer(gzip.compress(json.dumps({"error": ECHO}).encode()), 400, content_encoding="gzip"),
    ),
    "error in an error": served(
        E.BadRequestError, lambda raw: raw.answer({"error": {"message": json.dumps({"error": {"message": ECHO}})}}, 400)
    ),
    "error behind escapes": served(
        E.BadRequestError,
        lambda raw: raw.answer(json.dumps({"error": ECHO}).replace("sk-", "s\\u006b\\u002d").encode(), 400),
    ),
    "error that is cut": served(
        E.InternalServerError, lambda raw: raw.head(500, content_length="9999", **ECHOING) + ECHO.encode(), "rst"
    ),
    # successes that are none
    "error in a 200": success(E.APIError, {"error": {"message": ECHO, "code": KEY}}),
    "error in a 200 with a status": success(E.AuthenticationError, {"error": {"message": ECHO, "code": 401}}),
    "page in a 200": success(E.ResponseShapeError, f"<h1>{ECHO}</h1>".encode(), content_type="text/html"),
    "text in a 200": success(E.ResponseShapeError, ECHO.encode(), content_type=PLAIN),
    "another object": success(E.ResponseShapeError, {"object": KEY, KEY: ECHO}),
    "no models": success(E.ResponseShapeError, ECHO.encode(), how="models"),
    "nothing in a 200": success(E.ResponseShapeError, b""),
    # streams
    "error event": streamed(E.APIError, b"event: error\n" + event(error={"message": ECHO, "code": KEY})),
    "error event as text": streamed(E.APIError, b"event: error\ndata: " + ECHO.encode() + b"\n\n"),
    "error after text": streamed(E.APIError, *CUT, event(error={"message": ECHO})),
    "error after the stream": streamed(E.APIError, *CUT, json.dumps({"error": {"message": ECHO}}).encode()),
    "event that is no JSON": streamed(E.ResponseShapeError, *CUT, f"data: {ECHO}\n\n".encode()),
    "event that is no object": streamed(E.IncompleteStreamError, f"data: [{json.dumps(ECHO)}]\n\n".encode()),
    "stream cut": streamed(E.IncompleteStreamError, *CUT, end="rst"),
    "stream without finish": streamed(E.IncompleteStreamError, *CUT, b"data: [DONE]\n\n"),
    "stream without anything": streamed(E.IncompleteStreamError),
    "comments": streamed(E.IncompleteStreamError, f": {ECHO}\n\n".encode()),
    "idle": streamed(E.IdleTimeout, *CUT, end="hang", timeouts=Timeouts(idle=0.05)),
    # clocks
    "first token": streamed(E.FirstTokenTimeout, end="hang", timeouts=Timeouts(first_token=0.05)),
    "response": served(E.ResponseTimeout, "hang", timeouts=Timeouts(response=0.05)),
    "total": served(E.DeadlineExceeded, "hang", timeouts=Timeouts(total=0.05)),
    "connect": Case(E.ConnectTimeout, never_connects),
    # connections
    "refused": Case(E.APIConnectionError, refused),
    "unknown host": Case(E.APIConnectionError, unknown_host),
    "closed without an answer": served(E.APIConnectionError, "fin", retry=AGAIN),
    "reset": served(E.APIConnectionError, "rst", retry=AGAIN, how="stream"),
    "half an answer": served(E.APIConnectionError, lambda raw: raw.completion(KEY)[:-9], "rst"),
    "no HTTP": served(E.APIConnectionError, f"{KEY} {KEY}\r\n\r\n".encode(), "fin"),
    "bad header": served(E.APIConnectionError, f"HTTP/1.1 200 OK\r\n{KEY} {KEY}\r\n\r\n".encode(), "fin"),
    "reason": served(E.AuthenticationError, f"HTTP/1.1 401 {KEY}\r\nContent-Length: 0\r\n\r\n".encode()),
    "unknown packing": served(E.ResponseShapeError, lambda raw: raw.answer(b"x", content_encoding=KEY), "fin"),
    "broken packing": served(
        E.APIConnectionError, lambda raw: raw.answer(ECHO.encode(), content_encoding="gzip"), "fin"
    ),
    "many headers": served(
        E.APIConnectionError, b"HTTP/1.1 200 OK\r\n" + f"{KEY}: {KEY}\r\n".encode() * 4000 + b"\r\n", "fin"
    ),
    "untrusted": Case(E.APIConnectionError, untrusted),
    "no TLS": Case(E.APIConnectionError, no_tls),
    "proxy refuses": proxied(f"HTTP/1.1 407 {KEY}\r\nProxy-Authenticate: {KEY}\r\n\r\n".encode(), "fin"),
    "proxy dies": proxied("rst"),
    "proxy without TLS behind it": proxied(b"HTTP/1.1 200 OK\r\n\r\n" + ECHO.encode(), "fin"),
    # keys
    "key with a space": constructed(api_key=f"{KEY} {KEY}"),
    "key with a line break": constructed(api_key=f"{KEY}\n{KEY}"),
    "key with Bearer": constructed(api_key=f"Bearer {KEY}"),
    "key with an accent": constructed(api_key=f"{KEY}é"),
    "key too long": constructed(api_key=KEY * 20),
    "key as bytes": constructed(api_key=KEY.encode()),
    "key in the header": constructed(misplaced=True, headers={"Authorization": f"Bearer {KEY}"}),
    "key in a header": constructed(misplaced=True, headers={"X-Key": f"{KEY}\n"}),
    "key in the address": constructed(misplaced=True, base_url=f"https://user:{KEY}@gateway.example"),
    "key in the query": constructed(misplaced=True, base_url=f"https://gateway.example?key={KEY}"),
    "key beside a wrong setting": constructed(limits=5),
    "key beside a bad proxy": constructed(misplaced=True, proxy=f"socks5://{KEY}@p.example"),
    "key file that turns bad": key_file(f"{KEY} {KEY}".encode()),
    "key file that is no text": key_file(KEY.encode() + b"\xff"),
    "key function gives none": Case(E.ConfigurationError, key_function_gives_none),
    "key of a file": Case(E.AuthenticationError, key_of_a_file_is_echoed),
    "key of a function": Case(E.AuthenticationError, key_of_a_function_is_echoed),
    # requests
    "bad field": checked(temperature=9),
    "bad message": checked(prompt=[{"role": PROMPT, "content": PROMPT}, {"role": "user", "content": {PROMPT}}]),
    "no JSON": checked(extra_body={"x": object()}),
    "no such option": checked(temprature=1),
    "no model": checked(model=""),
    # states
    "closed": Case(E.ClientStateError, closed),
    "two readers": Case(E.ClientStateError, two_readers),
    "queue full": Case(E.QueueFullError, full),
    "store away": Case(E.StoreError, store_away),
    "over budget": Case(E.BudgetExceeded, over_budget),
    "output": Case(E.OutputError, no_json_of_a_class, answered=True),
    "all attempts": Case(E.InternalServerError, all_attempts),
    "row of a map": Case(E.BadRequestError, map_row),
    "row that was not sent": Case(E.NotSentError, row_after_a_refused_key),
    # journals and tools
    "journal in use": Case(E.LockedError, journal_in_use),
    "journal of another kind": Case(E.ForeignFileError, journal_of_another_kind),
    "journal of other rows": Case(E.MismatchError, journal_of_other_rows),
    "tools without end": Case(E.ToolRoundsError, tools_without_end, answered=True),
}


def test_every_exception_has_a_scenario() -> None:
    """At least 30 scenarios, and among them each class that can be raised (the three that are only bases excepted)."""
    classes = {c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, AnyFastError)}

    assert len(CASES) >= 30
    assert {AnyFastError, errors.APITimeoutError} == classes - {case.kind for case in CASES.values()}


@pytest.fixture
async def world(raw_server: RawServers, tmp_path: Path) -> AsyncIterator[World]:
    """Closes what a scenario leaves."""
    world = World(raw_server, tmp_path)
    yield world
    for client in world.clients:
        await client.aclose()


@pytest.mark.parametrize("name", CASES)
async def test_key_and_prompt_show_nowhere(name: str, world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the key, nor its end, nor its base64, nor the prompt, is anywhere in what a failed call leaves."""
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0  # everything that runs is logged
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        error = await CASES[name].run(world)

    assert CASES[name].kind is type(error)
    logging.getLogger("user").error("it failed: %s", error, exc_info=error)
    found = {"str with answers": str(error), "repr with answers": repr(error)}
    answers = take_answers(error)
    assert CASES[name].answered == any(KEY in text for text in texts_of(answers)), "an answer was edited"
    found |= {
        **places(error),
        "log": caplog.text,
        "warnings": "".join(str(one.message) for one in warned),
        "client": "".join(world.shown),
    }
    shown = [(place, secret) for place, text in found.items() for secret, value in SECRETS.items() if value in text]
    assert [] == shown
    # Of an answer that does not fit, the frame that reads it has the answer itself; so has the one that calls a tool.
    variables = "" if CASES[name].misplaced or name in {"output", "tools without end"} else report(error)
    assert [] == [secret for secret, value in SECRETS.items() if value in variables], "in a frame's variables"
    assert [] == [place for place, text in found.items() if PROMPT in text or json.dumps(PROMPT) in text]


async def test_what_is_looked_for_is_found() -> None:
    """The search sees the key wherever it looks: of an exception that holds it, each place is reported."""

    class Slotted:
        __slots__ = ("inner",)

        def __init__(self, inner: object) -> None:
            self.inner = inner

    def error_with(hidden: object) -> AnyFastError:
        error = AnyFastError("harmless")
        error.__dict__["hidden"] = hidden
        return error

    cell = KEY
    hidden: list[object] = [KEY, {"a": [KEY]}, {KEY: 1}, (KEY.encode(),), Slotted(KEY), Slotted({1: Slotted(KEY)})]
    hidden += [functools.partial(print, KEY), KEY.upper, lambda: cell, RuntimeError(KEY)]
    missed = [one for one in hidden if KEY not in "".join(texts_of(error_with(one)))]
    assert [KEY.upper] == missed  # a method of str is no MethodType; nobody keeps one

    outer = AnyFastError(KEY)
    outer.add_note(KEY)
    outer.__context__ = LookupError(KEY)
    found = places(outer)
    assert set(found) == {place for place, text in found.items() if KEY in text}

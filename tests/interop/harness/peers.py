"""What stands between a client and an answer, or gives one: programs that others wrote, and how each is run.

A peer is an entry of a table (proxies.py, servers.py, gateways.py, engines.py): how it is installed, told what to do,
started and reloaded. In its texts `<port>` and the other words of :meth:`Running.words` are filled in.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import attrs
import trustme
from answers import KEY, MODEL, Log

HERE = Path(__file__).parent
PATIENCE = 1
"""Seconds that a peer waits for what is behind it, where it can be told to."""
KEPT = "PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH"


@attrs.frozen(kw_only=True)
class Peer:
    """A program that others wrote."""

    name: str
    kind: Literal["proxy", "server", "gateway", "engine"]
    """In front of the raw upstream; runs app.py; a gateway for models in front of the raw upstream; answers itself."""

    command: str
    version: str
    """A command that tells it, or `pip NAME`, `npm NAME`."""

    apt: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    folder: str = ""
    """Where pip or npm install it, below the folder of all; peers may share one."""

    files: Mapping[str, str] = attrs.Factory(dict)
    env: Mapping[str, str] = attrs.Factory(dict)
    ready: str = "/ready"
    starting: float = 30.0
    """Seconds that it may take to start."""

    path: str = "/v1"
    model: str = MODEL
    key: str = KEY
    tls: bool = False
    forward: bool = False
    """The client goes through it as through a proxy, to the upstream's own address."""

    reload: str = ""
    """The name of a signal, or a command. Without, it is ended and started anew."""

    limit: str = ""
    """What `<limit>` stands for where it is to let four calls in at once, or ten a second."""

    scripted: bool = True
    """It says what answers.py says, and writes a log. Else it answers as it likes."""

    prompts: Mapping[str, str] = attrs.Factory(dict)
    """What makes it refuse like a gateway that is `throttled`, or has `no credit`."""

    asks_key: bool = True
    """A wrong key is refused, by it or behind it."""

    cannot_tell: Mapping[str, str] = attrs.Factory(dict)
    """Cases in which a client cannot know what happened, and why."""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Nothing of this machine's settings but what programs need: a provider's key, say, would be used."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    kept["PATH"] = f"{kept.get('PATH', '')}:/usr/sbin"
    return kept | dict(more or {})


def _filled(text: str, words: Mapping[str, str]) -> str:
    return re.sub("<(" + "|".join(words) + ")>", lambda found: words[found[1]], text)


@attrs.define(eq=False)
class Running:
    """A peer that runs."""

    peer: Peer
    folder: Path
    """Its own, for configuration and what it says."""

    installed: Path
    """The folder of all that is installed by pip and npm."""

    upstream: int
    log: Log
    limited: bool = False
    deserted: bool = False
    """Nobody is behind it."""

    port: int = attrs.field(factory=free_port)
    admin: int = attrs.field(factory=free_port)
    authority: trustme.CA = attrs.field(factory=trustme.CA)
    process: subprocess.Popen[bytes] | None = None

    def words(self) -> dict[str, str]:
        bin_folder = self.installed / (self.peer.folder or self.peer.name)
        bin_folder /= "node_modules/.bin" if self.peer.npm else "bin"
        python = bin_folder / "python"
        return {
            "port": str(self.port),
            "admin": str(self.admin),
            "up": str(self.upstream),
            "dir": str(self.folder),
            "here": str(HERE),
            "bin": str(bin_folder),
            "modules": str(bin_folder.parent),
            "python": str(python) if python.exists() else sys.executable,
            "patience": str(PATIENCE),
            "limit": self.peer.limit if self.limited else "",
            "pid": str(self.process.pid) if self.process else "",
        }

    @property
    def model(self) -> str:
        return _filled(self.peer.model, self.words())

    @property
    def url(self) -> str:
        """The base URL for a client."""
        port = self.upstream if self.peer.forward else self.port
        return f"{'https' if self.peer.tls else 'http'}://127.0.0.1:{port}{self.peer.path}"

    @property
    def proxy(self) -> str | None:
        return f"http://127.0.0.1:{self.port}" if self.peer.forward else None

    @property
    def tls(self) -> ssl.SSLContext | None:
        if not self.peer.tls:
            return None
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    def start(self) -> None:
        self.folder.chmod(0o777)
        words = self.words()
        if self.peer.tls and not (self.folder / "pem").exists():
            made = self.authority.issue_cert("127.0.0.1")
            parts = made.private_key_pem.bytes(), *(one.bytes() for one in made.cert_chain_pems)
            (self.folder / "pem").write_bytes(b"".join(parts))
        for name, text in self.peer.files.items():
            (self.folder / name).write_text(_filled(text, words).lstrip("\n"))
        program, *arguments = shlex.split(_filled(self.peer.command, words))
        env = environment({"HOME": str(self.folder), "INTEROP_LOG": str(self.log.path), **self.peer.env})
        found = shutil.which(program, path=env["PATH"]) or program
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [found, *arguments],
                env={name: _filled(text, words) for name, text in env.items()},
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=HERE if self.peer.kind == "server" else self.folder,
                start_new_session=True,  # so that its children are ended with it
            )
        deadline = time.monotonic() + self.peer.starting
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                said = (self.folder / "output").read_text(errors="replace")
                message = f"{self.peer.name} did not start: {said[-2000:]}"
                raise RuntimeError(message)
            time.sleep(0.05)

    def answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        if self.peer.tls:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=self.tls)
        target = f"http://127.0.0.1:{self.upstream}/" if self.peer.forward else self.peer.ready
        try:
            connection.request("GET", target, headers={"Authorization": f"Bearer {self.peer.key}"})
            status = connection.getresponse().status
        except http.client.HTTPException:
            return self.deserted
        except OSError:
            return self.deserted and self._listens()
        else:
            return status < 500 or self.deserted
        finally:
            connection.close()

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def signal(self, number: signal.Signals) -> None:
        """To all its processes."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(8)
        self.kill()
        self.process = None

    def kill(self) -> None:
        """As if the machine had lost its power. Returns when nobody listens any more."""
        self.signal(signal.SIGKILL)
        if self.process:
            self.process.wait()
        for _ in range(100):
            if not self._listens():
                break
            time.sleep(0.05)

    def reload(self) -> None:
        if self.peer.reload.startswith("SIG"):
            assert self.process
            self.process.send_signal(signal.Signals[self.peer.reload])
        elif self.peer.reload:
            command = ["sh", "-c", _filled(self.peer.reload, self.words())]
            subprocess.run(command, env=environment(), check=True, capture_output=True, timeout=20)
        else:
            self.stop()
            self.start()

    def version(self) -> str:
        return version_of(self.peer, self.installed)


def version_of(peer: Peer, installed: Path) -> str:
    """What it says of its own version."""
    folder = installed / (peer.folder or peer.name)
    how, _, name = peer.version.partition(" ")
    if how == "pip":
        python = folder / "bin" / "python"
        code = f"import importlib.metadata as m; print(m.version({name!r}))"
        told = subprocess.run(
            [str(python) if python.exists() else sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
    elif how == "npm":
        text = (folder / "node_modules" / name / "package.json").read_text()
        return str(re.findall(r'"version": *"([^"]+)"', text)[0])
    else:
        command = shlex.split(_filled(peer.version, {"bin": str(folder / "bin")}))
        told = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    found = re.search(r"\d+\.\d+[\w.+-]*|\bb\d+\b", told.stdout + told.stderr)
    return found[0] if found else "?"


@contextlib.contextmanager
def running(
    peer: Peer,
    folder: Path,
    installed: Path,
    upstream: int,
    log: Log,
    *,
    limited: bool = False,
    deserted: bool = False,
) -> Iterator[Running]:
    """Run a peer, from the moment it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    one = Running(peer, folder, installed, free_port() if deserted else upstream, log, limited, deserted)
    one.start()
    try:
        yield one
    finally:
        one.stop()

"""Cassettes: real exchanges in a file, recorded in front of a gateway and played back by the simulator."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Collection, Set
from concurrent.futures import Future
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from anyfast_async.errors import ClientStateError, ConfigurationError
from anyfast_async.simulator import RecordedRequest, Simulator
from anyfast_async.simulator.script.exchange import to_toml
from anyfast_async.simulator.script.script_file import ScriptError, ScriptFile, load_script
from anyfast_async.testing.recorder import RecordingProxy
from anyfast_async.testing.scrubbing import RecordedForms

_MARK: Final = "# A cassette of anyfast_async"
_HEAD: Final = f"""{_MARK}: real exchanges, without the headers of requests and without keys.
# To play it: anyfast_async.testing.Cassette, or anyfast simulate --script FILE
"""


class Cassette:
    """Real exchanges in a file: recorded once, played back as often as you like without key, network or bill.

    ::

        with Cassette("cassettes/capital.toml") as cassette:  # record=True: anew, from the real gateway
            client = AnyFast("any key", base_url=cassette.base_url, model="gemini-2.5-flash")

    Both go through a server on loopback, so they serve every client and every language: this package's, its door for
    the vendor SDK's shape, that SDK itself. ``with`` runs the server in a thread, ``async with`` in the running loop.

    **Recorded** are method, path and body of a request, and status, body and the times of its pieces of an answer, with
    those headers that clients act on (content type and length, rate limits, ``Retry-After``, request ids). No header of
    a request is written, and keys are blanked out wherever they stand, in plain, URL, JSON, hexadecimal and base64
    spelling: by asterisks in answers, by names such as ``⟦key⟧`` in requests. The file is written when the block ends
    without an exception. It is a script of the simulator, made to be read in a review: look through it before you
    publish it, for answers stand in it as they came. A key that a model writes out in a stream, a few letters in each
    event, is not found: it stays in the file in pieces.

    **Played** is an answer byte by byte, if the request is the recorded one: method, path and JSON value, its own key
    and *secrets* blanked out as they were. Equal requests get their answers in the order in which they were recorded. A
    request that is not on the cassette is refused with status 501, whose message has the nearest one and the
    differences, and at the end of the block raises an ``AssertionError`` with the same.

    Args:
        path: the file, by convention ``.toml``.
        record: True records from the real gateway and replaces the file; False (default) plays it.
        upstream: base URL of the gateway that is recorded; default ``ANYFAST_BASE_URL``, else the AnyFast gateway. Keys
            come from the client, with its requests.
        hash_prompts: record texts of requests as their SHA-256, model and roles excepted. Whoever has a text can tell
            that it is the one; answers are not hashed.
        secrets: words that must not be written down, beside the keys that requests show and ``ANYFAST_API_KEY``. To
            play it give the same ones in the same order if requests hold them: they are told apart by their number.
        timing: True plays answers as slowly as they came, piece by piece; False (default): at once.
        repeat: True lets the last of equal exchanges answer again and again; False (default): each answers once.
        ignore: fields at the top of a request that need not be as recorded, such as ``("user", "seed")``.

    Raises:
        ConfigurationError: when the block is entered: no such cassette, or the file is none, or *upstream* is no base
            URL. When a recording ends: the gateway could not be reached.

    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        record: bool = False,
        upstream: str | None = None,
        hash_prompts: bool = False,
        secrets: Collection[str] = (),
        timing: bool = False,
        repeat: bool = False,
        ignore: Collection[str] = (),
    ) -> None:
        if isinstance(secrets, str) or isinstance(ignore, str):
            message = "secrets and ignore are collections of strings, not one string"
            raise ConfigurationError(message)
        self._path = Path(path)
        self._record = record
        self._timing = timing
        self._repeat = repeat
        self._ignore = tuple(ignore)
        # In a fixed order: requests name them by their number.
        self._secrets = tuple(sorted(secrets) if isinstance(secrets, Set) else secrets)
        self._recorder = RecordingProxy(upstream, secrets=self._secrets, hash_prompts=hash_prompts) if record else None
        self._simulator: Simulator | None = None
        self._stack = AsyncExitStack()
        self._thread: _Thread | None = None
        self._models: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Cassette {str(self._path)!r}, {'recording' if self._record else 'playing'}>"

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def recording(self) -> bool:
        """Whether it records; else it plays."""
        return self._record

    @property
    def base_url(self) -> str:
        """Where clients find it, such as ``http://127.0.0.1:40123/v1``."""
        url = self._recorder.base_url if self._recorder is not None else ""
        if self._simulator is not None:
            url = self._simulator.base_url
        if not url:
            message = "a cassette is used in 'with' or 'async with'"
            raise ClientStateError(message)
        return url

    @property
    def models(self) -> tuple[str, ...]:
        """The models that the recorded requests name, in their order; nothing while it records."""
        return self._models

    @property
    def requests(self) -> list[RecordedRequest]:
        """What arrived while it plays, in order; nothing while it records."""
        return [] if self._simulator is None else self._simulator.requests

    # -- running -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._recorder is not None:
            await asyncio.to_thread(_check_replaceable, self._path)
            await self._stack.enter_async_context(self._recorder)
            return self
        script = await asyncio.to_thread(_loaded, self._path)
        self._simulator = Simulator(**(script.options | {"timing": self._timing, "ignore": self._ignore}))
        script.apply(self._simulator)
        self._models = script.models
        self._simulator._script.forms = RecordedForms(  # noqa: SLF001 - ours
            self._secrets, os.environ.get("ANYFAST_API_KEY", "").strip()
        )
        if self._repeat:
            self._simulator._script.repeat()  # noqa: SLF001 - ours
        await self._stack.enter_async_context(self._simulator)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)
        if self._recorder is not None and kind is None:
            await asyncio.to_thread(_write, self._path, self._recorder)

    def __enter__(self) -> Self:
        self._thread = _Thread(self)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop(error)


class _Thread:
    """A cassette that runs in an event loop of its own."""

    def __init__(self, cassette: Cassette) -> None:
        self._cassette = cassette
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._error: BaseException | None = None
        """What the block ended with."""
        self._ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="anyfast-cassette", daemon=True)

    def start(self) -> None:
        """Start it, and return when it serves."""
        self._thread.start()
        self._started.result()

    def stop(self, error: BaseException | None) -> None:
        """End it; raises what its end raises, but for *error*, which the block ended with."""
        loop, stopping = self._started.result()
        self._error = error
        loop.call_soon_threadsafe(stopping.set)
        self._thread.join()
        if error is None:
            self._ended.result()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - raised in the other thread
            (self._ended if self._started.done() else self._started).set_exception(error)
        else:
            self._ended.set_result(None)

    async def _serve(self) -> None:
        stopping = asyncio.Event()
        await self._cassette.__aenter__()
        self._started.set_result((asyncio.get_running_loop(), stopping))
        try:
            await stopping.wait()
        finally:
            error = self._error
            await self._cassette.__aexit__(None if error is None else type(error), error, None)


# -- the file --------------------------------------------------------------------------------------------------------


def _loaded(path: Path) -> ScriptFile:
    try:
        return load_script(path)
    except FileNotFoundError:
        message = f"no cassette {str(path)!r}: record it once, with record=True or pytest's --anyfast-record"
    except OSError as error:
        message = f"the cassette {str(path)!r} cannot be read: {error.strerror or error}"
    except ScriptError as error:
        message = f"no cassette: {error}"
    raise ConfigurationError(message)


def _check_replaceable(path: Path) -> None:
    """Refuse to write over what is no cassette."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_MARK))
    except FileNotFoundError:
        return
    except OSError as error:
        message = f"the cassette {str(path)!r} cannot be written: {error.strerror or error}"
        raise ConfigurationError(message) from None
    if start and start != _MARK.encode():
        message = f"{str(path)!r} is no cassette, so it is not written over"
        raise ConfigurationError(message)


def _write(path: Path, recorder: RecordingProxy) -> None:
    data = "\n".join([_HEAD, *map(to_toml, recorder.exchanges)]).encode("utf-8", "replace")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

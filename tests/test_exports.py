"""The public names, and that each module can be imported alone."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
import textwrap
from typing import Any

import pytest

import anyfast_async

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(anyfast_async.__path__, "anyfast_async.", onerror=lambda _: None)
    if not module.name.endswith("__main__")
)


def test_all_is_sorted_and_has_no_double() -> None:
    """Constants, then classes by name, as ruff sorts it; no name twice."""
    names = anyfast_async.__all__

    assert len(names) == len(set(names))
    assert names == sorted(names, key=lambda name: (not name.isupper(), name != "__version__" and name == "", name))


def test_all_is_exactly_what_is_public() -> None:
    """Every name in ``__all__`` is there, and every public name that is no module is in ``__all__``."""
    loaded = {name for name in dir(anyfast_async) if not name.startswith("_")}
    modules = {name for name in loaded if type(getattr(anyfast_async, name)).__name__ == "module"}

    assert loaded - modules - {"Any", "TYPE_CHECKING", "annotations", "import_module"} | {"__version__"} == set(
        anyfast_async.__all__
    )
    assert set(anyfast_async._HOME) | {"__version__"} == set(anyfast_async.__all__)


def test_nothing_private_is_exported() -> None:
    """No name in ``__all__`` begins with an underscore, but the version."""
    assert [name for name in anyfast_async.__all__ if name.startswith("_")] == ["__version__"]


def test_every_exception_is_exported() -> None:
    """Whatever the package raises can be caught by a name from its top."""

    def tree(kind: type[Any]) -> set[str]:
        return {kind.__name__}.union(
            *(tree(k) for k in kind.__subclasses__() if k.__module__ == "anyfast_async.errors")
        )

    assert tree(anyfast_async.AnyFastError) <= set(anyfast_async.__all__)


def test_public_things_are_documented() -> None:
    """Every exported class has a docstring of its own."""
    classes = [value for name in anyfast_async.__all__ if isinstance(value := getattr(anyfast_async, name), type)]

    assert [c.__name__ for c in classes if not (vars(c).get("__doc__") or "").strip()] == []


PROGRAM = textwrap.dedent("""
    import os, sys, traceback
    import aiohttp.web, attrs, cattrs.preconf.json, click, orjson, pytest, rich, tenacity  # once, not in each process
    import anyfast_async  # comes before any module in it, so once is enough
    failed = 0
    for name in sys.argv[1:]:
        pid = os.fork()
        if pid == 0:
            try:
                __import__(name)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        if os.waitpid(pid, 0)[1]:
            print("cannot import", name, "alone", file=sys.stderr)
            failed = 1
    sys.exit(failed)
""")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.reliability
def test_modules_can_be_imported_alone() -> None:
    """Each module is imported in a process of its own, with warnings as errors: no cycle, no missing import.

    In full with ANYFAST_LONG, else each eighth.
    """
    modules = MODULES if os.environ.get("ANYFAST_LONG") else MODULES[::8]
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, *modules],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )

    assert (result.returncode, result.stderr) == (0, "")


def test_import_does_nothing() -> None:
    """Importing the package starts no loop, thread or socket, prints nothing, and leaves the edges alone."""
    program = textwrap.dedent("""
        import sys, threading
        import anyfast_async
        assert threading.active_count() == 1
        edges = ("anyfast_async.simulator", "anyfast_async.cli", "anyfast_async.batch", "anyfast_async.openai")
        assert not [m for m in sys.modules if m in edges], [m for m in sys.modules if m in edges]
        assert not {"click", "rich", "fastapi", "pytest"} & set(sys.modules)
    """)

    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False, timeout=50
    )

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


LATER = """
import asyncio, json, sys
from anyfast_async import AnyFast, APIConnectionError, BadRequestError, RetryPolicy

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("anyfast_async", "cattrs", "tenacity", "attrs"):
            raise OSError(24, "Too many open files")

def answer(status, body):
    head = f"HTTP/1.1 {status} X\\r\\nContent-Length: {len(body)}\\r\\nContent-Type: application/json\\r\\n\\r\\n"
    return head.encode() + body

async def main():
    choice = {"index": 0, "message": {"role": "assistant", "content": "A"}, "finish_reason": "stop"}
    good = json.dumps({"id": "x", "object": "chat.completion", "choices": [choice]}).encode()
    answers = [answer(200, good), answer(400, b"{}"), answer(200, b"[]"), answer(200, good), b""]

    async def serve(reader, writer):
        while answers:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
            writer.write(answers.pop(0))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with AnyFast("sk-x", base_url=url, model="m", retry=RetryPolicy(attempts=1)) as client:
        sys.meta_path.insert(0, Refused())
        assert "A" == (await client.complete("a")).text
        for kind in (BadRequestError, Exception):
            try:
                await client.complete("a")
            except kind as error:
                assert not isinstance(error, OSError), error
        assert "A" == (await client.stream("a").drain()).text
        try:
            await client.complete("a")
        except APIConnectionError:
            print("fine")
    server.close()

asyncio.run(main())
"""


def test_nothing_is_loaded_once_a_request_can_go_out() -> None:
    """Where no file can be opened any more, answers are taken and failures are told all the same."""
    result = subprocess.run([sys.executable, "-c", LATER], capture_output=True, text=True, check=False, timeout=60)
    assert "fine\n" == result.stdout, result.stderr

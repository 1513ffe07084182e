"""Every peer in every case: what others wrote, and what the client makes of it.

`nox -s interop` installs the peers and runs all of it; INTEROP_PEERS names the folder that they are installed in. In
the suite it is uvicorn alone, which the tests have anyway, and what takes no time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "harness"
sys.path.insert(0, str(HERE))
from answers import Log  # noqa: E402
from cases import CASES, SHORT, Stage  # noqa: E402
from engines import ENGINES  # noqa: E402
from gateways import GATEWAYS  # noqa: E402
from peers import Running, running  # noqa: E402
from proxies import PROXIES  # noqa: E402
from servers import SERVERS  # noqa: E402

from anyfast_async import AnyFast  # noqa: E402

sys.path.remove(str(HERE))

INSTALLED = os.environ.get("INTEROP_PEERS")
CELLS = os.environ.get("INTEROP_CELLS")
"""A file to which each cell is added as a line of JSON."""
ALL = {one.name: one for one in (*PROXIES, *SERVERS, *GATEWAYS, *ENGINES)}
MISSING: dict[str, str] = {}
if INSTALLED and (Path(INSTALLED) / "missing.json").exists():
    MISSING = json.loads((Path(INSTALLED) / "missing.json").read_text())
WANTED = [name for name in ALL if name not in MISSING] if INSTALLED else ["uvicorn (h11)"]
if only := os.environ.get("INTEROP_ONLY"):
    WANTED = [name for name in WANTED if name in only.split(";")]
ASKED = list(CASES) if INSTALLED else list(SHORT)
if some := os.environ.get("INTEROP_CASES"):
    ASKED = [name for name in ASKED if name in some.split(";")]
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Log]]:
    """upstream.py: its port, and its log."""
    path = tmp_path_factory.mktemp("upstream") / "log"
    path.touch()
    command = [sys.executable, str(HERE / "upstream.py"), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), Log(path)
        process.kill()


@pytest.fixture(scope="module", params=WANTED)
def peer(
    request: pytest.FixtureRequest, upstream: tuple[int, Log], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    one = ALL[request.param]
    folder = tmp_path_factory.mktemp("peer")
    for parent in list(folder.parents)[:3]:
        with contextlib.suppress(PermissionError):
            parent.chmod(0o755)  # some give their rights away, and read what they serve afterwards
    with running(one, folder, Path(INSTALLED or folder), *upstream) as started:
        yield started


def _note(file: Path, line: dict[str, Any]) -> None:
    with file.open("a") as cells:
        cells.write(json.dumps(line) + "\n")


@pytest.mark.parametrize("case", ASKED)
async def test_cell(peer: Running, case: str, connect: Callable[..., AnyFast], tmp_path_factory: Any) -> None:
    """What the client tells agrees with the bytes that came and with what was read upstream."""

    @contextlib.asynccontextmanager
    async def start(**how: bool) -> AsyncIterator[Running]:
        folder = tmp_path_factory.mktemp("another")
        manager = running(peer.peer, folder, peer.installed, peer.upstream, peer.log, **how)
        one = await asyncio.to_thread(manager.__enter__)
        try:
            yield one
        finally:
            await asyncio.to_thread(manager.__exit__, None, None, None)

    cell = await CASES[case](Stage(peer, connect, start))
    cannot = peer.peer.cannot_tell.get(case)
    if CELLS:
        line = {
            "peer": peer.peer.name,
            "kind": peer.peer.kind,
            "version": peer.version(),
            "case": case,
            "does": cell.does,
            "told": cell.told,
            "wrong": cell.wrong,
            "cannot": cannot,
        }
        _note(Path(CELLS), line)
    print(f"{peer.peer.name} | {case} | {cell.does} | {cell.told} | {cell.wrong}")  # noqa: T201
    if cannot:
        assert cell.wrong, f"{case} can be told now: no longer {cannot!r}"
    else:
        assert cell.wrong == ()


def test_page_has_every_cell() -> None:
    """The page of the documentation has a table for each case, and in each every peer, or says why it was not run."""
    page = (HERE.parents[2] / "docs" / "explanation" / "real-servers.md").read_text(encoding="utf-8")
    sections = page.partition("<!-- cells -->")[2].split("\n### ")[1:]
    missing = [name for name in ALL if f"| not run | {name}:" in page]
    told = {section.partition("\n")[0].lower(): re.findall(r"(?m)^\| (.+?) \| ", section)[1:] for section in sections}
    assert list(told) == [case.lower() for case in CASES]
    for case, rows in told.items():
        peers = [name for name in ALL if any(name in row.split("; ") for row in rows)]
        assert sorted([*peers, *missing]) == sorted(ALL), case

"""README.md and docs/: every Python block runs as it stands, and what the pages say of the code is so."""

from __future__ import annotations

import ast
import asyncio
import codeop
import inspect
import logging
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import anyfast_async
from anyfast_async import (
    AnyFastError,
    Limits,
    RetryPolicy,
    Timeouts,
    batch,
    observing,
    otel,
    scale,
    simulator,
    stores,
    testing,
)
from anyfast_async.cli.app import anyfast
from anyfast_async.simulator import Simulator

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block."""

    language: str
    heading: str
    """The heading that it stands under."""
    line: int
    """The line of its first line in the page, from 1."""
    text: str


class Page:
    """A Markdown page."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")

    def blocks(self, *languages: str) -> list[Block]:
        """Return the page's blocks in *languages*, in order."""
        return [
            Block(found[1], self._heading(found.start()), self.text.count("\n", 0, found.start(2)) + 1, found[2])
            for found in _FENCE.finditer(self.text)
            if found[1] in languages
        ]

    def _heading(self, position: int) -> str:
        without_code = _FENCE.sub(lambda found: " " * len(found[0]), self.text)
        headings = [found[1] for found in _HEADING.finditer(without_code, 0, position)]
        return headings[-1] if headings else ""


@pytest.fixture(scope="module")
def readme() -> Page:
    """Return README.md."""
    return Page(ROOT / "README.md")


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Serve the simulator from a thread, and point the environment to it."""
    with Simulator.in_thread() as simulator:
        monkeypatch.setenv("ANYFAST_BASE_URL", simulator.base_url)
        monkeypatch.setenv("ANYFAST_API_KEY", "sk-made-up")
        monkeypatch.setenv("ANYFAST_MODEL", "gemini-2.5-flash")
        yield simulator


# -- README.md -------------------------------------------------------------------------------------------------------

SCRIPTS = {
    "Await, in a service": (2, 2),
    "Map, over many prompts": (100, 100),
    "Stream, token by token": (1, 2),
    "Test your own code": (0, 1),  # it starts a simulator of its own
}
"""Heading of each Python block: the requests it sends, and the lines it prints at least."""


def test_scripts_are_known(readme: Page) -> None:
    """Every Python block of README.md is one of those that run below."""
    assert list(SCRIPTS) == [block.heading for block in readme.blocks("python")]


@pytest.mark.slow
@pytest.mark.parametrize("heading", SCRIPTS)
def test_script(heading: str, readme: Page, gateway: Simulator, tmp_path: Path) -> None:
    """A Python block is a whole program: it sends and prints what it should, without a warning."""
    (block,) = (block for block in readme.blocks("python") if block.heading == heading)
    requests, lines = SCRIPTS[heading]
    script = tmp_path / "script.py"
    script.write_text(block.text, encoding="utf-8")

    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    assert requests == len(gateway.requests)
    assert {200} >= {request.status for request in gateway.requests}
    assert lines <= len(done.stdout.splitlines())


@pytest.mark.slow
def test_map_script_keeps_its_limit(readme: Page, gateway: Simulator, tmp_path: Path) -> None:
    """The map script never has more than the 16 calls in flight that it allows itself."""
    (block,) = (block for block in readme.blocks("python") if "client.map" in block.text)
    gateway.reply(ttft=0.1)

    subprocess.run([sys.executable, "-c", block.text], cwd=tmp_path, capture_output=True, timeout=30, check=True)

    assert gateway.peak_in_flight == 16


def test_first_two_commands(readme: Page) -> None:
    """The first two shell blocks are one line each: the demonstration, then the tests, each in a venv of its own."""
    demo, tests = readme.blocks("sh")[:2]

    assert [1, 1] == [len(block.text.splitlines()) for block in (demo, tests)]
    assert all(block.text.startswith("python3 -m venv .venv && ") for block in (demo, tests))
    assert demo.text.endswith("anyfast demo\n")
    assert tests.text.endswith("nox -s tests\n")


def test_ci_runs_the_test_command(readme: Page) -> None:
    """What `.ci/run` takes out of README.md is the second shell block."""
    (awk,) = re.findall(r"^command=\$\((awk .*)\)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)

    taken = subprocess.run(["bash", "-c", awk], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)

    assert readme.blocks("sh")[1].text == taken.stdout


@pytest.mark.parametrize("policy", [Limits, RetryPolicy, Timeouts])
def test_defaults(policy: type, readme: Page) -> None:
    """The defaults that README.md writes out are those of the code, field by field."""
    (written, *_) = re.findall(rf"`{policy.__name__}(\(.*?\))`", readme.text.replace("\n", " "))

    assert policy() == eval(f"policy{written}", {"policy": policy})  # noqa: S307 - our own text


def test_errors(readme: Page) -> None:
    """Every exception that README.md names exists, and every public one is named or the base of one that is."""
    rows = re.search(r"^\| exception \|.*?\n\n", readme.text, re.MULTILINE | re.DOTALL)
    assert rows is not None
    named = {
        getattr(anyfast_async, name)
        for name in re.findall(r"`([A-Z]\w+(?:Error|Timeout|Exceeded))`", rows[0])
        if name != "TimeoutError"
    }
    exported = [getattr(anyfast_async, name) for name in anyfast_async.__all__]
    public = {value for value in exported if inspect.isclass(value) and issubclass(value, AnyFastError)}

    assert named <= public
    bases = {base for error in named for base in error.__mro__}
    assert set() == {error.__name__ for error in public - named - bases}


def test_links(readme: Page) -> None:
    """Every file that README.md links to is there."""
    links = [link for link in re.findall(r"\]\(([^)#]+)", readme.text) if ":" not in link]

    assert [] == [link for link in links if not (ROOT / link).exists()]
    assert links


# -- docs/ -----------------------------------------------------------------------------------------------------------

PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if "```python" in path.read_text())


def execute(block: Block, page: Page, namespace: dict[str, object], runner: asyncio.Runner) -> None:
    """Run a block, which may await at its top level; tracebacks show the line of the page."""
    tree = ast.increment_lineno(ast.parse(block.text), block.line - 1)
    code = compile(tree, str(page.path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, namespace)  # noqa: S307 - our own pages
    if inspect.iscoroutine(result):
        runner.run(result)


def refused_line(text: str) -> str | None:
    """The first line that an interactive interpreter refuses when *text* is typed into it, as pasting does."""
    compiled = codeop.CommandCompiler()
    compiled.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as `python -m asyncio` does
    typed: list[str] = []
    for line in text.split("\n"):
        typed.append(line)
        try:
            if compiled("\n".join(typed), symbol="single") is not None:
                typed.clear()
        except SyntaxError:
            return line
    return "\n".join(typed) or None


def is_file(block: Block) -> bool:
    """Whether a block is meant to be saved: it says how the file is called, or has tests in it."""
    return (
        re.match(r"# \w+\.py\n", block.text) is not None
        or "\ndef test_" in block.text
        or "async def test_" in block.text
    )


@pytest.mark.parametrize("name", PAGES)
def test_blocks_can_be_pasted(name: str) -> None:
    """Whatever is no file can be pasted into `python -m asyncio`, before Python 3.13 too: no line of it is refused."""
    blocks = [block for block in Page(DOCS / name).blocks("python") if not is_file(block)]
    assert [] == [(block.line, line) for block in blocks if (line := refused_line(block.text)) is not None]


def save(block: Block, folder: Path) -> Path | None:
    """Write a block that begins with the comment ``# name.py`` to that file."""
    first = block.text.partition("\n")[0]
    if not (first.startswith("# ") and first.endswith(".py")):
        return None
    path = folder / first.removeprefix("# ")
    path.write_text(block.text, encoding="utf-8")
    return path


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Return where spans go that a page sends to a collector."""
    exporter = InMemorySpanExporter()
    module: Any = types.ModuleType("trace_exporter")
    module.OTLPSpanExporter = lambda **_: exporter
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", module)
    monkeypatch.setattr(logging.getLogger("anyfast_async"), "level", logging.NOTSET)  # put back after the page
    return exporter


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.usefixtures("gateway")
def test_page(
    name: str,
    spans: InMemorySpanExporter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The blocks of a page share a namespace and run without a warning; a text block after one is what it prints."""
    page = Page(DOCS / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    tests: list[Path] = []

    with asyncio.Runner() as runner:
        for block, after in pairwise([*page.blocks("python", "text", "sh", "console"), None]):
            assert block is not None
            if block.language != "python":
                continue
            path = save(block, tmp_path)
            if path is not None and path.name.startswith("test_"):
                tests.append(path)
                continue
            execute(block, page, vars(module), runner)
            if after is not None and after.language == "text":
                assert after.text == capsys.readouterr().out
            capsys.readouterr()

    if name == "howto/observe.md":
        inner, outer = spans.get_finished_spans()
        assert ("chat gemini-2.5-flash", "answer a visitor") == (inner.name, outer.name)
        assert inner.parent == outer.context

    if tests:
        settings = ["asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function"]
        options = ["-q", "-W", "error", "-p", "no:cacheprovider", *(f"--override-ini={s}" for s in settings)]
        command = [sys.executable, "-m", "pytest", *options, *map(str, tests)]
        for recording in (["--anyfast-record"], []):  # what is recorded first, is played then
            whole = [*command, *recording]
            done = subprocess.run(whole, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
            assert done.returncode == 0, done.stdout


def test_every_guide_has_code_that_runs(readme: Page) -> None:
    """The tutorial and each how-to have Python blocks or commands; ``pytest -rP`` shows how many blocks are run."""
    pages = {path.relative_to(DOCS).as_posix(): Page(path) for path in sorted(DOCS.rglob("*.md"))}
    blocks = {"README.md": len(readme.blocks("python"))} | {n: len(page.blocks("python")) for n, page in pages.items()}
    print(sum(blocks.values()), "blocks run:", {name: count for name, count in blocks.items() if count})  # noqa: T201

    guides = [name for name in pages if name.startswith(("howto/", "tutorial"))]
    assert [] == [name for name in guides if not pages[name].blocks("python", "sh", "console")]
    assert guides


def test_every_page_is_in_the_contents() -> None:
    """index.md leads to every page."""
    index = Page(DOCS / "index.md")
    listed = {line for block in index.blocks("{toctree}") for line in block.text.splitlines()}

    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}

    assert pages - {"index"} == {line for line in listed if line and not line.startswith(":")}


@pytest.mark.parametrize(
    ("pages", "exported"),
    [
        (["api.md", "errors.md"], {*anyfast_async.__all__, *stores.__all__, "unless_disconnected"} - {"__version__"}),
        (
            ["simulator.md"],
            {*simulator.__all__, *testing.__all__} - {"SimulatorOptions"},
        ),  # they stand at Simulator itself
        (["observing.md"], {*observing.__all__, *otel.__all__}),
        (["batch.md"], {*batch.__all__, *scale.__all__} - {*anyfast_async.__all__}),
    ],
)
def test_every_public_name_is_described(pages: list[str], exported: set[str]) -> None:
    """The reference has one entry for each name that the package and the simulator export."""
    text = "".join((DOCS / "reference" / name).read_text(encoding="utf-8") for name in pages)

    assert sorted(exported) == sorted(
        re.findall(r"^\.\. auto(?:class|exception|data|function):: (\w+)", text, re.MULTILINE)
    )


def test_every_option_of_the_command_is_described(readme: Page) -> None:
    """The pages on the command line name each command and each of its options, and README.md each command."""
    text = "".join((DOCS / "reference" / name).read_text(encoding="utf-8") for name in ("cli.md", "options.md"))
    options = {
        option
        for command in anyfast.commands.values()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("-")
    }

    assert {f"anyfast {name}" for name in anyfast.commands} <= set(re.findall(r"anyfast [a-z]+", text))
    assert {f"anyfast {name}" for name in anyfast.commands} <= set(re.findall(r"anyfast [a-z]+", readme.text))
    assert options <= set(re.findall(r"(?<=`)--?[a-z-]+", text))


def test_version() -> None:
    """The version is the same in the code, the installed metadata and the newest entry of CHANGELOG.md."""
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert newest is not None
    assert anyfast_async.__version__ == version("anyfast-async") == newest[1]

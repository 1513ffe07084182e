"""The house rules, as far as a machine can tell: who imports whom, what is pure, where a library is used, and order."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "anyfast_async"
TESTS: Final = ROOT / "tests"
SOURCES: Final = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES: Final = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}


# -- floors: an import only points down ------------------------------------------------------------------------------

FLOORS: Final = (
    # values
    {
        "_size_limits.py",
        "_structured/",
        "_values/",
        "_version.py",
        "completions.py",
        "errors.py",
        "messages.py",
        "observing.py",
        "policies.py",
        "requests.py",
    },
    # pure
    {
        "_core/",
    },
    # the shell: one library or primitive each
    {
        "_call/",
        "_client/",
        "_clocks/",
        "_http/",
        "_journal/",
        "_limits/",
        "_map/",
        "_observers/",
        "_retry/",
        "_stream/",
        "_tools/",
        "prices.py",
        "stores.py",
        "tools.py",
    },
    # the client
    {
        "client.py",
    },
    # the public names
    {
        "__init__.py",
    },
    # edges
    {
        "__main__.py",
        "_testing.py",
        "asgi.py",
        "batch/",
        "cli/",
        "openai/",
        "otel/",
        "pytest_plugin.py",
        "scale/",
        "simulator/",
        "testing/",
    },
)
EDGES: Final = {
    "__main__.py": {"cli/"},
    "_testing.py": set[str](),
    "asgi.py": set[str](),
    "batch/": set[str](),
    "cli/": {"batch/", "scale/", "simulator/"},
    "openai/": set[str](),
    "otel/": set[str](),
    "pytest_plugin.py": {"_testing.py", "simulator/", "testing/"},
    "scale/": {"batch/"},
    "simulator/": set[str](),
    "testing/": {"simulator/"},
}
"""Edges know the house, but each other only as said here. The simulator does not even know the house: two sides that
cannot share a misunderstanding."""
CORE_ORDER: Final = (
    {
        "errors/failures.py",
        "retry/retry_budget.py",
    },
    {
        "errors/gateway_or_proxy.py",
        "errors/quota_and_model.py",
        "errors/request_id.py",
        "histogram.py",
        "http/body_end.py",
        "http/connection_trust.py",
        "http/usual_head.py",
        "journal/id_index.py",
        "journal/reserved_money.py",
        "json/jsontext.py",
        "json/shapes.py",
        "limits/answer_lengths.py",
        "limits/answer_times.py",
        "limits/capacity_estimate.py",
        "limits/fair_share.py",
        "limits/learned_limits.py",
        "limits/rate_limit.py",
        "limits/budget_amounts.py",
        "limits/shared_quota.py",
        "limits/shared_script.py",
        "retry/backoff.py",
        "retry/hedging.py",
        "retry/outage.py",
        "retry/retry_after.py",
        "retry/suspicion.py",
        "sse.py",
    },
    {
        "limits/budget_script.py",
        "limits/adaptive_window.py",
        "limits/refusal.py",
        "limits/shared_budget.py",
        "limits/shared_permit.py",
    },
    {
        "http/compression.py",
        "journal/row_ids.py",
        "json/lossless.py",
        "limits/shared_balance.py",
        "limits/throttle.py",
        "limits/tokens_per_minute.py",
        "stream/chunk_template.py",
        "usage.py",
    },
    {
        "http/head.py",
        "json/codec.py",
    },
    {
        "errors/error_bodies.py",
        "prompt_template.py",
        "limits/token_estimate.py",
        "stream/fragments.py",
        "usual_answer.py",
    },
    {
        "errors/advice.py",
    },
    {
        "errors/exceptions.py",
        "stream/tool_calls.py",
    },
    {
        "stream/choice.py",
    },
    {
        "stream/fold.py",
    },
    {
        "stream/reader.py",
    },
    {
        "stream/completeness.py",
    },
    {
        "answer.py",
    },
    {
        "journal/journal_lines.py",
    },
    {
        "journal/log_replay.py",
        "journal/send_again.py",
    },
)


class Import(NamedTuple):
    """One name imported by one file."""

    module: str
    """Dotted, ``package.module`` where a module is imported from its package."""
    typing_only: bool
    line: int


@functools.cache
def imports_of(tree: ast.AST) -> tuple[Import, ...]:
    """Every import in a file, those inside of functions included."""
    return tuple(_imports_in(tree))


def _imports_in(tree: ast.AST) -> Iterator[Import]:
    typing_only: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            typing_only |= {id(inner) for one in node.body for inner in ast.walk(one)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(name.name, id(node) in typing_only, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            assert node.module is not None
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                module = whole if file_of(whole) is not None else node.module
                yield Import(module, id(node) in typing_only, node.lineno)


def file_of(module: str) -> str | None:
    """The file of a module of the package, None for anything else."""
    if module == "anyfast_async":
        return "__init__.py"
    inner = module.removeprefix("anyfast_async.").replace(".", "/")
    return next((name for name in (f"{inner}.py", f"{inner}/__init__.py") if name in SOURCES), None)


def unit_of(name: str) -> str:
    """What a file is called in the table of floors: its folder, or itself."""
    return f"{name.partition('/')[0]}/" if "/" in name else name


def floor_of(name: str) -> int:
    """The floor of a file."""
    return next(number for number, floor in enumerate(FLOORS) if unit_of(name) in floor)


def inner_imports(*, typing: bool) -> Iterator[tuple[str, str, int]]:
    """Every import of one file of the package by another: importer, imported, line."""
    for name, tree in TREES.items():
        for one in imports_of(tree):
            file = file_of(one.module)
            if file is not None and (typing or not one.typing_only):
                yield name, file, one.line


def test_every_file_has_a_floor() -> None:
    """Each file stands on one floor, and no floor names a unit that has a file on another."""
    assert [] == [name for name in SOURCES if sum(unit_of(name) in floor for floor in FLOORS) != 1]


def test_imports_point_down() -> None:
    """No file imports from a floor above its own, not even for types; edges know each other only as declared."""
    wrong = []
    for name, imported, line in inner_imports(typing=True):
        mine, its = unit_of(name), unit_of(imported)
        if mine == its:
            continue
        edges = mine in EDGES and its in EDGES
        down = its in EDGES[mine] if edges else floor_of(imported) <= floor_of(name)
        if not down or (mine == "simulator/"):
            wrong.append(f"{name}:{line} imports {imported}")
    assert wrong == []


ROOM_ORDER: Final = (
    {"_clocks/", "_http/", "_limits/"},
    {"_observers/"},
    {"_journal/", "_retry/", "_stream/"},
    {"_call/", "_map/"},
    {"_client/"},
    {"_tools/"},
)
"""The rooms of the shell: a room uses those before it. What is imported for types alone does not count."""


def test_rooms_have_an_order() -> None:
    """No room of the shell uses one that comes after it, or stands beside it."""
    level = {room: number for number, rooms in enumerate(ROOM_ORDER) for room in rooms}
    rooms = {unit_of(name) for name in SOURCES if name.startswith("_") and "/" in name}
    assert rooms - set(level) == {"_core/", "_structured/", "_values/"}
    pairs = [(a, b, line) for a, b, line in inner_imports(typing=False) if {unit_of(a), unit_of(b)} <= set(level)]
    wrong = [
        (a, b, line) for a, b, line in pairs if unit_of(a) != unit_of(b) and level[unit_of(b)] >= level[unit_of(a)]
    ]
    assert [] == [f"{a}:{line} imports {b}" for a, b, line in wrong]


def test_core_has_an_order() -> None:
    """Inside of the core: tables, bytes and codec, then folding, then answers; nothing imports its own level."""
    level = {f"_core/{name}": number for number, names in enumerate(CORE_ORDER) for name in names}
    assert [] == [
        name for name in SOURCES if name.startswith("_core/") and not name.endswith("__init__.py") and name not in level
    ]
    pairs = [(a, b, line) for a, b, line in inner_imports(typing=True) if a in level and b in level]
    assert [] == [f"{a}:{line} imports {b}" for a, b, line in pairs if level[b] >= level[a]]


def test_no_cycles() -> None:
    """Files of one floor may use each other, but never in a circle; imports for types alone do not count."""
    uses: dict[str, set[str]] = {name: set() for name in SOURCES}
    for name, imported, _ in inner_imports(typing=False):
        if imported != name and not imported.endswith("__init__.py"):
            uses[name].add(imported)
    while leaves := {name for name, used in uses.items() if not used}:
        uses = {name: used - leaves for name, used in uses.items() if name not in leaves}
    assert uses == {}


# -- what the core may use -------------------------------------------------------------------------------------------

PURE: Final = {
    *(
        "__future__",
        "abc",
        "array",
        "attrs",
        "base64",
        "bisect",
        "cattrs",
        "collections",
        "contextlib",
        "datetime",
        "decimal",
        "email",
        "functools",
        "html",
        "itertools",
        "importlib",
        "json",
        "math",
        "operator",
    ),
    *("orjson", "pathlib", "re", "types", "typing", "uuid", "zlib"),
}
"""``importlib`` for libraries that may be there, ``pathlib`` for its types, ``datetime`` and ``email`` for dates."""
IMPURE_CALLS: Final = {
    *("open", "read_text", "read_bytes", "write_text", "write_bytes", "stat", "exists", "iterdir", "resolve"),
    *("now", "utcnow", "today", "getenv", "input", "print", "uuid1", "uuid4"),
}


def test_core_is_pure() -> None:
    """The core imports nothing with a loop, a socket, a clock, chance or the environment, and opens no file."""
    wrong: list[str] = []
    for name in (name for name in SOURCES if name.startswith("_core/")):
        outside = (one for one in imports_of(TREES[name]) if file_of(one.module) is None)
        wrong += [f"{name}:{one.line} imports {one.module}" for one in outside if one.module.split(".")[0] not in PURE]
        for node in ast.walk(TREES[name]):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in IMPURE_CALLS:
                    wrong.append(f"{name}:{node.lineno} calls {called}")
    assert wrong == []


# -- one library in as few files as possible -------------------------------------------------------------------------

CLI: Final = {name for name in SOURCES if name.startswith("cli/")}
LIBRARIES: Final[Mapping[str, set[str]]] = {
    "aiohttp": {
        "cli/doctor/raw_exchange.py",
        "_http/connection_errors.py",
        "_http/pool.py",
        "_http/session.py",
        "_http/transport.py",
        "simulator/http/server.py",
        "testing/recorder.py",
    },
    "attrs": set(SOURCES),
    "cattrs": {"_core/json/lossless.py", "_structured/parsing.py"},
    "click": CLI,
    "distributed": {"scale/dask.py"},
    "fsspec": {"scale/object_store.py"},
    "genai_prices": {"prices.py"},
    "hdrh": {"cli/bench/histogram.py"},
    "jinja2": {"batch/report/rendering.py"},
    "jsonschema": {"cli/answer_schema.py"},
    "markupsafe": {"batch/report/rendering.py"},
    "opentelemetry": {"otel/_observer.py"},
    "orjson": {"_core/json/jsontext.py", "simulator/http/encoding.py"},
    "platformdirs": {"cli/chat/kept.py"},
    "pyarrow": {
        "_map/table_rows.py",
        "batch/input/parquet.py",
        "batch/results/kept_answers.py",
        "batch/results/parquet_tables.py",
        "scale/parquet_pieces.py",
    },
    "pydantic": {"_structured/own_schema.py"},
    "pytest": {"pytest_plugin.py"},
    "redis": {"_limits/store_valkey.py"},
    "rich": {"_map/progress_bar.py", "cli/display/live.py", "cli/display/markdown.py"},
    "tenacity": {"_retry/retries.py"},
    "vl_convert": {"batch/report/svg.py"},
    "yarl": {"cli/doctor/raw_exchange.py", "_http/settings.py", "_http/transport.py", "testing/recorder.py"},
}


def test_libraries_stay_where_they_are() -> None:
    """Each third-party library is imported by the files named here and no others."""
    wrong = []
    for name, tree in TREES.items():
        for one in imports_of(tree):
            library = one.module.partition(".")[0]
            if library in sys.stdlib_module_names or library == "anyfast_async":
                continue
            if name not in LIBRARIES.get(library, ()) and not one.typing_only:
                wrong.append(f"{name}:{one.line} imports {one.module}")
    assert wrong == []


def test_server_and_client_of_aiohttp_are_apart() -> None:
    """The transport knows nothing of aiohttp's server, and the simulator nothing of its client."""
    names = {name: set(re.findall(r"aiohttp\.(\w+)", SOURCES[name].read_text(encoding="utf-8"))) for name in SOURCES}
    assert "web" not in names["_http/transport.py"] | names["_http/pool.py"] | names["_http/session.py"]
    assert not {"ClientSession", "ClientTimeout", "TCPConnector"} & names["simulator/http/server.py"]


# -- files and names -------------------------------------------------------------------------------------------------

LONGEST: Final = 400
LONGER: Final = {
    "_map/map_run.py": (431, "one map: its workers, its source, its results"),
    "errors.py": (410, "the exceptions, one class after another"),
    "_call/call.py": (490, "one logical call: its attempts, who ends it, its ledger"),
    "_journal/journal.py": (415, "one journal: opened, written, mended"),
    "client.py": (585, "the verbs of a client with their signatures and their documentation"),
    "openai/_resources.py": (470, "the vendor SDK's resources with their signatures"),
    "simulator/quirks/quirk_forms.py": (460, "a catalogue, one small function per quirk"),
}
"""Files that are too long: their ceiling, and why. It only ever shrinks."""
SLACK: Final = 60


def test_files_are_short() -> None:
    """A file has 400 lines at most. The exceptions stay below their ceilings, which follow them down."""
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in SOURCES.items()}
    too_long = [f"{name}: {n} lines" for name, n in lengths.items() if n > LONGER.get(name, (LONGEST, ""))[0]]
    assert too_long == [], "it has two jobs"
    stale = [n for n, (most, _) in LONGER.items() if lengths.get(n, 0) <= max(LONGEST, most - SLACK)]
    assert stale == [], "lower or remove their entries in LONGER"


def test_no_names_that_say_nothing() -> None:
    """No module or class is called utils, helper, manager, factory or registry."""
    empty = re.compile(r"(?i)(^|_)(utils?|helpers?|managers?|common|misc)$|(Manager|Factory|Registry|Helper|Util)s?$")
    modules = [name for name in SOURCES if empty.search(Path(name).stem)]
    theirs = {"AsyncChatCompletionStreamManager"}  # the vendor SDK's name, which programs import
    classes = [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and empty.search(node.name) and node.name not in theirs
    ]
    assert modules + classes == []


def test_no_class_name_twice() -> None:
    """No two classes have one name, but for those of the vendor SDK's shape, which has its own."""
    homes: dict[str, list[str]] = {}
    for name, tree in TREES.items():
        for node in ast.walk(tree) if not name.startswith("openai/") else ():
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name.lstrip("_"), []).append(f"{name}:{node.lineno}")
    assert {} == {name: files for name, files in homes.items() if len(files) > 1}


def test_every_file_is_drawn() -> None:
    """The page about the design names every file, in the line of its folder."""
    page = (ROOT / "docs" / "explanation" / "design.md").read_text(encoding="utf-8")
    drawn = {
        room: set(re.findall(r"`(\w+)`", files))
        for room, files in re.findall(r"^\| `([\w/]+/|anyfast_async)` \|[^|]*\|([^|]*)\|$", page, flags=re.MULTILINE)
    }
    rooms: dict[str, set[str]] = {}
    for name in SOURCES:
        folder, _, file = name.rpartition("/")
        if file != "__init__.py":
            rooms.setdefault(f"{folder}/" if folder else "anyfast_async", set()).add(file.removesuffix(".py"))
    assert drawn == rooms


# -- every file has its test file ------------------------------------------------------------------------------------

TESTED_THROUGH: Final[Mapping[str, str]] = {
    "scale/parquet_pieces.py": "scale/test_split.py",
    "scale/object_store.py": "scale/test_stored_shard.py",
    "scale/one_shard.py": "scale/test_shard.py",
    "scale/parquet_parts.py": "scale/test_shard.py",
    "scale/exchange.py": "scale/test_stored_shard.py",
    "scale/merge.py": "scale/test_sharded.py",
    "scale/settings.py": "scale/test_shard.py",
    "scale/control.py": "scale/test_shard.py",
    "scale/shard_result.py": "scale/test_shard.py",
    "scale/plan.py": "scale/test_sharded.py",  # which makes one and begins it
    "scale/sharded_run.py": "scale/test_sharded.py",
    "_http/request_headers.py": "http/test_request_body.py",
    "_size_limits.py": "http/test_exchange.py",
    "_core/stream/completeness.py": "core/test_answer.py",
    "_values/spreadsheet_cells.py": "values/test_text.py",
    "_core/errors/advice.py": "core/errors/test_exceptions.py",
    "_core/limits/refusal.py": "core/limits/test_throttle.py",
    "_core/retry/retry_budget.py": "core/retry/test_backoff.py",
    "_http/tls.py": "http/test_pool.py",
    "cli/advice.py": "cli/test_exit_codes.py",
    # what doctor finds is tested from the bytes of answers to the names of findings
    "cli/doctor/answer_checks.py": "cli/doctor/test_diagnosis.py",
    "cli/doctor/answer_texts.py": "cli/doctor/test_diagnosis.py",
    "cli/doctor/connection_texts.py": "cli/doctor/test_diagnosis.py",
    "cli/doctor/error_shapes.py": "cli/doctor/test_diagnosis.py",
    "cli/doctor/probes.py": "cli/doctor/test_command.py",
    "cli/doctor/table.py": "cli/doctor/test_command.py",
    "cli/default_model.py": "cli/test_models.py",
    "_clocks/machine_sleep.py": "client/test_in_flight.py",
    "__main__.py": "test_exports.py",  # one line, which a process runs
    "_version.py": "test_exports.py",  # one constant
    "_client/calls.py": "test_client.py",  # how its verbs are done
    "_http/early_answer.py": "http/test_transport.py",  # what comes before a request was sent
    "_call/endpoint.py": "test_client.py",  # how an answer is read, by what was asked
    "_call/spec.py": "call/test_call.py",  # what a call is made of
    "_limits/followed.py": "limits/test_lanes.py",  # what a lane learns of a call
    "_limits/shared_limits.py": "limits/test_shared_asking.py",  # several gates on one store
    "_limits/shared_scope.py": "limits/test_shared_asking.py",
    "_limits/shared_gate.py": "limits/test_shared_asking.py",
    "_core/limits/shared_permit.py": "limits/test_shared_asking.py",
    "_core/limits/shared_script.py": "limits/test_store_valkey.py",  # what a server runs
    "_core/limits/budget_script.py": "limits/test_store_valkey.py",
    "_core/limits/budget_amounts.py": "core/limits/test_shared_budget.py",
    "_values/store_url.py": "test_policies.py",
    "stores.py": "limits/test_shared_asking.py",
    "_limits/spent.py": "test_prices.py",  # what is priced
    "_map/twins.py": "map/test_deduplicated.py",  # what equal requests have in common
    "_retry/recovery.py": "call/test_call.py",  # what a call meets
    "_call/unary.py": "test_client.py",  # an attempt that is answered in one piece
    "_client/shared.py": "test_client.py",  # what the client binds to a loop
    "_core/errors/request_id.py": "core/errors/test_exceptions.py",  # the id that an error is reported with
    "_core/usual_answer.py": "core/test_answer.py",  # the answers that need no closer look
    "_values/json_reading.py": "core/json/test_jsontext.py",  # JSON that orjson refuses
    "_structured/type_hints.py": "structured/test_json_schema.py",  # the reading of classes, which the schema shows
    "_structured/own_schema.py": "structured/test_classes.py",  # what such classes are asked, beside the others
    "_tools/docstring.py": "test_tools.py",  # what a tool says of itself
    "_tools/signature.py": "test_tools.py",
    "_values/tool_run.py": "tools/test_rounds.py",
    "_tools/content.py": "tools/test_rounds.py",  # what the model is told
    "cli/report/writing.py": "cli/report/test_command.py",  # what it writes
    "batch/results/row.py": "batch/results/test_result_lines.py",  # what lines say
    "cli/bench/knee.py": "cli/bench/test_measurement.py",
    "cli/bench/validity.py": "cli/bench/test_measurement.py",
    "cli/bench/options.py": "cli/bench/test_command.py",
    "cli/bench/page.py": "cli/bench/test_command.py",
    "cli/bench/report_file.py": "cli/bench/test_command.py",
    "cli/bench/summary.py": "cli/bench/test_command.py",
    "cli/bench/target.py": "cli/bench/test_command.py",
    "cli/results/went_wrong.py": "cli/results/test_command.py",
    "cli/signals.py": "cli/test_simulate.py",  # needs a process that gets signals
    # the door is tested as programs see it
    "openai/_answers.py": "test_openai.py",
    "openai/_base.py": "test_openai.py",
    "openai/_caller.py": "test_openai.py",
    "openai/_client.py": "test_openai.py",
    "openai/_errors.py": "test_openai.py",
    "openai/_events.py": "test_openai.py",
    "openai/_http.py": "test_openai.py",
    "openai/_line.py": "test_openai.py",
    "openai/_options.py": "test_openai.py",
    "openai/_parsing.py": "test_openai.py",
    "openai/_resources.py": "test_openai.py",
    "openai/_streaming.py": "test_openai.py",
    # the catalogue of quirks is one thing in several files
    "simulator/quirks/quirk_calls.py": "simulator/quirks/test_catalogue.py",
    "simulator/quirks/quirk_errors.py": "simulator/quirks/test_catalogue.py",
    "simulator/quirks/quirk_forms.py": "simulator/quirks/test_catalogue.py",
    "simulator/quirks/quirk_framing.py": "simulator/quirks/test_catalogue.py",
    "simulator/quirks/quirk_peers.py": "simulator/quirks/test_catalogue.py",
    "simulator/quirks/draft.py": "simulator/quirks/test_catalogue.py",
    # what an answer is made of
    "simulator/http/request_ids.py": "simulator/http/test_gateway.py",
    "simulator/script/exchange.py": "simulator/script/test_tape.py",  # what is on a tape
    "simulator/model/picture.py": "simulator/model/test_replies.py",
    "simulator/model/prompt.py": "simulator/model/test_replies.py",
    "simulator/model/prose.py": "simulator/model/test_replies.py",
}
"""Source files that deliberately have no test file of their own, and the one that tests them."""
OWED: Final = {
    "simulator/http/encoding.py",
}
"""Source files that still lack their test file. It only ever shrinks."""
ACROSS: Final = {
    "test_architecture.py": "the house rules",
    "test_benchmarks.py": "the programs in benchmarks/",
    "test_mutants.py": "changes of the source that no test need notice",
    "test_answers_untouched.py": "keys that are words: what the model says, and what a refusal says",
    "test_boundaries.py": "what a gateway may do to a client",
    "test_cancellation.py": "cancelling anything anywhere",
    "test_error_shapes.py": "tables of errors through every entrance",
    "test_entrances.py": "the same bytes through every entrance",
    "cli/test_options_page.py": "the page of options, which is made from the commands",
    "fuzz/test_targets.py": "readers under bytes that a program thought of",
    "chaos/test_chaos.py": "many calls at once, and everything goes wrong",
    "chaos/test_soak.py": "many calls for long, and nothing grows",
    "test_supply_chain.py": "what is locked, and what the wheel is made of",
    "test_promises.py": "what is promised, and where it is held",
    "test_examples.py": "the programs in examples/",
    "test_fork.py": "a client on both sides of a fork",
    "test_garbage.py": "what calls leave behind",
    "test_guards.py": "what tests may not do",
    "test_exports.py": "the public names",
    "test_limits.py": "limits as the server sees them",
    "test_load.py": "many calls at once",
    "test_openai.py": "the folder openai/ as programs see it",
    "test_proxy.py": "the client behind a proxy",
    "test_public_api.py": "the public names, one line each",
    "test_quirks.py": "the simulator's quirks through the client",
    "test_readme.py": "the blocks of README.md",
    "test_realservers.py": "recorded answers through the client",
    "test_secrets.py": "the key and the prompt, which show nowhere",
    "test_sleep.py": "a machine that sleeps",
    "test_steps.py": "what a call may take",
    "test_tls.py": "certificates",
    "interop/test_doctor.py": "doctor, through proxies that others wrote",
    "interop/test_cassettes.py": "cassettes of other servers",
    "interop/test_aimock.py": "the client against another server",
    "interop/test_litellm.py": "the client against another server",
    "interop/test_peers.py": "proxies, servers and gateways that others wrote",
    "structured/test_classes.py": "forty classes, from the schema to a repaired answer",
    "simulator/test_openai_sdk.py": "the vendor SDK against the simulator",
}
"""Test files that belong to no single source file, and what they are about. A file ``test_x_aspect.py`` belongs to
``x.py`` if there is a ``test_x.py`` too."""


def test_file_of(name: str) -> str:
    """Where the test of a source file is: same folder, no underscores in front."""
    *folders, file = name.split("/")
    return "/".join([*(folder.lstrip("_") for folder in folders), f"test_{file.lstrip('_')}"])


test_file_of.__test__ = False  # type: ignore[attr-defined]


def test_sources_and_tests_are_pairs() -> None:
    """Every source file has its test file and the reverse; every exception is listed, and is one."""
    wanted = {test_file_of(name): name for name in SOURCES if not name.endswith("__init__.py")}
    present = {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    missing = {name for file, name in wanted.items() if file not in present}
    excused = OWED | set(TESTED_THROUGH)
    assert sorted(missing - excused) == [], "have no test file"
    assert sorted(excused - missing) == [], "are excused, but have a test file or are gone"
    assert sorted(set(TESTED_THROUGH.values()) - present) == [], "are said to test a source file, and are not there"
    whole = {file.removesuffix(".py") for file in present & set(wanted)}
    alone = {file for file in present - set(wanted) if not any(file.startswith(f"{one}_") for one in whole)}
    assert sorted(alone - set(ACROSS)) == [], "belong to no source file"
    assert sorted(set(ACROSS) - alone) == [], "are in ACROSS, but belong to a source file or are gone"


def test_tests_say_what_they_prove() -> None:
    """Every test function has a docstring."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sorted(TESTS.rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


# -- things that are not done ----------------------------------------------------------------------------------------


def _is_broad(handler: ast.ExceptHandler) -> bool:
    return handler.type is not None and ast.unparse(handler.type) in ("Exception", "BaseException")


def test_no_error_is_swallowed() -> None:
    """There is no bare except, and none of everything that passes over it in silence."""
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (_is_broad(node) and all(isinstance(one, ast.Pass) for one in node.body)))
    ]
    assert wrong == []


def test_nothing_is_left_for_later() -> None:
    """No file says that something is still to be done."""
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    wrong = [
        f"{name}:{number}"
        for name, path in SOURCES.items()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if marks.search(line)
    ]
    assert wrong == []


def test_no_wait_for() -> None:
    """``asyncio.wait_for`` is not used: before Python 3.12 it can lose a result or a cancellation."""
    users = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name)
        and "wait_for" == (node.attr if isinstance(node, ast.Attribute) else node.id)
    }
    assert users == set()


# -- importing it ----------------------------------------------------------------------------------------------------

WATCHED: Final = """
import aiohttp, attrs, cattrs, cattrs.preconf.json, orjson, tenacity, yarl  # what they do is their business
import sys, threading

seen = []

def watch(event, arguments):
    if event == "open":
        path = str(arguments[0])
        if not path.endswith((".py", ".pyc", ".so", ".pyd", ".dylib")):
            seen.append(f"open {path}")
    elif event.startswith(("socket.", "subprocess.", "os.system", "os.fork", "os.putenv")):
        seen.append(event)

threading.Thread.start = lambda thread: seen.append(f"thread {thread.name}")
sys.addaudithook(watch)
from anyfast_async import AnyFast
print(*seen, sep="\\n")
"""


def _python(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-P", *arguments], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout


def test_importing_does_nothing() -> None:
    """Importing the package opens no file and no socket, starts no thread and no process."""
    assert _python("-B", "-c", WATCHED).strip() == ""


LOADED: Final = "from anyfast_async import AnyFast; import sys; print(*sys.modules, sep='\\n')"


def test_importing_brings_in_no_edge() -> None:
    """Importing the package imports neither the command line's libraries nor a server, a simulator or pytest."""
    loaded = set(_python("-c", LOADED).split())
    unwanted = {"click", "rich", "aiohttp.web", "pytest", "openai", "anyfast_async.cli", "anyfast_async.simulator"}
    assert loaded & unwanted == set()


def test_importing_brings_in_what_a_usual_call_needs() -> None:
    """What is about failures, streams, maps, classes of answers or files of prices is loaded with the first of each."""
    loaded = set(_python("-c", LOADED).split())
    unwanted = {
        *(
            "_http.connection_errors",
            "_retry.recovery",
            "_retry.retries",
            "_retry.outage_wait",
            "_retry.refused_row",
            "_retry.waits",
            "_core.errors.exceptions",
            "_core.errors.failures",
            "_core.retry.retry_after",
        ),
        *(
            "_call.streamed",
            "_stream.chat_stream",
            "_stream.receiver",
            "_core.stream.fold",
            "_core.stream.reader",
            "_core.sse",
            "_core.stream.chunk_template",
        ),
        *(
            "_map.map_run",
            "_client.map_arguments",
            "_map.items",
            "_map.early_end",
            "_map.result",
            "_map.recorded_items",
            "_journal.journal",
            "_journal.disk",
            "_map.progress_bar",
        ),
        *(
            "_structured.parsing",
            "_structured.json_schema",
            "_structured.type_hints",
            "_structured.constraints",
            "_client.stats",
            "prices",
        ),
    }
    assert {name for name in unwanted if f"anyfast_async.{name}" in loaded} == set()
    assert loaded & {"tenacity", "tomllib", "html"} == set()


CEILING: Final = 1.4
"""Calls of functions that importing the package makes at most, for one that importing aiohttp makes."""


@pytest.mark.slow
def test_import_calls() -> None:
    """Importing the package calls at most 1.4 times as many functions as importing aiohttp does."""
    counting = """
import itertools, sys
calls = itertools.count()
sys.setprofile(lambda *_: next(calls))
{}
sys.setprofile(None)
print(next(calls))
"""
    ours, aiohttp = (
        int(_python("-c", counting.format(statement)))
        for statement in ("from anyfast_async import AnyFast", "import aiohttp")
    )
    assert ours <= CEILING * aiohttp

"""Script files: TOML to calls of the scripting methods, and messages that tell what is wrong."""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async.simulator import Latency, Simulator
from anyfast_async.simulator.script import script_file as module
from anyfast_async.simulator.script.script_file import ScriptError, load_script, parse_script

if TYPE_CHECKING:
    from ..raw_client import Http


class Spy:
    """Has the scripting methods, and writes down how they are called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, method: str) -> Any:
        return lambda **arguments: self.calls.append((method, arguments))


def calls_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    spy = Spy()
    parse_script(text).apply(spy)  # type: ignore[arg-type]  # the methods are all that matters
    return spy.calls


def problem_of(text: str) -> str:
    with pytest.raises(ScriptError) as caught:
        parse_script(text, "s.toml")
    return str(caught.value)


def example() -> str:
    documented = inspect.getdoc(module)
    assert documented is not None
    block = documented.split("::\n\n", 1)[1].split("\n\nFaults apply", 1)[0]
    return textwrap.dedent(block)


# -- what a script says ----------------------------------------------------------------------------------------------


def test_documented_example() -> None:
    """The example in the documentation is a script, and has every kind of table."""
    script = parse_script(example())
    assert script.options == {"strict": True, "latency": Latency(ttft=0.3, per_token=0.02)}
    methods = [method for method, _ in calls_of(example())]
    assert methods == ["limit", "reply", "reply", "reply", "fail", "cut", "stall", "quirk", "drop"]


async def test_documented_example_served(http: Http, sim: Simulator) -> None:
    """Served, the example does what its comments say: 429 twice with a Retry-After, then replies by text or pattern."""
    without_faults = example().split("[[cut]]")[0]
    parse_script(without_faults).apply(sim)
    refused = [await http.chat("x") for _ in range(2)]
    assert [(429, "1"), (429, "1")] == [(one.status, one.headers["Retry-After"]) for one in refused]
    assert (await http.chat("x")).text == "I do not know."
    assert (await http.chat("the capital?")).text == '{"city": "Paris", "population": 2100000}'
    called = (await http.chat("Is the WEATHER good?")).json["choices"][0]["message"]["tool_calls"]
    assert [("forecast", '{"city": "Paris"}')] == [(c["function"]["name"], c["function"]["arguments"]) for c in called]


def test_faults_keep_their_order() -> None:
    """Tables of different names are applied in the order of the file, not gathered by name."""
    script = "[[fail]]\nstatus=429\n[[cut]]\n[[fail]]\nstatus=503\n[[reply]]\n[[stall]]\n[[cut]]\nafter=2\n"
    wanted = [
        ("fail", {"status": 429}),
        ("cut", {}),
        ("fail", {"status": 503}),
        ("reply", {}),
        ("stall", {}),
        ("cut", {"after": 2}),
    ]
    assert calls_of(script) == wanted


@given(st.lists(st.sampled_from(["fail", "cut", "drop", "stall", "reply"]), max_size=8), st.data())
def test_order_whatever_the_texts_say(kinds: list[str], data: st.DataObject) -> None:
    """What looks like a table's header inside of a long string is text, and changes neither order nor content."""
    texts = st.text("[]\n ='\u00e9#x", max_size=12) | st.sampled_from(
        ["\n[[fail]]\nstatus = 1\n", "[[reply]]", "\n[cut]\n"]
    )
    drawn = [data.draw(texts) for _ in kinds]
    key = {"fail": "message", "reply": "text"}
    lines, wanted = [], []
    for kind, text in zip(kinds, drawn, strict=True):
        name = key.get(kind, "when")
        long = text.replace("\\", "\\\\").replace('"""', "")
        lines.append(f'[[{kind}]]\n{"status = 500" if kind == "fail" else ""}\n{name} = """\n{long}"""\n')
        wanted.append((kind, {**({"status": 500} if kind == "fail" else {}), name: long}))
    assert calls_of("".join(lines)) == wanted


def test_sub_tables_belong_to_their_table() -> None:
    """``[reply.usage]`` and ``[[reply.tool_calls]]`` are parts of the reply above them."""
    script = """
        [[reply]]
        [reply.usage]
        prompt_tokens = 3
        [[reply.tool_calls]]
        name = "f"
        [reply.tool_calls.arguments]
        x = 1
        [[reply]]
        text = "second"
    """
    first = {"usage": {"prompt_tokens": 3}, "tool_calls": [{"name": "f", "arguments": {"x": 1}}]}
    assert calls_of(textwrap.dedent(script)) == [("reply", first), ("reply", {"text": "second"})]


def test_words_for_none() -> None:
    """``times = "always"`` and ``models = "any"`` are None, which TOML cannot say."""
    assert calls_of('[[drop]]\ntimes = "always"') == [("drop", {"times": None})]
    assert parse_script('[simulator]\nmodels = "any"').options == {"models": None}


def test_options_make_a_simulator() -> None:
    """The options are arguments of Simulator."""
    script = parse_script('[simulator]\nseed = 3\napi_keys = ["k"]\nanswer_tokens = 4\n[latency]\njitter = 0.5')
    assert script.options == {"seed": 3, "api_keys": ["k"], "answer_tokens": 4, "latency": Latency(jitter=0.5)}
    assert repr(Simulator(**script.options)) == "<Simulator not started>"


def test_empty() -> None:
    """A file of comments changes nothing."""
    assert (parse_script("# nothing\n").options, calls_of("")) == ({}, [])


# -- what is wrong with it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("\n[[fial]]\n", "s.toml:2: fial: no table of a script (did you mean fail?); allowed: [[reply]], [[fail]], "),
        (
            "[[fail]]\nstatsu = 500",
            "s.toml:1: [[fail]] 1 statsu: no such key (did you mean status?); allowed: status, ",
        ),
        ("[[fail]]\nstatus = '500'", "[[fail]] 1 status = '500'; allowed: 400 to 599, or from 200 with body"),
        ("[[fail]]", "[[fail]] 1 has no status; allowed: 400 to 599"),
        ("[[fail]]\nstatus = 200", "s.toml:1: [[fail]] 1: status 200: from 400 to 599"),
        ("[[cut]]\n[[cut]]\nafter = -1", "s.toml:2: [[cut]] 2 after = -1; allowed: a whole number from 0 up"),
        ("[[cut]]\nafter = true", "after = true; allowed: a whole number"),
        ("[[cut]]\nrst = 1", "rst = 1; allowed: true or false"),
        ("[[drop]]\ntimes = 0", 'times = 0; allowed: a whole number from 1 up, or "always"'),
        ("[[drop]]\ntimes = 'often'", "times = 'often'; allowed"),
        ("[[stall]]\nseconds = nan", "seconds = nan; allowed: a number from 0 up"),
        ("[[stall]]\nseconds = inf", "seconds = inf; allowed: a number from 0 up"),
        ("[latency]\njitter = 2", "[latency] jitter = 2; allowed: a number from 0 to 1"),
        ("[[reply]]\npattern = '('", "pattern = '('; allowed: a regular expression of Python"),
        ("[[reply]]\npattern = 3", "pattern = 3; allowed: a regular expression"),
        ("[[reply]]\nwhen = 'a'\npattern = 'a'", "[[reply]] 1 has both when and pattern; allowed: one of them"),
        ("[[reply]]\ntext = 'a'\njson = 1", "s.toml:1: [[reply]] 1: reply() takes one of text, json= and chunks="),
        ("[[reply]]\nchunks = ['a', 1]", "chunks = ['a', 1]; allowed: an array of strings"),
        ("[[reply]]\ntool_calls = [{ x = 1 }]", "allowed: an array of tables with name (a string), arguments"),
        ("[[reply]]\ntool_calls = [{ name = 'f', arguments = 1 }]", "allowed: an array of tables with name"),
        ("[[fail]]\nstatus = 500\nheaders = { a = 1 }", "headers = {'a': 1}; allowed: a table of strings"),
        ("reply = 'x'", "s.toml:1: [[reply]] 1 = 'x'; allowed: a table"),
        ("[[limit]]\n[[limit]]", "s.toml:2: [limit]; allowed: one such table"),
        ("[simulator]\nport = 1", "[simulator] port: no such key; allowed: seed, strict"),
        ("[simulator]\nmodels = 'some'", "models = 'some'; allowed: an array of strings, or \"any\""),
        ("[[quirk]]\nname = 'no-uasge'", "s.toml:1: [[quirk]] 1: unknown quirk 'no-uasge': did you mean 'no-usage'?"),
        ("[[quirk]]", "[[quirk]] 1 has no name; allowed: a string"),
        (
            "[simulator]\nquirks = ['x']",
            "quirks = ['x']; allowed: an array of names from anyfast_async.simulator.QUIRKS",
        ),
        ("[[reply]", "s.toml: no valid TOML: "),
    ],
)
def test_problem(script: str, wanted: str) -> None:
    """A problem is told with file, line, table, key, value and what is allowed."""
    assert wanted in problem_of(script)


def test_all_problems_at_once() -> None:
    """Every problem has a line of its own."""
    told = problem_of("[[cut]]\nafter = -1\nrst = 1\n\n[[fail]]\n\n[other]\n").split("\n")
    assert [line.split(": ")[0] for line in told] == ["s.toml:1", "s.toml:1", "s.toml:5", "s.toml:7"]


def test_long_values_are_shortened() -> None:
    """A message shows the beginning of a long value."""
    assert f"after = '{'x' * 59}...; allowed" in problem_of(f"[[cut]]\nafter = '{'x' * 500}'")


# -- files -----------------------------------------------------------------------------------------------------------


async def test_load(tmp_path: Path) -> None:
    """A file is read and applied to a simulator made with its options."""
    path = tmp_path / "s.toml"
    path.write_text('[simulator]\nseed = 9\n[[reply]]\ntext = "caf\u00e9"\n', encoding="utf-8")
    script = load_script(path)
    async with Simulator(**script.options) as simulator:
        script.apply(simulator)
        reply = simulator._script.next_reply({"messages": []})
    assert reply is not None
    assert reply.text == "caf\u00e9"


def test_load_failures(tmp_path: Path) -> None:
    """A missing file is an OSError; bytes that are no text are a ScriptError that names the file."""
    with pytest.raises(FileNotFoundError):
        load_script(tmp_path / "none.toml")
    path = tmp_path / "s.toml"
    path.write_bytes(b"[[reply]]\ntext = '\xff'")
    with pytest.raises(ScriptError, match=r"s\.toml: not UTF-8 \(byte 18\)"):
        load_script(path)

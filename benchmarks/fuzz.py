"""Thinks of bytes for what reads bytes, guided by which code they reach: ``python benchmarks/fuzz.py``.

Each reader of ``tests/fuzz/targets.py`` runs in a process of its own under Atheris, which is libFuzzer for Python. It
begins with the seeds in ``tests/data/fuzz``. What breaks a promise is printed as a line to be added to those seeds.

    python benchmarks/fuzz.py --seconds 600 --targets event_stream http_answer
    python benchmarks/fuzz.py --plant            # whether it finds faults that are put in
    python benchmarks/fuzz.py --keep             # add what reaches new code to the seeds

Needs Linux or macOS, and a Python for which Atheris has a wheel.
"""

# ruff: noqa: PLC0415 - what is fuzzed is imported once Atheris can follow it
# ruff: noqa: SLF001 - faults are put where users do not reach
from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
SEEDS = ROOT / "tests" / "data" / "fuzz"
LONGEST = 1500
"""Bytes of what it thinks of."""
KEPT = 25
"""Seeds of a reader that are kept at a time."""


def seeds(name: str) -> list[bytes]:
    """Return the seeds of a reader: a literal a line."""
    path = SEEDS / f"{name}.txt"
    return [ast.literal_eval(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


# -- faults that are put in, to see that they are found ----------------------------------------------------------------


def _loses_a_byte() -> None:
    """An event whose CR and LF come in two pieces has one line end too many."""
    from anyfast_async._core.sse import Decoder

    feed = Decoder.feed

    def faulty(self: Decoder, data: bytes) -> list[bytes]:
        if bytes(data[:1]) == b"\n" and self._skip_lf:
            self._skip_lf = False
        return feed(self, data)

    Decoder.feed = faulty  # type: ignore[method-assign]


def _reads_a_digit() -> None:
    """Of a chunk's size only the first digit counts where the reader sees the chunk whole."""
    from anyfast_async._core.http import body_end

    usual = body_end._usual_size
    body_end._usual_size = lambda line: usual(line[:1])  # type: ignore[assignment]


def _loses_a_space() -> None:
    """The quick way loses two spaces at the end of a text, where Markdown breaks its lines."""
    from anyfast_async._core.stream import chunk_template

    usual = chunk_template._strings

    def faulty(pieces: list[bytes]) -> list[str] | None:
        found = usual(pieces)
        return None if found is None else [one.removesuffix("  ") for one in found]

    chunk_template._strings = faulty  # type: ignore[assignment]


def _overflows() -> None:
    """A delay in milliseconds is not held against what is finite."""
    from anyfast_async._core.retry import retry_after

    retry_after._number = float  # type: ignore[assignment]


FAULTS: Mapping[str, tuple[str, Callable[[], None]]] = {
    "loses a byte": ("event_stream", _loses_a_byte),
    "reads a digit": ("chunked_body", _reads_a_digit),
    "loses a space": ("streamed_texts", _loses_a_space),
    "overflows": ("delay", _overflows),
}


# -- one reader in a process of its own --------------------------------------------------------------------------------


def run(name: str, fault: str, arguments: list[str]) -> None:
    """Think of bytes for one reader until something breaks or the time is over."""
    import atheris

    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fuzz")]
    with atheris.instrument_imports(include=["anyfast_async", "csv", "json", "email"]):
        from targets import TARGETS
    if fault:
        FAULTS[fault][1]()
    target = TARGETS[name]
    atheris.Setup([sys.argv[0], *arguments], target)
    atheris.Fuzz()


def fuzz(name: str, seconds: float, *, fault: str = "", keep: bool = False) -> bool:
    """Think of bytes for a reader in another process; return whether something broke."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "corpus")
        folder.mkdir()
        for number, seed in enumerate(seeds(name)):
            (folder / f"seed-{number}").write_bytes(seed)
        options = [f"-max_total_time={seconds:.0f}", f"-max_len={LONGEST}", "-timeout=20", "-rss_limit_mb=1500"]
        options += [f"-artifact_prefix={place}/", "-print_final_stats=1", "-verbosity=1"]
        command = [sys.executable, __file__, "--run", name, "--fault", fault, "--", *options, str(folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")  # noqa: S603 - ours
        broken = [*Path(place).glob("crash-*"), *Path(place).glob("timeout-*"), *Path(place).glob("oom-*")]
        numbers = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        print(f"{name}: {numbers[0] if numbers else '?'} runs in {time.monotonic() - began:.0f} s", end="; ")
        print("broken" if broken else "nothing broke" if done.returncode == 0 else f"ended with {done.returncode}")
        for path in broken:
            error = [line for line in done.stderr.splitlines() if "Error" in line or "Exception" in line]
            print(f"  {path.read_bytes()!r}", *error[:3], sep="\n    ", flush=True)
        if done.returncode and not broken:
            print(done.stderr[-3000:])
        if keep:
            kept(name, folder)
    return bool(broken)


def kept(name: str, folder: Path) -> None:
    """Keep some of what reached new code, from the shortest to the longest."""
    found = sorted({path.read_bytes() for path in folder.iterdir()}, key=lambda one: (len(one), one))
    lines = dict.fromkeys([*seeds(name), *found[:: max(1, len(found) // KEPT)]])
    SEEDS.mkdir(exist_ok=True)
    SEEDS.joinpath(f"{name}.txt").write_text("".join(f"{one!r}\n" for one in lines), encoding="utf-8")


def main() -> None:
    """Fuzz all readers, or some."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600, help="for each reader")
    parser.add_argument("--targets", nargs="*", default=[])
    parser.add_argument("--plant", action="store_true", help="put faults in, one at a time: each has to be found")
    parser.add_argument("--keep", action="store_true", help="add what reaches new code to the seeds")
    parser.add_argument("--run", default="", help=argparse.SUPPRESS)
    parser.add_argument("--fault", default="", help=argparse.SUPPRESS)
    parser.add_argument("options", nargs="*", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        run(asked.run, asked.fault, asked.options)
        return
    os.environ["PYTHONHASHSEED"] = "0"
    if asked.plant:
        missed = [fault for fault, (name, _) in FAULTS.items() if not fuzz(name, asked.seconds, fault=fault)]
        if missed:
            message = f"not found: {', '.join(missed)}"
            raise SystemExit(message)
        print("all were found")
        return
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fuzz")]
    from targets import TARGETS

    broken = [name for name in asked.targets or TARGETS if fuzz(name, asked.seconds, keep=asked.keep)]
    if broken:
        message = f"broken: {', '.join(broken)}"
        raise SystemExit(message)


if __name__ == "__main__":
    main()

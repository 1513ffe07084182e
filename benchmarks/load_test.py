"""``anyfast bench`` against a gateway whose times are known, and made slow on purpose; beside it GuideLLM, if there.

The simulator runs in a process of its own and writes down what it drew for each request. Usage::

    python benchmarks/load_test.py [--rate 15] [--seconds 40] [--guidellm PATH/bin/guidellm]

Nothing here needs a tokenizer or a GPU: GuideLLM takes prompts from a file, and tokens from the gateway's usage.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from anyfast_async.cli.bench.target import made_up
from anyfast_async.simulator import Latency, Simulator

MODEL = "gemini-2.5-pro"
LATENCY = {"ttft": 0.3, "per_token": 0.02, "jitter": 0.3, "slow_share": 0.05, "slow": 0.6}
PERCENTILES = (50, 90, 95, 99)
SLOW = """
import sys, time
from anyfast_async.cli import main
from anyfast_async.cli.bench import target
says = target.says
def slow(chunk):
    until = time.perf_counter() + 0.003
    while time.perf_counter() < until:
        pass
    return says(chunk)
target.says = slow
sys.exit(main(sys.argv[1:]))
"""


class Written(Latency):
    """Writes down what it draws."""

    def timing(self, random: Any) -> Any:
        drawn = super().timing(random)
        with Path(os.environ["DRAWN"]).open("a") as file:
            file.write(f"{drawn.ttft} {drawn.per_token}\n")
        return drawn


async def serve() -> None:
    async with Simulator(latency=Written(**LATENCY), max_recorded=1) as sim:
        print(sim.base_url, flush=True)
        await asyncio.Event().wait()


def percentile(values: list[float], percent: float) -> float:
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def compared(name: str, found: dict[str, dict[str, float]], drawn: list[tuple[float, ...]]) -> None:
    """Print percentiles beside those of the model, and how far off they are."""
    for place, metric in enumerate(("first_token", "per_token")):
        cells = []
        for percent in PERCENTILES:
            is_, true = found[metric][f"p{percent}"], percentile([one[place] for one in drawn], percent)
            cells.append(f"p{percent} {is_ * 1000:.1f} ms ({is_ / true - 1:+.1%})")
        print(f"{name:<10} {metric:<12} {', '.join(cells)}")


def ours(arguments: list[str], *, slow: bool = False) -> dict[str, Any]:
    command = [sys.executable, *(["-c", SLOW] if slow else ["-m", "anyfast_async"]), "bench", *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)  # noqa: S603
    one: dict[str, Any] = json.loads(done.stdout)["loads"][0]
    return one


def guidellm(program: str, url: str, rate: float, seconds: float, folder: Path) -> dict[str, dict[str, float]]:
    prompts = folder / "prompts.jsonl"
    prompt = made_up(100, 1)
    prompts.write_text("".join(json.dumps({"prompt": prompt(n)}) + "\n" for n in range(round(rate * seconds * 2))))
    out, target = folder / "guidellm.json", url.removesuffix("/v1")
    backend = f"kind=openai_http,target={target},model={MODEL},api_key=sk-x,request_format=/v1/chat/completions"
    options = {
        "--backend": backend,
        "--profile": f"kind=poisson,rate={rate:g}",
        "--constraint": f"kind=max_duration,seconds={seconds:g}",
        "--data": f"kind=json_file,path={prompts}",
        "--output": f"kind=json,path={out}",
    }
    command = [program, "run", *(word for pair in options.items() for word in pair), "--disable-console-interactive"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    metrics = json.loads(out.read_text())["benchmarks"][0]["metrics"]
    # What it calls ITL is (last - first) / (tokens - 1), our time per token; its TPOT has the first token in it.
    names = {"first_token": "time_to_first_token_ms", "per_token": "inter_token_latency_ms"}
    return {
        name: {key: value / 1000 for key, value in metrics[theirs]["successful"]["percentiles"].items()}
        for name, theirs in names.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=15)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--guidellm", help="the program, in an environment of its own: pip install guidellm")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "drawn.txt"
        environment = os.environ | {"DRAWN": str(log)}
        server = subprocess.Popen(  # noqa: S603
            [sys.executable, __file__, "--serve"], env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            os.environ |= {"ANYFAST_BASE_URL": url, "ANYFAST_API_KEY": "sk-x"}
            report(url, given, folder, log)
        finally:
            server.kill()
            server.wait()


def report(url: str, given: argparse.Namespace, folder: Path, log: Path) -> None:
    def drawn(skip: int, count: int) -> list[tuple[float, ...]]:
        time.sleep(1)
        lines = log.read_text().splitlines()
        log.write_text("")
        return [tuple(map(float, line.split())) for line in lines][skip : skip + count]

    load = ["--rate", f"{given.rate:g}", "--duration", f"{given.seconds:g}", "--warm-up", "4", "-m", MODEL, "--yes"]
    one = ours([*load, "--max-tokens", "4096"])
    compared("ours", one, drawn(one["warm_up"], one["answered"]))
    print(f"{'':<10} valid: {one['valid']} {one['invalid_because']}, self-check {one['self_check']}")
    if given.guidellm is not None:
        found = guidellm(given.guidellm, url, given.rate, given.seconds, folder)
        compared("guidellm", found, drawn(0, sys.maxsize))
    one = ours([*load, "--max-tokens", "4096"], slow=True)
    compared("made slow", one, drawn(one["warm_up"], one["answered"]))
    print(f"{'':<10} valid: {one['valid']} {one['invalid_because']}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        asyncio.run(serve())
    else:
        main()

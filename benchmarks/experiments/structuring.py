"""JSON to frozen classes that lose nothing: what the ways of building them cost, for a completion and for a chunk.

Run ``python benchmarks/experiments/structuring.py``. Every way gets the same JSON in turns, in one process; printed is
the median over the rounds of its time, as a multiple of ``orjson.loads`` of the same JSON in the same round. The
numbers seen, and what was decided, stand in ``README.md`` beside this file.
"""

# ruff: noqa: SLF001 - the ways that lost are called from below
from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import cattrs
import orjson
from cattrs.gen import make_dict_structure_fn

from anyfast_async._core.json import lossless
from anyfast_async._core.stream.chunk_template import ChunkTemplate
from anyfast_async._core.stream.fold import Fold
from anyfast_async.completions import ChatCompletion, ChatCompletionChunk

ROUNDS, TIMES = 41, 300
HEAD = (
    '{"id":"chatcmpl-20260427111505260254000NBdvZFoP","object":"chat.completion","created":1777288505,"model":"gemini"'
)
TEXT = "The sky is blue because air scatters the short waves of sunlight far more than the long ones. " * 2
USAGE = (
    '{"prompt_tokens":12,"completion_tokens":57,"total_tokens":69,"prompt_tokens_details":{"cached_tokens":0,'
    '"text_tokens":12,"audio_tokens":0,"image_tokens":0},"completion_tokens_details":{"text_tokens":57,"audio_tokens":0,'
    '"reasoning_tokens":0}}'
)
COMPLETION = (
    f'{HEAD},"choices":[{{"index":0,"message":{{"role":"assistant","content":"{TEXT}"}},"logprobs":null,'
    f'"finish_reason":"stop"}}],"usage":{USAGE}}}'
).encode()
CHUNK = (
    f'{HEAD},"system_fingerprint":null,"choices":[{{"delta":{{"content":" token"}},"logprobs":null,'
    '"finish_reason":null,"index":0}],"usage":null}'
).encode()


def by_cattrs(kind: type[Any]) -> Callable[[dict[str, Any]], Any]:
    """The hooks that cattrs generates, as fast as it can: fields that no class knows are lost."""
    converter = cattrs.Converter(detailed_validation=False, prefer_attrib_converters=True)
    converter.register_structure_hook_factory(
        lossless._is_lossless,
        lambda k: make_dict_structure_fn(k, converter, _cattrs_detailed_validation=False, role=cattrs.override()),
    )
    converter.register_structure_hook_func(lambda t: "Mapping" in str(t), lambda value, _: value)
    converter.register_structure_hook_func(lambda t: "str | collections" in str(t), lambda value, _: value)
    hook = converter.get_structure_hook(kind)
    return lambda value: hook(value, kind)


def by_constructors(kind: type[Any]) -> Callable[[dict[str, Any]], Any]:
    """The general hook alone: a loop over what came, and the class's own constructor."""
    converter = cattrs.Converter()
    converter.register_structure_hook_factory(
        lossless._is_lossless, lambda k: lossless._general_hook(k, lossless._fields(k, converter, same), same)
    )
    hook = converter.get_structure_hook(kind)
    return lambda value: hook(value, kind)


def same(value: Any) -> Any:
    """Keep a value as it came."""
    return value


def ways(data: bytes, kind: type[Any]) -> dict[str, Callable[[], object]]:
    """Return what is compared, by name; each builds one answer from decoded JSON, but for those that say more."""
    value = orjson.loads(data)
    found: dict[str, Callable[[], object]] = {"orjson.loads alone": lambda: orjson.loads(data)}
    for name, way in (("cattrs, generated (loses fields)", by_cattrs), ("loop and constructor", by_constructors)):
        build = way(kind)
        found[name] = lambda build=build: build(value)  # type: ignore[misc]
    found["a function for each shape, drafts"] = lambda: lossless.structure(value, kind)
    if kind is ChatCompletionChunk:
        template = ChunkTemplate.of(data, value)
        assert template is not None
        texted, fold = lossless.texter(lossless.structure(value, kind)), Fold()
        found["fold of a decoded chunk"] = lambda: fold.add(value)
        found["chunk by its bytes: its text"] = lambda: template.texts((data,))
        found["chunk by its bytes: typed, from its text"] = lambda: texted(" token")
    return found


def timed(work: Callable[[], object]) -> float:
    """Return the CPU seconds of one call."""
    begin = time.process_time()
    for _ in range(TIMES):
        work()
    return (time.process_time() - begin) / TIMES


def main() -> None:
    """Measure and print."""
    for title, data, kind in (("completion", COMPLETION, ChatCompletion), ("chunk", CHUNK, ChatCompletionChunk)):
        rounds = [{name: timed(work) for name, work in ways(data, kind).items()} for _ in range(ROUNDS)]
        print(f"\n{title}, {len(data)} bytes: multiples of orjson.loads")
        for name in rounds[0]:
            middle = statistics.median(r[name] / r["orjson.loads alone"] for r in rounds)
            print(f"{name:42} {middle:6.2f}")


if __name__ == "__main__":
    main()

"""What a run over shards works in: a folder beside the output, with the pieces of the input and what came of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

import attrs

from anyfast_async._journal.disk import sync_file, sync_folder
from anyfast_async.batch.input.request_lines import LineError
from anyfast_async.batch.input.source import Source
from anyfast_async.batch.input.survey import (
    EXAMPLES,
    KEPT_PROBLEMS,
    BadRow,
    LineProblem,
    ProblemKind,
    Stamp,
    Survey,
    fingerprint,
    ids_of,
    kind_of,
    stamp_of,
    survey,
)
from anyfast_async.errors import ConfigurationError, escaped
from anyfast_async.scale.split import split

_BUCKETS: Final = 256
_VERSION: Final = 1
_WORD: Final = 8


def folder_of(output: Path) -> Path:
    """Return the folder of a run over shards; it is there from the beginning of the run to its end."""
    return output.with_name(f"{output.name}.shards")


@attrs.frozen
class Shard:
    """A piece of the input, and where its answers go."""

    number: int
    found: Survey
    output: Path


@attrs.frozen
class Plan:
    """The shards of one run."""

    folder: Path
    found: Survey
    """The whole input."""
    shards: tuple[Shard, ...]

    @property
    def control(self) -> Path:
        """Says whether the run goes on."""
        return self.folder / "control"

    @property
    def foreign(self) -> Path:
        """Answers in the output to rows that are not in the input."""
        return self.folder / "foreign.jsonl"


def remove(folder: Path) -> None:
    """Remove the folder of a plan: what is in it is in the output."""
    gone = folder.with_name(f".{folder.name}.done")
    shutil.rmtree(gone, ignore_errors=True)
    folder.replace(gone)  # in one step: half of a folder would be taken for the whole
    shutil.rmtree(gone, ignore_errors=True)


# -- made ------------------------------------------------------------------------------------------------------------


def _new(output: Path) -> Path:
    return folder_of(output).with_name(f".{output.name}.shards.new")


def discard(output: Path) -> None:
    """Remove what was made for a run that did not begin."""
    shutil.rmtree(_new(output), ignore_errors=True)


def look_at(
    source: Source,
    output: Path,
    *,
    pieces: int,
    submit: Callable[..., Future[Survey]],
    all_of: Callable[[Sequence[Callable[[], Future[Survey]]]], list[Survey]],
    skip_bad: bool,
) -> Plan:
    """Cut an input and have every piece of it looked at by a worker; return what is to be done, not begun yet.

    Args:
        source: the input.
        output: where its answers go.
        pieces: about how many shards.
        submit: has a function called by a worker.
        all_of: waits for calls, and makes those again whose worker is lost.
        skip_bad: whether rows that cannot be sent are left out.

    Raises:
        UncutError: the input cannot be read as what it is.
        OSError: a file cannot be read or written.

    """
    discard(output)
    new = _new(output)
    inputs, ids = new / "inputs", new / "ids"
    for folder in (new, inputs, ids, new / "outputs"):
        folder.mkdir()
    stamp = stamp_of(source.path)
    cut = split(source, inputs, pieces)
    for one in cut:
        with one.path.open("rb") as file:
            sync_file(file.fileno())
    sha256 = fingerprint(source.path)
    calls = [_call(submit, one, ids / f"{number:05d}", skip_bad=skip_bad) for number, one in enumerate(cut)]
    looked = _without_twins(all_of(calls), [ids / f"{number:05d}" for number in range(len(cut))])
    if stamp_of(source.path) != stamp:
        message = f"{source.path} was changed while it was read; start again"
        raise ConfigurationError(message)
    shutil.rmtree(ids)
    found = _together(source, looked, sha256, stamp)
    return Plan(new, found, _shards(new, looked))


def _call(
    submit: Callable[..., Future[Survey]], source: Source, ids: Path, *, skip_bad: bool
) -> Callable[[], Future[Survey]]:
    return lambda: submit(look_at_piece, source, ids, skip_bad=skip_bad)


def _shards(folder: Path, looked: Iterable[Survey]) -> tuple[Shard, ...]:
    return tuple(
        Shard(number, found, folder / "outputs" / f"{number:05d}.jsonl") for number, found in enumerate(looked)
    )


def look_at_piece(source: Source, ids: Path, *, skip_bad: bool) -> Survey:
    """Check every row of a piece, and write down its ids as numbers, sorted into buckets: called by a worker."""
    found = survey(source, skip_bad=skip_bad, digests=False)
    buckets = [array("Q") for _ in range(_BUCKETS)]
    for custom_id in ids_of(found):
        number = _number(custom_id)
        buckets[number % _BUCKETS].append(number)
    with ids.open("wb") as file:
        array("Q", map(len, buckets)).tofile(file)
        for bucket in buckets:
            bucket.tofile(file)
    return found


def _number(custom_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(custom_id.encode(), digest_size=_WORD).digest(), "little")


def _without_twins(looked: list[Survey], ids: Sequence[Path]) -> list[Survey]:
    """Return the pieces with each row whose id stands in an earlier piece taken for a problem."""
    suspects = _suspects(ids)
    if not suspects:
        return looked
    first: dict[str, tuple[int, int]] = {}
    after: list[Survey] = []
    for place, found in enumerate(looked):
        twins: list[tuple[int, str, int, str | None]] = []
        source = found.source
        for number, record in source.records():
            custom_id = None if isinstance(record, LineError) else source.id_of(number, record)
            if custom_id is None or isinstance(record, LineError) or _number(custom_id) not in suspects:
                continue
            was, at = first.setdefault(custom_id, (place, number))
            if was != place and number not in found.bad:
                twins.append((number, custom_id, at, _model_of(source, number, record)))
        after.append(_marked(found, twins) if twins else found)
    return after


def _model_of(source: Source, number: int, record: Mapping[str, Any]) -> str | None:
    try:
        return source.line(number, record).request.model
    except LineError:
        return None


def _marked(found: Survey, twins: Sequence[tuple[int, str, int, str | None]]) -> Survey:
    unit, models, bad = found.source.unit, Counter(found.models), dict(found.bad)
    problems = []
    for number, custom_id, first, model in twins:
        problem = f"{found.source.id_name}: {escaped(custom_id, 80)!r} stands on {unit} {first} already"
        problems.append(LineProblem(number, problem, unit))
        models[model] -= 1
        bad[number] = BadRow(f"{unit}-{number} (left out)", (problem,))
    kinds = [ProblemKind(one.problem, [one.line], 1) for one in problems]
    return attrs.evolve(
        found,
        count=found.count - len(twins),
        models=+models,
        problems=(*found.problems, *problems),
        problem_count=found.problem_count + len(twins),
        kinds=(*found.kinds, *kinds),
        bad=bad,
    )


def _suspects(ids: Sequence[Path]) -> set[int]:
    """Return the numbers of ids that stand in two pieces; a bucket of all pieces is in memory at a time."""
    tables = []
    for path in ids:
        with path.open("rb") as file:
            counts = array("Q")
            counts.fromfile(file, _BUCKETS)
        at, starts = _BUCKETS * _WORD, []
        for count in counts:
            starts.append((at, count))
            at += count * _WORD
        tables.append(starts)
    found: set[int] = set()
    for bucket in range(_BUCKETS):
        seen: set[int] = set()
        for path, starts in zip(ids, tables, strict=True):
            at, count = starts[bucket]
            numbers = array("Q")
            with path.open("rb") as file:
                file.seek(at)
                numbers.fromfile(file, count)
            mine = set(numbers)
            found |= mine & seen
            seen |= mine
    return found


def _together(source: Source, looked: Sequence[Survey], sha256: str, stamp: Stamp) -> Survey:
    """Return what was found in all pieces as what was found in the whole."""
    models: Counter[str | None] = Counter()
    kinds: dict[str, ProblemKind] = {}
    bad: dict[int, BadRow] = {}
    for found in looked:
        models.update(found.models)
        bad |= found.bad
        for kind in found.kinds:
            mine = kinds.setdefault(kind_of(kind.problem), ProblemKind(kind.problem))
            mine.count += kind.count
            mine.lines = sorted([*mine.lines, *kind.lines])[:EXAMPLES]
    problems = sorted((one for found in looked for one in found.problems), key=lambda one: one.line)
    return Survey(
        source,
        sum(found.count for found in looked),
        models,
        tuple(problems[:KEPT_PROBLEMS]),
        sum(found.problem_count for found in looked),
        sha256,
        stamp,
        tuple(sorted(kinds.values(), key=lambda kind: kind.lines[0])),
        bad,
        all(found.is_whole for found in looked),
        any(found.is_numbered for found in looked),
    )


# -- kept ------------------------------------------------------------------------------------------------------------


def kept(plan: Plan, output: Path) -> Plan:
    """Give the folder of a plan its name: from here on the run has begun.

    Raises:
        OSError: it cannot be written.

    """
    shards = [
        {
            "input": shard.found.source.path.name,
            "before": shard.found.source.before,
            "rows": shard.found.count,
            "models": [[model, rows] for model, rows in shard.found.models.items()],
            "sha256": shard.found.sha256,
            "bad": [[number, row.custom_id, row.problems] for number, row in shard.found.bad.items()],
        }
        for shard in plan.shards
    ]
    found = plan.found
    said = {
        "version": _VERSION,
        "input": {"sha256": found.sha256, "stamp": found.stamp, "is_numbered": found.is_numbered},
        "shards": shards,
    }
    path = plan.folder / "plan.json"
    with path.open("w", encoding="utf-8") as file:
        json.dump(said, file)
        file.flush()
        os.fsync(file.fileno())
    final = folder_of(output)
    plan.folder.replace(final)
    sync_folder(final.parent)
    return _moved(plan, final)


def _moved(plan: Plan, folder: Path) -> Plan:
    looked = []
    for shard in plan.shards:
        source = attrs.evolve(shard.found.source, path=folder / "inputs" / shard.found.source.path.name)
        looked.append(attrs.evolve(shard.found, source=source, stamp=stamp_of(source.path)))
    return attrs.evolve(plan, folder=folder, shards=_shards(folder, looked))


def found_again(source: Source, output: Path) -> Plan | None:
    """Return the plan of a run that was begun and has not ended, None if there is none.

    Raises:
        ConfigurationError: it was begun with another input.
        OSError: it cannot be read.

    """
    folder = folder_of(output)
    try:
        said = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    given, stamp = said["input"], stamp_of(source.path)
    if (said["version"] != _VERSION) or (list(stamp) != given["stamp"] and fingerprint(source.path) != given["sha256"]):
        message = (
            f"{output} was begun in shards ({folder}) with another input than {source.path}, and was not touched; end "
            "it with that one, or name another output"
        )
        raise ConfigurationError(message)
    looked = [_read(source, folder, one) for one in said["shards"]]
    whole = attrs.evolve(_together(source, looked, given["sha256"], stamp), is_numbered=given["is_numbered"])
    return Plan(folder, whole, _shards(folder, looked))


def _read(source: Source, folder: Path, said: Mapping[str, Any]) -> Survey:
    path = folder / "inputs" / said["input"]
    piece = attrs.evolve(
        source,
        path=path,
        before=said["before"],
        encoding=source.encoding if source.format == "parquet" else None,
    )
    bad = {number: BadRow(custom_id, tuple(problems)) for number, custom_id, problems in said["bad"]}
    models = {model: rows for model, rows in said["models"]}  # noqa: C416 - pairs in JSON are lists
    return Survey(piece, said["rows"], models, (), 0, said["sha256"], stamp_of(path), bad=bad)


def outputs_of(plan: Plan) -> Iterator[Path]:
    """Yield the files of answers, in the order of the input."""
    for shard in plan.shards:
        yield shard.output

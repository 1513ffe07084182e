"""One shard whose files are in an object store: copied in, worked on, and copied out, again and again.

Nothing can be appended to there, so the answers grow on the worker's own disk, and all of them are copied every so
often, under the number of the lease, as on a path: who takes over goes on with the last copy. The log is copied after
the answers, so that a row whose answer came meanwhile is named as perhaps billed twice, and none is forgotten.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from anyfast_async._journal.records import failures_of, log_of
from anyfast_async.batch.input.survey import Survey
from anyfast_async.scale.lease import Lease, LeaseLostError
from anyfast_async.scale.object_store import Stored
from anyfast_async.scale.parquet_parts import part_of
from anyfast_async.scale.settings import BatchSettings, Turn
from anyfast_async.scale.shard import ShardRun, moved
from anyfast_async.scale.shard_result import ShardResult

_THREE: Final = (lambda path: path, failures_of, log_of)
"""The files of a shard, in the order in which they are copied."""


def run_stored(source: str, output: str, settings: BatchSettings, found: Survey | None, turn: Turn) -> ShardResult:
    """Do what ``run_shard`` does, with addresses."""
    with tempfile.TemporaryDirectory(prefix="anyfast-") as name:
        return StoredShard(source, output, Path(name), settings, found, turn).run()


class StoredShard(ShardRun):
    """One call of ``run_shard`` with addresses."""

    def __init__(  # noqa: PLR0917 - those of ``run_shard``
        self, source: str, output: str, folder: Path, settings: BatchSettings, found: Survey | None, turn: Turn
    ) -> None:
        inputs, outputs = source.rpartition("/"), output.rpartition("/")
        super().__init__(folder / f"in-{inputs[2]}", folder / outputs[2], settings, found, turn)
        self._from, self._to = Stored(inputs[0]), Stored(outputs[0])
        self._leases = Stored(f"{output}.shard")
        self._folder = self._leases
        self._copying = threading.Lock()
        self._over = threading.Event()
        self._copies: threading.Thread | None = None

    def run(self) -> ShardResult:
        """Copy the input, and go on as with a path."""
        if not self._from.get(self._input.name.removeprefix("in-"), self._input):
            message = f"{self._from}/{self._input.name.removeprefix('in-')}: there is no such file"
            raise FileNotFoundError(message)
        try:
            return super().run()
        finally:
            self._end_copies()

    def _look_at_input(self) -> Survey:
        return super()._look_at_input() if self._found is None else moved(self._found, self._input)

    def _is_there(self) -> bool:
        return self._to.has(self._output.name)

    def _files(self, lease: Lease) -> Path:
        """Copy what the worker before has copied, or what is where it is looked for."""
        before = lease.files
        if before is None:
            before = next((one.files for one in self._earlier(lease) if one.files is not None), None)
        answers = self._output.with_name(f"answers-{lease.number}.jsonl")
        for take_of in _THREE:
            if before is None:
                self._to.get(take_of(self._output).name, take_of(answers))
            else:
                self._leases.get(take_of(Path(f"answers-{before}.jsonl")).name, take_of(answers))
        lease.files = before
        self._copies = threading.Thread(target=self._copy_on, args=(lease, answers), name="anyfast copies", daemon=True)
        self._copies.start()
        return answers

    def _copy_on(self, lease: Lease, answers: Path) -> None:
        while not self._over.wait(self._settings.copy_every):
            with suppress(OSError):  # the store is away: it is tried again; the lease says for how long
                self._copy(lease, answers)

    def _copy(self, lease: Lease, answers: Path) -> None:
        """Copy what there is, and say so with the next beat."""
        with self._copying:
            for take_of in _THREE:
                path = take_of(answers)
                if not path.exists():
                    continue
                lease.check()
                still = path.with_name(f"{path.name}.copy")  # it grows meanwhile
                shutil.copyfile(path, still)
                self._leases.put(still, path.name)
            lease.files = lease.number

    def _end_copies(self) -> None:
        self._over.set()
        if self._copies is not None:
            self._copies.join()

    def _publish(self, lease: Lease, answers: Path) -> None:
        self._end_copies()
        self._copy(lease, answers)
        for take_of in (*_THREE, part_of):
            path, name = take_of(answers), take_of(self._output).name
            if path.exists():
                try:
                    lease.check()
                except LeaseLostError:
                    return
                self._to.put(path, name)

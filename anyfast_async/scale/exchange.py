"""A place in an object store through which shards go to workers and come back, where no path is seen by all of them.

The run itself keeps everything on its own disk, as without: the plan, the pieces, and what has come back. In the store
are copies of the pieces, and what workers have copied out of their shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from anyfast_async._journal.records import failures_of, log_of
from anyfast_async.errors import ConfigurationError
from anyfast_async.scale.lease import Beat, latest
from anyfast_async.scale.object_store import Stored, StoredFile, is_address
from anyfast_async.scale.parquet_parts import part_of
from anyfast_async.scale.plan import Plan, Shard

_AT_ONCE: Final = 16
"""Copies."""
_THREE: Final = (lambda path: path, failures_of, log_of)
_SENT: Final = "sent"
"""In the folder of a plan, once its pieces are in the store."""


class ShardExchange:
    """The place of one run.

    Args:
        address: of a folder that is this run's alone.

    Raises:
        ConfigurationError: it is no address, or cannot be used for this; or the store is away.

    """

    def __init__(self, address: str) -> None:
        if not is_address(address):
            message = f"{address!r} is no address in a store, such as s3://bucket/folder"
            raise ConfigurationError(message)
        self._root = Stored(address)
        try:
            self._root.check()
        except OSError as error:
            message = f"{address} cannot be used, nothing was sent: {error.strerror or error}"
            raise ConfigurationError(message) from None

    @property
    def control(self) -> StoredFile:
        """Says whether the run goes on."""
        return StoredFile(self._root, "control")

    def input_of(self, shard: Shard) -> str:
        """Return the address of a piece."""
        return f"{self._root}/inputs/{shard.found.source.path.name}"

    def output_of(self, shard: Shard) -> str:
        """Return the address of its answers."""
        return f"{self._root}/outputs/{shard.output.name}"

    def leases_of(self, shard: Shard) -> Stored:
        """Return where the lease of a shard is."""
        return Stored(f"{self.output_of(shard)}.shard")

    def send(self, plan: Plan) -> None:
        """Copy the pieces to the store, and what was answered before; once for a plan.

        Raises:
            ConfigurationError: another run has its pieces there.
            OSError: the store is away.

        """
        mark = plan.folder / _SENT
        if mark.exists() and mark.read_text() == str(self._root):
            return
        inputs, outputs = self._root.within("inputs"), self._root.within("outputs")
        if inputs.names() or outputs.names():
            message = f"{self._root} holds the shards of another run: name a folder of its own"
            raise ConfigurationError(message)
        inputs.make()
        outputs.make()
        with ThreadPoolExecutor(_AT_ONCE, "anyfast copies") as threads:
            for shard in plan.shards:
                threads.submit(inputs.put, shard.found.source.path, shard.found.source.path.name)
            done = [threads.submit(outputs.put, path, path.name) for shard in plan.shards for path in _files_of(shard)]
        for one in done:
            one.result()
        missing = {shard.found.source.path.name for shard in plan.shards} - set(inputs.names())
        if missing:
            message = f"{len(missing)} of the pieces did not come to {inputs}"
            raise OSError(message)
        mark.write_text(str(self._root))

    def fetch(self, shard: Shard, beat: Beat | None = None) -> None:
        """Copy back what there is of a shard: what its last worker has put there, or has copied last.

        Raises:
            OSError: the store is away.

        """
        beat = beat or latest(self.leases_of(shard))
        if beat is None or beat.files is None:
            return
        leases, answers = self.leases_of(shard), Path(f"answers-{beat.files}.jsonl")
        for take_of in _THREE:
            new = take_of(shard.output).with_name(f".{take_of(shard.output).name}.new")
            if leases.get(take_of(answers).name, new):
                new.replace(take_of(shard.output))
        part = part_of(shard.output)
        self._root.within("outputs").get(part.name, part)

    def fetch_all(self, plan: Plan) -> None:
        """Copy back what there is of every shard."""
        with ThreadPoolExecutor(_AT_ONCE, "anyfast copies") as threads:
            for one in [threads.submit(self.fetch, shard) for shard in plan.shards]:
                one.result()

    def remove(self) -> None:
        """Remove what is there: it has come back."""
        self._root.remove()


def _files_of(shard: Shard) -> Iterator[Path]:
    for take_of in _THREE:
        if take_of(shard.output).exists():
            yield take_of(shard.output)

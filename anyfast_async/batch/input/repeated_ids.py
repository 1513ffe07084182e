"""Which ids of an input come again, found in one pass in little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from operator import lt

from anyfast_async._core.journal.id_index import Seen


class RepeatedIds:
    """Notes ids by their hashes, and finds those that had come before.

    Ids of which each is longer than the one before, or comes behind it in the alphabet, are all different: as long as
    they are so, as numbered ones are, nothing is noted.

    Args:
        earlier: yields the ids from the beginning again, if they turn out not to be so.

    """

    def __init__(self, earlier: Callable[[], Iterable[str]]) -> None:
        self._earlier = earlier
        self._seen: Seen | None = None
        self._last = (0, "")
        self._count = 0

    def hashes(self, ids: Sequence[str]) -> set[int]:
        """Take in some ids; return the hashes of those that had come before, or that share theirs with one."""
        if self._seen is None:
            keys = [self._last, *zip(map(len, ids), ids, strict=True)]
            if all(map(lt, keys, islice(keys, 1, None))):
                self._last = keys[-1]
                self._count += len(ids)
                return set()
            self._seen = Seen()
            self._seen.again(hash(one) for one in islice(self._earlier(), self._count))
        return self._seen.again(map(hash, ids))

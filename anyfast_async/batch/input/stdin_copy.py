"""An input that cannot be read twice, kept in a file beside the output for as long as the batch needs it.

The copy is private (mode 0600) and takes its final name only when the batch may begin, so that an input that is refused
does not replace the one of the batch that it was refused for.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_PIECE = 1024 * 1024


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class StdinCopy:
    """The copy of a stream; a context manager that removes what was not :meth:`keep`-t.

    Args:
        output: the file that the batch writes; the copy is beside it, its name with ``.stdin`` added.

    """

    def __init__(self, output: Path) -> None:
        self.kept: Path = output.with_name(f"{output.name}.stdin")
        """Where the copy is kept, if it is."""
        self._copy: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._copy is not None:
            self._copy.unlink(missing_ok=True)

    @property
    def path(self) -> Path:
        """What to read: the copy, or the one that was kept before."""
        return self._copy if self._copy is not None else self.kept

    def fill(self, stream: IO[bytes]) -> bool:
        """Copy *stream*; return whether there was anything in it.

        Raises:
            OSError: it cannot be read, or the copy not be written.

        """
        piece = stream.read(_PIECE)
        if not piece:
            return False
        # Named before it is made: a signal that ends the process between the two would leave it behind.
        self._copy = self.kept.with_name(f".{self.kept.name}.{secrets.token_hex(8)}")
        with open(self._copy, "xb", opener=_private) as file:
            file.write(piece)
            while len(piece) == _PIECE:  # a shorter one is the last: a terminal would have to be told twice that it is
                piece = stream.read(_PIECE)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        return True

    def keep(self) -> Path:
        """Keep the copy, in place of one that was kept before; return where it is."""
        if self._copy is not None:
            self._copy.replace(self.kept)
            self._copy = None
        return self.kept

    def remove(self) -> None:
        """Remove what is kept."""
        self.kept.unlink(missing_ok=True)

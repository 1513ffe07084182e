"""What a log of a journal says, taken together. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import attrs

from anyfast_async._core.journal import journal_lines
from anyfast_async._core.journal.reserved_money import Amount, Bill, read_opened
from anyfast_async._core.json import codec
from anyfast_async._core.limits.rate_limit import PERIOD


@attrs.define
class LogReplay:
    """What a log says, line by line in its order."""

    header: Mapping[str, Any] | None = None
    known: bool = False
    """Whether a line of it is as it was written: it is a log."""
    maybe_billed: dict[str, None] = attrs.field(factory=dict)
    """Ids that were sent, maybe, by a process that ended before it had written down what came."""
    quarantined: int = 0
    """Lines of answers or failures that were found damaged, and are kept in the log."""
    settled: int = 0
    """How often the failures before were put into their own file."""
    replaced: dict[str, int] = attrs.field(factory=dict)
    """Ids whose answer a later one was to replace, with the checksum of its line: the file of answers may have both."""
    asked_again: set[str] = attrs.field(factory=set)
    """Ids that had an answer already when they were sent, and of which nothing came yet."""
    failures: set[str] = attrs.field(factory=set)
    """Names of files of failures that are not the usual one."""
    sent: list[tuple[float, float, float]] = attrs.field(factory=list)
    """What was sent in the last minute of the last run: Unix times, requests and tokens."""
    foreign: bool = False
    """Whether there are, or may be, results of rows that are not in the input that the header is of."""
    models: dict[str, set[str]] = attrs.field(factory=dict)
    """By the model that answers name, those that were asked for: a gateway's names need not be those it is asked by."""
    inputs: set[str] = attrs.field(factory=set)
    """SHA-256 of every input that it was begun or went on with."""
    bill: Bill = attrs.field(factory=Bill)
    """What is taken as spent, beside what the answers used."""
    _open: dict[str, Amount | None] = attrs.field(factory=dict)
    _unread: list[bytes] = attrs.field(factory=list)

    def add(self, line: bytes) -> str | None:
        """Take in a *line* of the log; return the id that it says has failed, if it does."""
        if line.startswith(b'{"started":', 9):
            self._unread.append(line)  # most are of no interest once the next list of open ids has come
            return None
        data = journal_lines.record_in(line)
        if data is None or data.startswith(journal_lines.HOLDER):
            return None
        self.known = True
        if data.startswith(journal_lines.FAILED):
            custom_id = journal_lines.recorded_id(data[len(journal_lines.FAILED) : -1])
            self.open.pop(custom_id or "", None)
            return custom_id
        if data.startswith(journal_lines.REPLACED):
            line = data[len(journal_lines.REPLACED) : -1]
            custom_id = journal_lines.recorded_id(line) or ""
            self.replaced[custom_id] = zlib.crc32(line)
            self.asked_again.discard(custom_id)
            return None
        ((kind, value),) = codec.loads(data).items()
        self._add(kind, value)
        return None

    def _add(self, kind: str, value: Any) -> None:  # noqa: C901 - a table of kinds
        match kind:
            case "open":
                self._unread.clear()
                self._open = dict(map(read_opened, value))
                self.asked_again &= self._open.keys()
            case "again":
                self.asked_again.add(value)
            case "unsent":
                self.open.pop(value, None)
            case "maybe_billed":
                self.maybe_billed |= dict.fromkeys(value)
            case "spent":
                self.bill.add(value)
                if value.get("id") in self.open:
                    self.open[value["id"]] = None
            case "damaged":
                self.quarantined += not value["torn"]
            case "settled":
                self.settled += 1
            case "compacted":
                self.replaced.clear()
            case "failures":
                self.failures.add(value)
            case "header" | "extended":
                self.header = value
                self._add_input(value)
            case "changed":
                self.foreign |= value.get("input") != (self.header or {}).get("input")
                self._add_input(value)
            case "model":
                self.models.setdefault(value[0], set()).add(value[1])
            case "input kept":
                self.inputs.add(value)
            case "sent":
                self.sent = [one for one in self.sent if one[0] > value[0] - PERIOD] + [(value[0], value[1], value[2])]
            case "foreign":
                self.foreign = True
            case _:  # of a later version
                pass

    def _add_input(self, header: Mapping[str, Any]) -> None:
        given = header.get("input")
        if isinstance(given, Mapping) and "sha256" in given:
            self.inputs.add(given["sha256"])

    def asked_for(self, answered: str) -> tuple[str, ...]:
        """Return the models that were asked where an answer names this one; where that is not known, itself."""
        return tuple(sorted(self.models.get(answered, (answered,))))

    def is_answered(self, custom_id: str, line: bytes | None) -> bool:
        """Return whether *line*, the one in the file of answers, is what came of the last time that an id was sent."""
        if line is None or custom_id in self.asked_again:
            return False
        return self.replaced.get(custom_id) != zlib.crc32(journal_lines.plain(line))

    @property
    def open(self) -> dict[str, Amount | None]:
        """Ids that were started, and of which the log does not say what came of them; the answers may.

        With what was reserved for each; None if that is counted as spent already.
        """
        for line in self._unread:
            data = journal_lines.record_in(line)
            if data is not None:
                self.known = True
                custom_id, amount = read_opened(codec.loads(data)["started"])
                self._open[custom_id] = amount
        self._unread.clear()
        return self._open

"""What a map gives back: what became of an item, and how far the run is."""

from __future__ import annotations

import html
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs

from anyfast_async._core.usage import used_by
from anyfast_async._limits.spent import Spent
from anyfast_async._values.bases import brief
from anyfast_async._values.outcome import Outcome
from anyfast_async._values.text import printable
from anyfast_async.errors import AnyFastError, Attempt
from anyfast_async.prices import Prices, usual_prices

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyfast_async.completions import ChatCompletion

T = TypeVar("T")


@attrs.frozen(repr=False)
class Result(Generic[T]):
    """What became of one item of a ``map``: a completion, or an error as a value."""

    index: int
    """The item's place in the source, from 0."""
    item: Any
    """The item, as it came from the source."""
    id: Any = None
    """What ``id=`` gives, else the row's ``custom_id`` or ``id``, of whatever type; None where there is none."""
    completion: ChatCompletion | None = attrs.field(default=None, repr=False)
    value: T | None = None
    """With ``into=``: the parsed answer."""
    error: AnyFastError | None = None
    attempts: tuple[Attempt, ...] = attrs.field(default=(), repr=False)
    """Every try that was made, oldest first."""
    recorded: bool = False
    """Whether it was read from a journal and not sent."""
    rejected: tuple[ChatCompletion, ...] = attrs.field(default=(), kw_only=True, repr=False)
    """With ``repair=``: the answers that did not fit and were sent back, oldest first; each was billed."""
    model: str | None = attrs.field(default=None, kw_only=True, repr=False)
    """The model that was asked, None where the item did not get as far."""
    _prices: Prices | None = attrs.field(default=None, kw_only=True, repr=False, eq=False, alias="prices")

    def __repr__(self) -> str:
        said: dict[str, Any] = {"index": self.index, "id": self.id, "item": self.item, "error": self.error}
        said["value" if self.value is not None else "text"] = (
            self.value if self.value is not None else self.text or None
        )
        said["outcome"] = None if self.outcome in {"ok", "failed"} else self.outcome
        said["recorded"] = self.recorded or None
        said["same_as"] = self.same_as
        shown = ", ".join(f"{name}={brief(value)}" for name, value in said.items() if value is not None)
        return f"Result({shown})"

    @property
    def same_as(self) -> Any:
        """With ``dedupe=True``: the item that was sent in its place, as :class:`SameResult` has it; else None."""
        return None

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.error is None

    @property
    def outcome(self) -> Outcome:
        """What became of it: ``"ok"``, ``"refused"``, ``"filtered"``, ``"cut"``, ``"empty"`` or ``"failed"``.

        An answer that does not parse is ``"failed"``, unless the answer itself says what is wrong with it.
        """
        found: Outcome = self.completion.outcome if self.completion is not None else "failed"
        return "failed" if self.error is not None and found == "ok" else found

    @property
    def text(self) -> str:
        """The answer's text, ``""`` after an error."""
        return self.completion.text if self.completion is not None else ""

    @property
    def cost(self) -> float | None:
        """What the answer cost, and those in ``rejected``, in the currency of the client's ``prices``.

        By default US dollars of the list. None if nobody knows: without an answer, without usage or without a price.
        """
        prices = self._prices or usual_prices()
        if self.completion is None or prices is None or self.model is None:
            return None
        used, price = [used_by(one.usage) for one in (*self.rejected, self.completion)], prices.price(self.model)
        known = [one for one in used if one is not None]
        return None if price is None or len(known) < len(used) else sum(map(price.cost, known))

    def _tokens(self, name: str) -> int | None:
        """Return a number of the usage, over all that was answered; None if one of the answers does not tell it."""
        answers = () if self.completion is None else (*self.rejected, self.completion)
        told = [None if one.usage is None else getattr(one.usage, name) for one in answers]
        known = [tokens for tokens in told if tokens is not None]
        return sum(known) if known and len(known) == len(told) else None

    def unwrap(self) -> ChatCompletion:
        """Return the completion.

        Raises:
            AnyFastError: the item's error.

        """
        if self.error is not None:
            raise self.error
        assert self.completion is not None  # noqa: S101 - one of the two is set
        return self.completion

    def _fields(self) -> dict[str, Any]:
        """Return the fields of ``value``; without one none."""
        if self.value is None:
            return {}
        kind = type(self.value)
        fields = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "model_fields", None)
        names = [a.name for a in attrs.fields(kind)] if attrs.has(kind) else fields
        if names is None and isinstance(self.value, Mapping):
            return dict(self.value)
        return {"value": self.value} if names is None else {n: getattr(self.value, n) for n in names}

    def row(self) -> dict[str, Any]:
        """Return a flat dict for a table: id, text (or fields of ``into``), outcome, finish reason, tokens, error."""
        return {
            "id": self.id if self.id is not None else self.index,
            **(self._fields() or {"text": self.text if self.ok else None}),
            "outcome": self.outcome,
            "finish_reason": self.completion.finish_reason if self.completion is not None else None,
            "prompt_tokens": self._tokens("prompt_tokens"),
            "completion_tokens": self._tokens("completion_tokens"),
            "error_kind": self.error.kind if self.error is not None else None,
            "error": str(self.error) if self.error is not None else None,
        }


@attrs.frozen(repr=False)
class SameResult(Result[T]):
    """What became of an item whose request was that of another one, which was sent: it used nothing itself.

    Its answer is that of the other one, with a usage of nothing, so that sums count what was used once. It has no
    attempts.
    """

    same_as: Any = attrs.field(default=None, kw_only=True)
    """The id of the item that was sent, or its place in the source if it has none; of one that a journal knows without
    an id, what it is called there."""

    def row(self) -> dict[str, Any]:
        """Return a flat dict for a table, as of any result, with ``same_as``."""
        return {**Result.row(self), "same_as": self.same_as}


class ResultList(list[Result[T]]):
    """The results of a whole map: a list, which a notebook shows as a table."""

    __slots__ = ()

    def frame(self, library: str | None = None, table: Any = None) -> Any:
        """Return the results as a data frame, in the order of the items; see :meth:`MapRun.frame`.

        Args:
            library: as there.
            table: the data frame of which the items were the rows, beside whose columns the answers are put.

        Raises:
            ConfigurationError: the library is not installed, or not one of those.

        """
        from anyfast_async._map.data_frame import frame_of  # noqa: PLC0415 - with the first frame

        return frame_of(self, library, table)

    def _repr_html_(self) -> str:
        failed = Counter(result.error.kind for result in self if result.error is not None)
        kinds = ", ".join(f"{kind} {count}" for kind, count in failed.most_common())
        head = f"{len(self)} results" + (f", {failed.total()} failed ({kinds})" if failed else "")
        shown = sorted(self[:_ROWS], key=lambda result: result.index)
        rows = "".join(
            f"<tr><td>{_cell(result.index if result.id is None else result.id)}</td><td>{_cell(result.item)}</td>"
            f"<td>{_cell(_said(result))}</td><td>{html.escape(result.outcome)}</td></tr>"
            for result in shown
        )
        more = f"<p>and {len(self) - _ROWS} more</p>" if len(self) > _ROWS else ""
        return (
            f"<p>{html.escape(head)}</p><table><thead><tr><th>id</th><th>item</th><th>result</th><th>outcome</th></tr>"
            f"</thead><tbody>{rows}</tbody></table>{more}"
        )


_ROWS: Final = 20
"""ResultList that the table of a notebook shows."""


def _said(result: Result[Any]) -> Any:
    if result.error is not None:
        return str(result.error)
    return result.text if result.value is None else result.value


def _cell(value: Any) -> str:
    """Return *value* as the text of a cell of a table: short, and nothing in it is HTML."""
    text = printable(value) if isinstance(value, str) else brief(value)
    if "base64," in text or len(text) > _CELL:
        text = brief(text)[:_CELL] + "..."
    return html.escape(text)


_CELL: Final = 120
"""Characters of a cell."""

_DRAFT: Final[Any] = type(
    "Draft", (Result,), {"__slots__": (), "__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
)
"""A result that can be filled in; it is frozen by changing its class. A frozen class sets every field by a call."""
_new = object.__new__


def result_of(  # noqa: PLR0917 - made for each item: names cost time
    index: int,
    item: Any,
    name: Any,
    completion: ChatCompletion | None,
    value: T | None,
    error: AnyFastError | None,
    attempts: tuple[Attempt, ...],
    model: str | None,
    prices: Prices | None,
) -> Result[T]:
    """Return the result of an item that was sent."""
    made = _new(_DRAFT)
    made.index = index
    made.item = item
    made.id = name
    made.completion = completion
    made.value = value
    made.error = error
    made.attempts = attempts
    made.recorded = False
    made.rejected = ()
    made.model = model
    made._prices = prices  # noqa: SLF001 - its own
    made.__class__ = Result
    return made  # type: ignore[no-any-return]


@attrs.frozen(kw_only=True)
class Progress:
    """How far a ``map`` is; given to the ``progress`` callable after each result."""

    done: int
    """ResultList so far, failed ones included."""
    failed: int
    total: int | None
    """Items in all, where the source has a length."""
    in_flight: int
    tokens: int
    """As the gateway reported them."""
    seconds: float
    """Since the first item was taken."""
    usage_missing: int = 0
    """Answers of which the gateway did not say what they used."""
    _spent: Spent = attrs.field(factory=Spent, repr=False, eq=False, alias="spent")
    _prices: Prices | None = attrs.field(default=None, repr=False, eq=False, alias="prices")

    @property
    def cost(self) -> float | None:
        """What the answers of the run so far cost, as in :attr:`Result.cost`; None without a price."""
        return self._spent.cost(self._prices or usual_prices())

    @property
    def rate(self) -> float:
        """ResultList a second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0


class Totals:
    """What the results of one map come to, shown after each.

    Args:
        show: is called with it; once it raises, no more.
        total: items in all, None if the source has no length.

    """

    def __init__(self, show: Callable[[Progress], None], total: int | None) -> None:
        self._show: Callable[[Progress], None] | None = show
        self._total = total
        self._began = 0.0
        self._done = self._failed = self._tokens = 0
        self._spent = Spent()

    def begin(self) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def add(self, result: Result[Any], in_flight: int) -> None:
        """Count a result; *in_flight* items are in work."""
        self._done += 1
        self._failed += result.error is not None
        if result.completion is not None and not result.recorded:
            for answer in (*result.rejected, result.completion):
                used = used_by(answer.usage)
                self._spent.add(result.model or "", used)
                self._tokens += 0 if used is None else used.tokens
        show, self._show = self._show, None
        if show is not None:
            show(
                Progress(
                    done=self._done,
                    failed=self._failed,
                    total=self._total,
                    in_flight=in_flight,
                    tokens=self._tokens,
                    seconds=time.monotonic() - self._began,
                    usage_missing=self._spent.unknown,
                    spent=self._spent,
                    prices=result._prices,  # noqa: SLF001 - the run's
                ),
            )
        self._show = show

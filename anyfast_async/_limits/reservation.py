"""What one call costs: reserved before each of its requests, settled after it, and told to a journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from anyfast_async._core.limits.token_estimate import ASSUMED, Asked, asked, tokens_of
from anyfast_async._limits.budget import Need
from anyfast_async.completions import ChatCompletion, Usage

if TYPE_CHECKING:
    from anyfast_async._call.plan import CallPlan
    from anyfast_async._core.limits.answer_lengths import Pending
    from anyfast_async._core.usage import Used
    from anyfast_async._limits.budget import Reserved, Spending
    from anyfast_async._limits.gate import Gate
    from anyfast_async._limits.scope import Permit, Scope
    from anyfast_async.prices import Price
    from anyfast_async.requests import ChatRequest


_NOTHING: Final = Need()


class Witness(Protocol):
    """Writes down what becomes of the requests of one row, so that a journal can say which may have been billed."""

    def goes_out(self, need: Need) -> None:
        """Take in that a request is about to be sent, and what is reserved for it.

        Raises:
            OSError: it cannot be written down; the request is not sent.

        """

    def refused(self) -> None:
        """Take in that nothing that was sent is billed."""

    def unknown(self, need: Need, *, answered: bool) -> None:
        """Take in that nothing says what a request used that may have been billed; *need* was reserved for it."""


class Account:
    """What one call may take, and has taken. Nothing is estimated unless tokens or money are limited.

    Args:
        spending: of the client.
        scope: where answers teach how long answers are.
        request: what is asked, or the prompt that *plan* makes it of when somebody wants to know; None: nothing that
            costs tokens.
        model: that is asked; None: the request's own.
        price: of it, where a budget is in money.
        witness: is told of each request.
        plan: of the call.

    """

    __slots__ = (
        *("_asked", "_counted", "_model", "_plan", "_price", "_reserved", "_scope", "_spending", "_witness", "pending"),
    )

    def __init__(  # noqa: PLR0917 - made for each call: names cost time
        self,
        spending: Spending,
        scope: Scope,
        request: ChatRequest | str | None,
        price: Price | None = None,
        witness: Witness | None = None,
        model: str | None = None,
        plan: CallPlan | None = None,
    ) -> None:
        self._spending = spending
        self._scope = scope
        self._asked = request
        self._plan = plan
        self._model = model
        self._counted: tuple[Asked, tuple[int | None, int]] | None = None
        self._reserved: Reserved | None = None
        self.pending: Pending | None = None
        """Of a request in flight from whose answer something is learned."""
        self._price = price
        self._witness = witness

    @property
    def request(self) -> ChatRequest | None:
        """What is asked."""
        given = self._asked
        if isinstance(given, str):
            assert self._plan is not None  # noqa: S101 - it comes with the prompt
            self._asked = given = self._plan.request(given)
        return given

    @property
    def prompt(self) -> Asked:
        """What is asked."""
        return (self._counted or self._count())[0]

    @property
    def bounds(self) -> tuple[int | None, int]:
        """The longest answer that is allowed, None if it is not said, and how many are asked for."""
        return (self._counted or self._count())[1]

    def _count(self) -> tuple[Asked, tuple[int | None, int]]:
        """Count what is asked, when somebody wants to know."""
        given = self._asked
        if isinstance(given, str):
            assert self._plan is not None  # noqa: S101 - it comes with the prompt
            self._counted = self._plan.counted(given)
        else:
            self._counted = asked(given), limits_of(given)
        return self._counted

    def likely(self) -> float:
        """Return the tokens to count within a minute."""
        scope = self._scope
        if scope.tokens is None or self._asked is None:
            return 0.0
        prompt, (max_tokens, n) = self._counted or self._count()
        return scope.expected.likely(prompt, max_tokens, n, scope.tokens.limit)

    def _possible(self, spending: Spending, price: Price | None) -> Need:
        """Return what to reserve of a budget."""
        if self._asked is None:
            return Need()
        left = spending.left(price)
        before, answer = self._scope.expected.possible(self.prompt, *self.bounds, left)
        return Need(before + answer, 0.0 if price is None else price.bound(before, answer))

    def _assumed(self) -> Need:
        """Return what a request is taken to have used of which nothing is known, and for which nothing was reserved."""
        if self._asked is None:
            return Need()
        longest, n = self.bounds
        return Need(self.prompt.tokens + n * min(ASSUMED, longest or ASSUMED))

    # -- before a request --------------------------------------------------------------------------------------------

    async def room(self, *, patient: bool = True) -> None:
        """Reserve what the next request needs, as soon as a budget has room for it.

        Raises:
            BudgetExceeded: it will have none, or has none now and the call is not *patient*.

        """
        spending, price = self._spending, self._price
        self._reserved = await spending.room(lambda: self._possible(spending, price), patient=patient)

    def cancel(self) -> None:
        """Give back what was reserved for a request that is not sent."""
        self._spending.cancel(self._reserved)

    def goes_out(self, gate: Gate, permit: Permit) -> None:
        """Reserve what a request needs that was admitted, unless :meth:`room` has, and write down that it is sent.

        Raises:
            BudgetExceeded: there is no room now.
            OSError: it cannot be written down.

        """
        spending, reserved, scope = self._spending, self._reserved, self._scope
        if spending.budget is None and self._witness is None and scope.tokens is None:
            spending.requests += 1  # which is all that there is to write down, of nearly every request
            return
        is_reserving = spending.is_reserving
        try:
            if reserved is None or not reserved.kept:
                self._reserved = spending.admit(self._possible(spending, self._price) if is_reserving else _NOTHING)
        except BaseException:
            gate.give_back(permit)
            raise
        try:
            if self._witness is not None:
                self._witness.goes_out(_NOTHING if self._reserved is None else self._reserved.need)
        except BaseException:
            gate.give_back(permit)
            spending.unsent(self._reserved)
            raise
        if self._asked is not None and (is_reserving or scope.tokens is not None):
            prompt, (max_tokens, n) = self._counted or self._count()
            self.pending = scope.expected.begin(max_tokens, permit.at)
            if scope.tokens is not None and permit.taken is not None:
                longest = scope.expected.longest(prompt, max_tokens, n)
                if longest is not None:
                    scope.tokens.line_up(permit.taken, longest)

    # -- after it ----------------------------------------------------------------------------------------------------

    def refused(self, now: float, *, sent: bool, unbilled: bool) -> None:
        """Take in that a request is not billed; *sent*: whether it went out; *unbilled*: nor were those before it."""
        if sent:
            self._spending.refused(self._reserved)
        else:
            self._spending.unsent(self._reserved)
        self._ended(now, None)
        if self._witness is not None and unbilled:
            self._witness.refused()

    def unknown(self, now: float, *, answered: bool = False) -> None:
        """Count what was reserved as spent, because nothing says what a request used."""
        need = self._assumed() if self._reserved is None else self._reserved.need
        self._spending.unknown(self._reserved, need)
        self._ended(now, None)
        if self._witness is not None:
            self._witness.unknown(Need() if self._reserved is None else need, answered=answered)

    def answered(self, now: float, used: Used | None) -> None:
        """Put what an answer says that it used in place of what was reserved; None: it does not say it."""
        if used is None:
            self.unknown(now, answered=True)
            return
        model = self._model
        if model is None:
            model = (self.request.model or "") if self.request is not None else ""
        self._spending.reported(self._reserved, model, used)
        if self.pending is not None:
            self._ended(now, used)

    def _ended(self, now: float, used: Used | None) -> None:
        """Learn from an answer, if it says what it used."""
        pending, self.pending = self.pending, None
        if pending is None:
            return
        expected, (prompt, (_, n)) = self._scope.expected, self._counted or self._count()
        expected.end(pending, n, now, None if used is None else used.completion)
        if used is not None and used.prompt:
            expected.asked(prompt, used.prompt)

    def estimated(self, completion: ChatCompletion) -> Usage:
        """Return what a stream that was left has used, as far as it can be told from the text."""
        prompt = self.prompt.tokens
        texts = (choice.message for choice in completion.choices if choice.message is not None)
        output = sum(tokens_of(message.text + (message.reasoning_content or "")) for message in texts)
        return Usage(prompt_tokens=prompt, completion_tokens=output, total_tokens=prompt + output)


class AccountOfRun(Account):
    """What one call of a run takes from the run's own budget, beside that of the client.

    Args:
        run: the spending of the run, which has a budget.
        run_price: of the model, where that budget is in money.
        account: as of any call.

    """

    __slots__ = ("_of_run", "_run", "_run_price")

    def __init__(self, run: Spending, run_price: Price | None, *account: Any) -> None:
        super().__init__(*account)
        self._run = run
        self._run_price = run_price
        self._of_run: Reserved | None = None

    def goes_out(self, gate: Gate, permit: Permit) -> None:
        """Reserve what a request needs in both budgets.

        Raises:
            BudgetExceeded: one of them has no room now; nothing is taken from the other.
            OSError: it cannot be written down.

        """
        run = self._run
        try:
            self._of_run = run.admit(self._possible(run, self._run_price) if run.is_reserving else _NOTHING)
        except BaseException:
            gate.give_back(permit)
            self.cancel()  # what room() has found
            raise
        try:
            super().goes_out(gate, permit)
        except BaseException:
            run.unsent(self._of_run)
            raise
        if run.is_reserving and self.pending is None:
            self.pending = self._scope.expected.begin(self.bounds[0], permit.at)

    def refused(self, now: float, *, sent: bool, unbilled: bool) -> None:
        """Take in that a request is not billed: neither budget has less for it."""
        if sent:
            self._run.refused(self._of_run)
        else:
            self._run.unsent(self._of_run)
        super().refused(now, sent=sent, unbilled=unbilled)

    def unknown(self, now: float, *, answered: bool = False) -> None:
        """Count what was reserved as spent, in both."""
        self._run.unknown(self._of_run, _NOTHING)
        super().unknown(now, answered=answered)

    def answered(self, now: float, used: Used | None) -> None:
        """Put what an answer says that it used in place of what was reserved, in both; None: it does not say it."""
        if used is not None:
            self._run.reported(self._of_run, self._model or "", used)
        super().answered(now, used)


def limits_of(request: ChatRequest | None) -> tuple[int | None, int]:
    """Return the longest answer that a request allows, None if it does not say, and how many it asks for."""
    if request is None:
        return 0, 1
    given: Mapping[str, Any] = request.extra_body or {}  # its fields win
    if not given and request.max_completion_tokens is None and request.n is None:
        return request.max_tokens, 1
    n = given.get("n", request.n)
    named = (given.get(name, getattr(request, name)) for name in ("max_completion_tokens", "max_tokens"))
    # Which of the two counts differs by model.
    longest = max((value for value in named if isinstance(value, int)), default=None)
    return longest, n if isinstance(n, int) and n > 0 else 1

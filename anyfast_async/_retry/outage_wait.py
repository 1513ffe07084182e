"""How a row of a map waits for a gateway that is away, and hears whose fault its failure is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from anyfast_async._core.retry.outage import ALONE, Company, Resends

if TYPE_CHECKING:
    from anyfast_async._call.call import Call
    from anyfast_async._limits.scope import Permit
    from anyfast_async.errors import AnyFastError

LOOK_AGAIN: Final = 0.1
"""Seconds after which a row that waits to hear whose fault its failure is looks again; at most one does in a scope."""


class OutageWait:
    """What a patient *call* has met of outages."""

    def __init__(self, call: Call[Any]) -> None:
        self._call = call
        self.company: Company = ALONE
        """How the others of the scope fared, when it last failed."""
        self.doubt: tuple[AnyFastError, Resends] | None = None
        """What it is to fail with if it turns out to be its own fault, and what it has met."""
        self.probing = False
        """Whether the attempt is one that tries whether the gateway is back."""

    def failed(self, *, reached: bool, rand: float) -> None:
        """Take in that an attempt failed as attempts do when the gateway is away."""
        call = self._call
        call.shared.gate.failed(call.scope, call, reached=reached, longest=call.policy.backoff[1], rand=rand)
        self.company = call.scope.outage.company(probe=self.probing)

    async def admitted(self, permit: Permit | None) -> Permit:
        """Wait while the gateway is away, unless it is this row's turn to try; *permit* is one that it has already."""
        call = self._call
        gate, scope, loop = call.shared.gate, call.scope, asyncio.get_running_loop()
        longest, patience = call.policy.backoff[1], call.policy.outage_patience
        while True:
            if permit is not None:
                if scope.outage.since is None or loop.time() - scope.outage.since >= patience:
                    return permit
                if scope.outage.take(loop.time(), call, longest):
                    self.probing = True
                    return permit
                gate.give_back(permit)
            self.probing = await gate.hold_off(scope, call, sent=call.sent, longest=longest, patience=patience)
            permit = await call.admitted(loop.time())
            if self.probing:
                return permit

    def is_open(self, error: AnyFastError, met: Resends) -> bool:
        """Return whether only others can show that *error*, after which it is not sent again, is this row's own.

        Then it waits for what becomes of them: so the first of an outage are not lost. *met* is what it has met so far.
        """
        may_be = self._call.policy.attempts > 1 and error.retry_class in ("ambiguous", "cut")
        if may_be and self._undecided():
            self.doubt = error, met
            return True
        return False

    async def heard(self) -> None:
        """Wait until others have shown whose fault the failure was that is in doubt, if one is.

        Raises:
            AnyFastError: it is this row's own.

        """
        if self.doubt is None:
            return
        (error, met), self.doubt = self.doubt, None
        while self._undecided():
            await self._call.shared.gate.news(self._call.scope, LOOK_AGAIN)
        if not met.allow(self.company.outages):
            error.retry_class = "never"
            raise error

    def _undecided(self) -> bool:
        call, outage = self._call, self._call.scope.outage
        if outage.since is not None or outage.stretch != self.company.stretch:
            return False
        return any(one is not call and getattr(one, "scope", None) is call.scope for one in call.shared.in_flight)

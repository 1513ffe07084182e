"""What a client that shares its limits has beside its gate: the store, and one asker for each scope."""

from __future__ import annotations

import asyncio
import os
import secrets
import warnings
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyfast_async._core.limits.shared_balance import SharedBalance
from anyfast_async._limits.shared_asking import Asking, Store
from anyfast_async._limits.shared_scope import SharedScope
from anyfast_async._values.store_url import StoreURL
from anyfast_async.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from anyfast_async._limits.gate import Gate
    from anyfast_async.policies import Limits

AT_FIRST: Final = 0.1
"""Share of the limits for a client that has never reached its store."""
ADVICE: Final = {
    "local_share": "calls go on with {share:.0%} of the limits until it is back",
    "wait": "calls wait until it is back",
    "fail": "calls fail until it is back",
}

_NO_NAME: Final = (
    "Limits(store=...) counts for each key, and a function as api_key does not say which of them it is: two processes "
    "may have the same key from two functions, or other keys from the same one. Pass the key itself, or a pathlib.Path "
    "of a file that holds it (its absolute path is what processes have in common, whatever key stands there)"
)


def store_of(store: object) -> Store:
    """Return the store that a setting names; nothing is opened yet."""
    if isinstance(store, StoreURL) and store.startswith("sqlite://"):
        path = "/" + store.whole().removeprefix("sqlite://").lstrip("/")
        store = Path(path[1:] if path[2:3] == ":" else path)  # with a drive, on Windows
    if isinstance(store, Path):
        from anyfast_async._limits.store_file import FileStore  # noqa: PLC0415 - only who has one pays for it

        return FileStore(store)
    if isinstance(store, StoreURL):
        from anyfast_async._limits.store_valkey import ValkeyStore  # noqa: PLC0415 - redis-py is an extra

        return ValkeyStore(store)
    return store  # type: ignore[return-value]  # Limits has looked whether it can do what a store does


def name_of(origin_key_model: Hashable) -> str:
    """Return what a scope is called in a store: the same in every process, and telling nobody anything.

    Raises:
        ConfigurationError: the key comes from a function, which is no name that processes have in common.

    """
    parts = origin_key_model if isinstance(origin_key_model, tuple) else (origin_key_model,)
    digest = sha256(b"anyfast-async limits 1")
    for part in parts:
        if callable(part):
            raise ConfigurationError(_NO_NAME)
        text = str(part.absolute()) if isinstance(part, Path) else str(part)
        piece = part if isinstance(part, bytes) else text.encode("utf-8", "surrogatepass")
        digest.update(len(piece).to_bytes(4) + piece)
    return digest.hexdigest()[:32]


class Sharing:
    """The shared part of a gate's limits."""

    def __init__(self, limits: Limits, gate: Gate) -> None:
        self._limits = limits
        self._gate = gate
        self._store: Store = store_of(limits.store)
        self._askings: list[Asking] = []
        self._scopes: dict[str, SharedScope] = {}
        self._said = False
        self._process = os.getpid()

    def scope(self, origin_key_model: Hashable) -> SharedScope:
        """Return a new scope."""
        limits, name = self._limits, name_of(origin_key_model)
        balance = SharedBalance(
            limits.requests_per_minute, limits.tokens_per_minute, limits.most_in_flight, secrets.token_hex(8)
        )
        scope = self._scopes[name] = SharedScope.sharing(balance)
        self._ask_for(name, scope)
        return scope

    def _ask_for(self, name: str, scope: SharedScope) -> None:
        limits = self._limits
        asking = Asking(
            self._store,
            name,
            scope,
            lambda: self._gate.look(scope),
            limits.on_store_error,
            (limits.local_share, AT_FIRST),
            self._report,
            lambda error: self._refuse(scope, error),
        )
        self._askings.append(asking)

    def _report(self, error: Exception | None, balance: SharedBalance) -> None:
        """Say once that the store is away, and that it is back."""
        if error is None or self._said:
            return
        self._said = True
        what = ADVICE[self._limits.on_store_error].format(share=balance.share)
        where = f" {self._limits.store}" if isinstance(self._limits.store, StoreURL | Path) else ""
        why = str(error) or "it does not answer"
        message = f"the store of limits{where} is away ({why}); {what}. Limits(on_store_error=...) chooses"
        # Where warnings are errors, the error must not end what asks the store.
        asyncio.get_running_loop().call_soon(warnings.warn, message, RuntimeWarning, 2)

    def _refuse(self, scope: SharedScope, error: Exception | None) -> None:
        """End the calls that wait in *scope*, each with an error of its own."""
        waiting = [waiter for line in scope.lines for waiter in line.waiters if not waiter.granted.done()]
        for waiter in waiting:
            waiter.granted.set_exception(StoreError(f"the store of limits is away: {str(error) or 'no answer'}"))
        self._gate.queued -= len(waiting)
        self._gate.counted -= sum(waiter.counts for waiter in waiting)
        scope.send_away()

    def begin_anew(self) -> None:
        """Go on in another loop, or in a child process under other names."""
        for asking in self._askings:
            asking.end()
        self._askings.clear()
        is_child, self._process = self._process != os.getpid(), os.getpid()
        for name, scope in self._scopes.items():
            scope.balance.begin_anew(secrets.token_hex(8) if is_child else None)
            self._ask_for(name, scope)

    async def aclose(self) -> None:
        """Give everything back, and let go of the store."""
        await asyncio.gather(*(asking.aclose() for asking in self._askings))
        await self._store.aclose()

"""The address of a store of limits, which may hold a password: whoever shows it, shows none."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

SCHEMES: Final = ("valkey", "valkeys", "redis", "rediss", "unix", "sqlite")
_PASSWORD: Final = re.compile(r"(?<=:)[^/@?#]*(?=@)")
_IN_QUERY: Final = re.compile(r"(?i)((?:password|username)=)[^&#]*")


class StoreURL(str):
    """A URL that is shown without its password; :meth:`whole` has it."""

    __slots__ = ()

    def whole(self) -> str:
        """Return it as it was given."""
        return str.__str__(self)

    def __str__(self) -> str:
        scheme, slashes, rest = self.whole().partition("://")
        # A password may hold what ends an address elsewhere, so the last "@" counts.
        account, at, place = rest.rpartition("@")
        if at:
            name, colon, _ = account.partition(":")
            account = f"{name}{colon}***" if colon else "***"
        return _IN_QUERY.sub(r"\1***", scheme + slashes + account + at + place)

    def __repr__(self) -> str:
        return repr(str(self))

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def problem_with(url: str) -> str | None:
    """Return what is wrong with the address of a store, in words that hold no password; None: nothing."""
    scheme, slashes, rest = url.partition("://")
    if not slashes or scheme not in SCHEMES:
        return f"must be an address that begins with one of {', '.join(f'{one}://' for one in SCHEMES)}"
    if scheme in {"unix", "sqlite"}:
        return None if rest.strip("/") else "must be an address with a path"
    try:
        parts = urlsplit(url)
        found, database = parts.hostname and parts.port != 0, parts.path.strip("/")
    except ValueError:
        return "must be an address with a host and a port that is a number"
    if "@" in database:  # redis-py would send what is before the first "/" as a password, to a host of that name
        return "must be an address whose password is encoded: %2F for /, %3F for ?, %23 for #"
    if database and not (database.isascii() and database.isdigit()):  # redis-py would take number 0
        return "must be an address whose path is the number of a database, as in redis://host:6379/0"
    return None if found else "must be an address with a host"

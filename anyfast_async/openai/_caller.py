"""What makes the calls of one client: the shared connections, and this client's own settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from anyfast_async import errors
from anyfast_async._call.endpoint import Endpoint
from anyfast_async.client import AnyFast
from anyfast_async.openai._errors import ConfigurationError
from anyfast_async.openai._line import Lifetime, Line
from anyfast_async.openai._options import NOT_GIVEN, TimeoutLike, given, headers_over, query_of, timeouts_of
from anyfast_async.policies import RetryPolicy, Timeouts

BACKOFF: Final = (0.5, 8.0)
"""First and longest wait between attempts in seconds, as in the vendor SDK."""


@attrs.frozen
class Settings:
    """What one client sends and how it waits, beside key and address."""

    timeout: float | TimeoutLike | Timeouts | None
    max_retries: int
    headers: Mapping[str, Any]
    query: Mapping[str, Any]

    def policies(self) -> dict[str, Any]:
        """Return the arguments for it that ``AnyFast`` and ``AnyFast.with_options`` take.

        Raises:
            ConfigurationError: the timeout cannot be.

        """
        return {
            "retry": RetryPolicy(attempts=self.max_retries + 1, backoff=BACKOFF),
            "timeouts": timeouts_of(self.timeout),
        }


@attrs.frozen
class Caller:
    """Makes lines, one for each call."""

    lifetime: Lifetime
    client: AnyFast
    """With this client's key and address. It is made once, because the limits are kept by key."""
    settings: Settings

    def line(self, endpoint: Endpoint[Any], options: Mapping[str, Any]) -> Line:
        """Return what makes one call with its own headers, query and timeout.

        Raises:
            ConfigurationError: a header or timeout that cannot be.

        """
        timeout = options.get("timeout", NOT_GIVEN)
        changes: dict[str, Any] = {"headers": headers_over(self.settings.headers, options.get("extra_headers"))}
        if given(timeout):
            changes["timeouts"] = timeouts_of(timeout)
        query = query_of(self.settings.query, options.get("extra_query"))
        try:
            return Line.of(self.client, endpoint, query, **changes)
        except errors.ConfigurationError as error:
            raise advised(error) from error


def advised(error: errors.ConfigurationError) -> ConfigurationError:
    """Return *error* as one that the vendor SDK's programs can catch."""
    message = str(error)
    if message.startswith("no key"):
        message += ". OPENAI_API_KEY is not read: a key of another vendor must not reach this gateway"
    return ConfigurationError(message)

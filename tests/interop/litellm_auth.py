"""Who may use the LiteLLM proxy of the tests: the proxy imports this file, and nothing else does.

Without it, and without a database, a wrong key would be answered with a server error.
"""

from __future__ import annotations

from litellm.proxy._types import ProxyException, UserAPIKeyAuth  # type: ignore[import-not-found]


async def check_key(request: object, api_key: str) -> UserAPIKeyAuth:
    """Let the key of the tests in."""
    if api_key.removeprefix("Bearer ") != "sk-interop":
        raise ProxyException(message="Unknown key", type="invalid_request_error", param=None, code=401)
    return UserAPIKeyAuth(api_key="sk-interop", user_role="proxy_admin")

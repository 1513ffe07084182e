"""The context for TLS where the user has none."""

from __future__ import annotations

import functools
import ssl


@functools.cache
def default_context() -> ssl.SSLContext:
    """Return the context for TLS where the user has none: the system's authorities, and TLS from 1.2 on.

    ``ssl.create_default_context`` leaves the version to how Python and OpenSSL were built, and some distributions
    build them to take 1.0.
    """
    context = ssl.create_default_context()
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.set_alpn_protocols(("http/1.1",))
    return context

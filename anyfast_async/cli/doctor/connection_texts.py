"""What each finding about the way to a gateway is called, what it means, and what to do. Words only."""

from __future__ import annotations

from typing import Final

from anyfast_async.cli.doctor.answer_texts import NOTHING, Words

_UNBUFFER: Final = {
    "nginx": "nginx: proxy_buffering off; in its location, or let the gateway send X-Accel-Buffering: no, and do not "
    "ignore that header.",
    "HAProxy": "HAProxy: option http-no-delay; without it small pieces wait up to 0.2 s for more. No compression of "
    "text/event-stream.",
    "Caddy": "Caddy: flush_interval -1 in its reverse_proxy, and no encode for text/event-stream.",
    "Apache": "Apache: flushpackets=on at its ProxyPass, and no mod_deflate for text/event-stream.",
    "Cloudflare": "Cloudflare: no compression or transformation of text/event-stream; a Worker must pass the body on.",
}
_ANY: Final = "Switch off the buffering of responses, and compression of text/event-stream, in every proxy on the way."


def unbuffer(proxies: list[str]) -> str:
    """Return how to have streams passed on at once."""
    named = [_UNBUFFER[name] for name in proxies if name in _UNBUFFER]
    return " ".join(named) if named else _ANY


def _ok(title: str, meaning: str = "", advice: str = NOTHING) -> Words:
    return Words("ok", title, meaning, advice)


CONNECTIONS: Final[dict[str, Words]] = {
    # the address
    "wrong-address": Words(
        "problem",
        "no gateway answers at this address",
        "What came is neither a completion nor an error of a gateway, so nothing else can be told.",
        "Set --base-url or ANYFAST_BASE_URL to the gateway's address; most end in /v1. Redirects are not followed, "
        "because the key must not go there: set the address that they lead to, if it is the gateway's.",
    ),
    # models and key
    "models": _ok("models are listed"),
    "models-missing": Words("note", "there is no list of models", "anyfast models cannot show any.", NOTHING),
    "model-unlisted": Words("note", "the model is not on the list of models", "It may be refused, or be another one."),
    "key-accepted": _ok("the key is taken"),
    "no-key": _ok("no key is sent"),
    "wrong-key-refused": _ok("a wrong key is refused"),
    "wrong-key-odd": Words(
        "note", "a wrong key is refused with an unusual status", "Programs that look for 401 do not see it.", NOTHING
    ),
    "wrong-key-taken": Words(
        "note",
        "a wrong key is not refused, or not before the model is looked up",
        "Whoever reaches this address may be able to use it.",
        "If it is not meant to be open, ask for a key in the gateway.",
    ),
    # streaming
    "streaming-live": _ok("streams are live", "Words arrives as it is made."),
    "streaming-buffered": Words(
        "problem",
        "streams are buffered: all of the text comes at the end",
        "Users look at nothing until the answer is complete.",
        _ANY,
    ),
    "streaming-in-lumps": Words(
        "warning",
        "streams are buffered: text comes in lumps",
        "A buffer on the way is filled before it is sent on.",
        _ANY,
    ),
    "streaming-unknown": Words(
        "note",
        "whether streams are live cannot be told: the answer came too quickly",
        "A longer answer, or a slower model, would tell.",
        "Try another model with -m.",
    ),
    "first-token": _ok("time to the first token"),
    "usage": _ok("usage comes with answers"),
    "done": _ok("streams end in [DONE]"),
    "finish-reason": _ok("streams end with a finish_reason"),
    "cuts-tell": _ok("a stream that breaks off can be told"),
    "cuts-tell-by-reason": Words(
        "warning",
        "where a stream breaks off, the connection does not tell",
        "The end of the connection ends the stream, as in HTTP/1.0: only finish_reason tells, and this client looks.",
        "nginx: proxy_http_version 1.1; otherwise ask for HTTP/1.1 on every hop.",
    ),
    "tool-calls": _ok("tools are called"),
    # the way
    "proxy": _ok("on the way"),
    "no-proxy": _ok("no proxy shows itself on the way"),
    "leaving-seen": _ok(
        "a caller who leaves before the answer is noticed", "The request ends there, at this hop at least."
    ),
    "leaving-unseen": Words(
        "warning",
        "a caller who leaves before the answer is not noticed",
        "Answers that nobody waits for any more are made to their end, and billed.",
        "HAProxy: option abortonclose in its defaults; nginx: proxy_ignore_client_abort off; else see the gateway.",
    ),
    "limit-headers": _ok("rate limits are told in headers"),
    "no-limit-headers": Words(
        "note",
        "no headers tell of rate limits",
        "This client learns them from refusals.",
        "Set Limits(requests_per_minute=, tokens_per_minute=) if you know them.",
    ),
    "header-size-ok": _ok("heads of requests may be large"),
    "header-limit": Words(
        "note",
        "the heads of requests have a limit",
        "Long headers (trace baggage, cookies) are refused.",
        "nginx: large_client_header_buffers; HAProxy: tune.bufsize.",
    ),
    "body-size-ok": _ok("bodies of requests may be large"),
    "body-limit": Words(
        "warning",
        "the bodies of requests have a low limit",
        "Pictures, files and long histories are refused.",
        "nginx: client_max_body_size 64m; Caddy: request_body max_size; or the gateway's own limit.",
    ),
    # refusals
    "wrong-model-refused": _ok("an unknown model is refused"),
    "wrong-model-503": Words(
        "note",
        "an unknown model is refused with 503",
        "Other clients try again and again; this one knows it for what it is.",
        NOTHING,
    ),
    "wrong-model-answered": Words(
        "warning",
        "an unknown model is answered",
        "Another model answers in its place, perhaps at another price.",
        "Compare .model of answers with what was asked for.",
    ),
    "wrong-field-refused": _ok("a field of a wrong type is refused"),
    "wrong-field-500": Words(
        "note",
        "a field of a wrong type is refused with a server error",
        "Other clients send it again and again; this one knows it for what it is.",
        NOTHING,
    ),
    "wrong-field-ignored": Words(
        "note", "a field of a wrong type is not refused", "Mistakes in requests may go unseen.", NOTHING
    ),
    "error-shape-usual": _ok("errors have the usual shape"),
    "error-shape-odd": Words("note", "errors have a shape of their own"),
}
"""By name."""

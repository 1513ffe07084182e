"""Live, buffered or in lumps; who is on the way; limits and refusals: told from times, headers and pages alone."""

from __future__ import annotations

from typing import Any

import pytest

from anyfast_async.cli.doctor.connection_checks import (
    Found,
    cut_detection,
    first_token,
    leaving,
    limit_headers,
    proxies,
    refusals,
    shown_size,
    sizes,
    streaming,
)
from anyfast_async.cli.doctor.connection_texts import unbuffer
from anyfast_async.cli.doctor.observations import Limit, Observations, RawAnswer

EVENT = b'data: {"id": "a", "choices": [{"index": 0, "delta": {"content": "word "}}]}\n\n'
END = b'data: {"id": "a", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
CHUNKED = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}


def stream(*times: float, headers: dict[str, str] | None = None) -> RawAnswer:
    """A stream whose events arrived at these times."""
    pieces = tuple((at, EVENT) for at in times)
    return RawAnswer(status=200, headers=headers or CHUNKED, pieces=(*pieces, (times[-1], END)), ended_at=times[-1])


def seen(**facts: Any) -> Observations:
    usual: dict[str, Any] = {"models": RawAnswer(status=200), "answers": {}, "refusals": {}}
    return Observations(**(usual | facts))


def name_of(found: Found | None) -> str:
    return "" if found is None else found.name


@pytest.mark.parametrize(
    ("times", "name"),
    [
        ([0.3 + number * 0.02 for number in range(50)], "streaming-live"),
        ([0.3 + number * 0.3 for number in range(7)], "streaming-live"),
        ([2.0 + number * 0.0001 for number in range(50)], "streaming-buffered"),
        ([3.0] * 30, "streaming-buffered"),
        ([9.0 + number * 0.006 for number in range(30)], "streaming-live"),  # it had thought first
        ([0.4] * 30, "streaming-unknown"),  # a mock
        ([0.3 + number // 10 * 0.25 for number in range(50)], "streaming-in-lumps"),
        ([0.01 + number * 0.001 for number in range(50)], "streaming-unknown"),
        ([1.0, 2.0], "streaming-unknown"),
    ],
)
def test_streaming(times: list[float], name: str) -> None:
    """What comes as it is made is live; what comes at the end, or many events at once, was held back on the way."""
    assert name == name_of(streaming(stream(*times)))


def test_by_how_much() -> None:
    """It is said how long there was silence, how late text is, and when the first token came."""
    assert "after 2 s of silence" in str(streaming(stream(*[2.0 + n * 0.0001 for n in range(50)])))
    assert "text is up to 250 ms late" in str(streaming(stream(*[0.3 + n // 10 * 0.25 for n in range(50)])))
    assert "300 ms, the whole in 1.28 s" == getattr(
        first_token(stream(*[0.3 + n * 0.02 for n in range(50)])), "detail", ""
    )
    assert streaming(RawAnswer(status=500)) is None


@pytest.mark.parametrize(
    ("headers", "page", "named"),
    [
        ({"server": "nginx/1.22.1"}, b"", "nginx"),
        ({}, b"<hr><center>nginx/1.22.1</center>", "nginx"),
        ({}, b"<h1>400 Bad request</h1>\nYour browser sent an invalid request.\n</body></html>", "HAProxy"),
        ({"server": "Caddy, uvicorn"}, b"", "Caddy"),
        ({"via": "1.1 Caddy"}, b"", "Caddy"),
        ({"server": "cloudflare", "cf-ray": "8"}, b"", "Cloudflare"),
        ({"server": "envoy"}, b"", "Envoy"),
        ({"server": "awselb/2.0"}, b"", "AWS load balancer"),
        ({}, b"Your browser sent a request that this server could not understand.", "Apache"),
    ],
)
def test_proxies(headers: dict[str, str], page: bytes, named: str) -> None:
    """A proxy is known by its headers, or by its page for what is no HTTP."""
    told = proxies(seen(refusals={"malformed": RawAnswer(status=400, headers=headers, pieces=((0.0, page),))}))

    assert ("proxy", named) == (told.name, told.detail)


def test_gateways_are_no_proxies() -> None:
    """What the gateway itself sends names the gateway."""
    told = proxies(seen(models=RawAnswer(status=200, headers={"x-litellm-version": "1", "server": "uvicorn"})))

    assert ("no-proxy", "the gateway: LiteLLM") == (told.name, told.detail)


def test_advice_names_the_proxy() -> None:
    """How to have streams passed on at once is said for the proxy that is there."""
    assert "proxy_buffering off" in unbuffer(["nginx"])
    assert "X-Accel-Buffering: no" in unbuffer(["nginx"])
    assert "http-no-delay" in unbuffer(["HAProxy"])
    assert "every proxy on the way" in unbuffer(["something"])


def test_limits() -> None:
    """Headers of rate limits, and sizes that pass or do not, are told with their numbers."""
    told = limit_headers(
        seen(models=RawAnswer(status=200, headers={"x-ratelimit-limit-requests": "60", "x-other": "1"}))
    )
    assert ("limit-headers", "x-ratelimit-limit-requests: 60") == (told.name, told.detail)
    assert "no-limit-headers" == limit_headers(seen()).name
    body = Limit(taken=512 * 1024, refused=1536 * 1024, status=413, asked=(1,))
    found = list(sizes(seen(header_limit=Limit(taken=61440, asked=(1,)), body_limit=body)))
    assert [
        Found("header-size-ok", "60 KiB and more"),
        Found("body-limit", "512 KiB pass, 1.5 MiB: refused with 413"),
    ] == found
    assert ["100 bytes", "1 KiB", "8 MiB"] == [shown_size(size) for size in (100, 1024, 8 * 1024 * 1024)]


def test_refusals() -> None:
    """What is refused, and with which status; a wrong key that makes no difference was not looked at."""
    error = b'{"error": {"message": "no"}}'

    def names(**statuses: int) -> list[str]:
        answers = {name: RawAnswer(status=status, pieces=((0.0, error),)) for name, status in statuses.items()}
        return [one.name for one in refusals(answers)]

    assert ["wrong-key-refused", "wrong-model-503", "wrong-field-500", "error-shape-usual"] == names(
        wrong_key=401, wrong_model=503, wrong_field=500
    )
    assert ["wrong-key-taken", "wrong-model-refused", "wrong-field-refused", "error-shape-usual"] == names(
        wrong_key=404, wrong_model=404, wrong_field=400
    )
    assert ["wrong-key-odd", "wrong-model-answered", "wrong-field-ignored"] == names(
        wrong_key=500, wrong_model=200, wrong_field=200
    )[:3]
    page = RawAnswer(status=502, pieces=((0.0, b"<html>"),))
    assert [Found("error-shape-odd", "html-error")] == list(refusals({"wrong_path": page}))


def test_leaving_and_cuts() -> None:
    """Whether leaving is noticed, and whether a cut could be told."""
    assert "" == name_of(leaving(seen()))
    assert "leaving-unseen" == name_of(leaving(seen(left_tried=True)))
    assert "leaving-seen" == name_of(leaving(seen(left_tried=True, left=0.01)))
    assert "cuts-tell" == name_of(cut_detection(stream(0.1)))
    until_close = {"content-type": "text/event-stream"}
    assert "cuts-tell-by-reason" == name_of(cut_detection(stream(0.1, headers=until_close)))

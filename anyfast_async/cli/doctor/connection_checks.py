"""What the way to a gateway does: proxies on it, live or buffered streams, limits, refusals, leaving early. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

import attrs

from anyfast_async._values.text import escaped, measured
from anyfast_async.cli.doctor.answer_checks import chunks_of, text_of
from anyfast_async.cli.doctor.error_shapes import answer_error
from anyfast_async.cli.doctor.observations import Observations, RawAnswer, events_of


@attrs.frozen
class Found:
    """The name of a finding, and the details of this time."""

    name: str
    detail: str = ""


# -- live or buffered ------------------------------------------------------------------------------------------------

TELLING: Final = 1.0
"""Seconds that an answer must take for its coming at once to tell anything: mocks answer at once."""
_TOGETHER: Final = 0.005
"""What comes within so many seconds came at once."""
_HELD: Final = 0.02
"""A stream whose text comes within this share of its time was held back. A model that thinks first is slower."""
_LUMP: Final = 4.0
"""So many events at once, on the average, are lumps: a buffer on the way is filled, then emptied."""
_FEW: Final = 6


def _arrivals(seen: RawAnswer) -> list[float]:
    """When each event with content was there."""
    found = []
    for event in events_of(seen):
        for delta in chunks_of([event]).deltas():
            if text_of(delta) or delta.get("reasoning_content") or delta.get("reasoning"):
                found.append(event.at)
                break
    return found


def streaming(seen: RawAnswer) -> Found | None:
    """Tell whether a stream came as it was made, and by how much it was held back; None if it has no content."""
    times = _arrivals(seen) if seen.ok and seen.is_stream else []
    if not times:
        return None
    total, spread = times[-1], times[-1] - times[0]
    events = len(times)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    bursts = 1 + sum(gap > _TOGETHER for gap in gaps)
    together = events / bursts
    if events >= _FEW and together < _LUMP:
        return Found("streaming-live", f"{events} events in {bursts} pieces over {measured(spread)}")
    if events < _FEW or total < TELLING:
        return Found("streaming-unknown", f"{events} events within {measured(total)}")
    if spread < _HELD * total or bursts == 1:
        detail = f"all {events} events came within {measured(spread)}, after {measured(times[0])} of silence"
        return Found("streaming-buffered", detail)
    size = len(seen.body) // bursts
    lumps = f"{events} events in {bursts} lumps of about {size} bytes; text is up to {measured(max(gaps))} late"
    return Found("streaming-in-lumps", lumps)


def first_token(seen: RawAnswer) -> Found | None:
    """Tell how long the first token took."""
    times = _arrivals(seen) if seen.ok and seen.is_stream else []
    return Found("first-token", f"{measured(times[0])}, the whole in {measured(seen.ended_at)}") if times else None


# -- who is on the way -----------------------------------------------------------------------------------------------

_BY_HEADER: Final = (
    ("server", re.compile(r"(?i)^cloudflare"), "Cloudflare"),
    ("cf-ray", re.compile(r"."), "Cloudflare"),
    ("server", re.compile(r"(?i)^openresty|^nginx|^tengine"), "nginx"),
    ("via", re.compile(r"(?i)\bcaddy"), "Caddy"),
    ("server", re.compile(r"(?i)^caddy"), "Caddy"),
    ("server", re.compile(r"(?i)^apache"), "Apache"),
    ("server", re.compile(r"(?i)^awselb"), "AWS load balancer"),
    ("server", re.compile(r"(?i)^envoy"), "Envoy"),
    ("x-envoy-upstream-service-time", re.compile(r"."), "Envoy"),
    ("via", re.compile(r"(?i)varnish"), "Varnish"),
    ("via", re.compile(r"(?i)google"), "Google front end"),
    ("x-litellm-version", re.compile(r"."), "LiteLLM"),
    ("x-litellm-call-id", re.compile(r"."), "LiteLLM"),
    ("x-kong-proxy-latency", re.compile(r"."), "Kong"),
    ("x-oneapi-request-id", re.compile(r"."), "new-api"),
    ("server", re.compile(r"(?i)^anyfast-simulator"), "AnyFast simulator"),
)
_BY_PAGE: Final = (
    (re.compile(rb"<center>(nginx|openresty)"), "nginx"),
    (re.compile(rb"Your browser sent an invalid request\.\s*</body>"), "HAProxy"),
    (re.compile(rb"(?i)<address>Apache"), "Apache"),
    (re.compile(rb"Your browser sent a request that this server could not understand"), "Apache"),
    (re.compile(rb"(?i)<center>cloudflare"), "Cloudflare"),
)
_GO: Final = re.compile(rb"400 Bad Request(: |$)")
_BEHIND: Final = frozenset({"new-api", "LiteLLM", "AnyFast simulator"})


def on_the_way(seen: Observations) -> list[str]:
    """Return who answers before the gateway, nearest first as far as that can be told, and then the gateway."""
    names: list[str] = []
    first = seen.refusals.get("malformed")
    names += [name for pattern, name in _BY_PAGE if first is not None and pattern.search(first.body)]
    for one in (first, *seen.all()):
        if one is not None:
            names += [name for header, pattern, name in _BY_HEADER if pattern.search(one.headers.get(header, ""))]
            names += [name for pattern, name in _BY_PAGE if pattern.search(one.body[:4096])]
    names = list(dict.fromkeys(names))
    return [*(name for name in names if name not in _BEHIND), *(name for name in names if name in _BEHIND)]


_NOT_THERE: Final = (404, 405, 501)
"""What servers say of an address that they do not know, or of a method there."""


def wrong_address(seen: Observations) -> Found | None:
    """Return that no gateway is there, if no answer is a completion, a list, or an error of one."""
    answers = [seen.models, *seen.answers.values()]
    if seen.models.status is None or not all(map(_is_of_another, answers)):
        return None
    target = next((one.headers["location"] for one in answers if "location" in one.headers), None)
    statuses = ", ".join(sorted({str(one.status) for one in answers}))
    return Found("wrong-address", f"status {statuses}" + (f", to {escaped(target, 120)}" if target else ""))


def _is_of_another(answer: RawAnswer) -> bool:
    if answer.status is None or not (answer.status < 400 or answer.status in _NOT_THERE):  # noqa: PLR2004
        return False
    value = answer.json()
    return not answer.is_stream and not (isinstance(value, dict) and {"choices", "data", "error"} & value.keys())


def proxies(seen: Observations) -> Found:
    """Name the proxies."""
    before = [name for name in on_the_way(seen) if name not in _BEHIND]
    behind = [name for name in on_the_way(seen) if name in _BEHIND]
    gateway = f"; the gateway: {', '.join(behind)}" if behind else ""
    if before:
        return Found("proxy", ", ".join(before) + gateway)
    first = seen.refusals.get("malformed")
    hint = "a server written in Go answers first" if first is not None and _GO.search(first.body) else ""
    return Found("no-proxy", (hint + gateway).removeprefix("; "))


# -- limits ----------------------------------------------------------------------------------------------------------

_LIMITS: Final = re.compile(r"(x-)?ratelimit-.+|.*retry-after.*")


def limit_headers(seen: Observations) -> Found:
    """Name the headers that tell of rate limits."""
    found = {name: one.headers[name] for one in seen.all() for name in one.headers if _LIMITS.fullmatch(name)}
    shown = ", ".join(f"{name}: {value}" for name, value in sorted(found.items())[:6])
    return Found("limit-headers", shown) if found else Found("no-limit-headers")


def sizes(seen: Observations) -> Iterator[Found]:
    """Tell how large heads and bodies of requests may be."""
    for name, limit in (("header", seen.header_limit), ("body", seen.body_limit)):
        if limit is None or not limit.asked:
            continue
        if limit.refused is None:
            yield Found(f"{name}-size-ok", f"{shown_size(limit.taken)} and more")
        else:
            status = "the connection is closed" if limit.status is None else f"refused with {limit.status}"
            yield Found(f"{name}-limit", f"{shown_size(limit.taken)} pass, {shown_size(limit.refused)}: {status}")


def shown_size(size: int) -> str:
    """Return a size in words."""
    for unit, name in ((1024 * 1024, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"


# -- refusals --------------------------------------------------------------------------------------------------------

_PLAIN: Final = frozenset({"error", "integer-code", "google-error", "nested-error"})
"""Names of errors that are an object with a message."""
_UNAVAILABLE: Final = 503
_SERVER: Final = 500


def refusals(seen: Mapping[str, RawAnswer]) -> Iterator[Found]:
    """Tell how the gateway refuses what it should."""
    answered = {name: one for name, one in seen.items() if name.startswith("wrong") and one.status is not None}
    for name, told in (("wrong_key", _wrong_key), ("wrong_model", _wrong_model), ("wrong_field", _wrong_field)):
        if name in answered:
            yield Found(told(answered), f"status {answered[name].status}")
    shapes = {answer_error(one) for one in answered.values() if not one.ok}
    odd = sorted(str(shape) for shape in shapes if shape not in _PLAIN)
    if answered:
        yield Found("error-shape-odd", ", ".join(odd)) if odd else Found("error-shape-usual")


def _wrong_key(answered: Mapping[str, RawAnswer]) -> str:
    """A wrong key comes with a model that does not exist: so nothing is generated if it is taken."""
    status, model = answered["wrong_key"].status, answered.get("wrong_model")
    if status in (401, 403):
        return "wrong-key-refused"
    taken = answered["wrong_key"].ok or (model is not None and model.status == status)
    return "wrong-key-taken" if taken else "wrong-key-odd"


def _wrong_model(answered: Mapping[str, RawAnswer]) -> str:
    one = answered["wrong_model"]
    if one.ok:
        return "wrong-model-answered"
    return "wrong-model-503" if one.status == _UNAVAILABLE else "wrong-model-refused"


def _wrong_field(answered: Mapping[str, RawAnswer]) -> str:
    one = answered["wrong_field"]
    if one.ok:
        return "wrong-field-ignored"
    return "wrong-field-500" if (one.status or 0) >= _SERVER else "wrong-field-refused"


def leaving(seen: Observations) -> Found | None:
    """Tell whether the other side stops when this one leaves."""
    if not seen.left_tried:
        return None
    return Found("leaving-unseen") if seen.left is None else Found("leaving-seen", f"after {measured(seen.left)}")


def cut_detection(seen: RawAnswer) -> Found | None:
    """Tell whether a stream that broke off could be told from one that is whole."""
    if not seen.ok or not seen.is_stream:
        return None
    events = events_of(seen)
    finished = any(one.get("finish_reason") for one in chunks_of(events).choices())
    framed = "chunked" in seen.headers.get("transfer-encoding", "") or "content-length" in seen.headers
    if finished and framed:
        return Found("cuts-tell", "chunked, and a finish_reason at the end")
    if finished:
        return Found("cuts-tell-by-reason", "the end of the connection ends the stream; finish_reason tells")
    return None

"""How long an error asks to wait, in every spelling that gateways, proxies and vendors have for it.

Sources: RFC 9110 10.2.3 (``Retry-After``), draft-ietf-httpapi-ratelimit-headers, openai-python ``_base_client.py``
(``retry-after-ms``), Azure (``x-ms-retry-after-ms``), OpenAI (``x-ratelimit-reset-*``), Anthropic
(``anthropic-ratelimit-*-reset``), OpenRouter (``X-RateLimit-Reset`` in milliseconds), google.rpc ``RetryInfo``,
Cloudflare (``retry_after``), and the sentences of all of them. The time is an argument.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

_YEAR: Final = 366 * 86400.0

_UNITS: Final = (
    (0.001, ("ms", "msec", "msecs", "millisecond", "milliseconds", "毫秒")),
    (1e-6, ("us", "µs", "μs", "microsecond", "microseconds")),
    (1e-9, ("ns", "nanosecond", "nanoseconds")),
    (1.0, ("s", "sec", "secs", "second", "seconds", "秒", "秒钟")),
    (60.0, ("m", "min", "mins", "minute", "minutes", "分", "分钟")),
    (3600.0, ("h", "hr", "hrs", "hour", "hours", "小时")),
    (86400.0, ("d", "day", "days", "天")),
)
_SCALE: Final = {name: scale for scale, names in _UNITS for name in names}
_UNIT: Final = "|".join(sorted(_SCALE, key=len, reverse=True))
_NUMBER: Final = r"(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,4})?"
_PART: Final = rf"[0-9]{{1,15}}(?:\.[0-9]{{1,15}})?[ ]?(?:{_UNIT})(?![a-z])"
_PART_OF_DURATION: Final = rf"(?i)([0-9]+(?:\.[0-9]+)?)[ ]?({_UNIT})(?![a-z])"
_SPAN: Final = rf"{_PART}(?:(?:,? and |, |,| )?{_PART}){{0,5}}"
_DURATION: Final = f"(?i){_SPAN}"
_DIGITS_RUN_ON: Final = rf"(?i)(?<=[0-9])({_UNIT})(?=[0-9])"
_WORDS: Final = (
    r"(?i)(?:retry|try again|again|wait(?: for)?|resets?|available|back|cool(?:ing)? ?down)[ ]?(?:again )?"
    rf"(?:in |after |for |within |at least |about |:)*({_SPAN})|({_SPAN})[ ]?(?:后|之后)[^。]{{0,8}}(?:重试|再试)"
)
_NAMED_SECONDS: Final = r"(?i)retry[-_ ]after(?:[\"']?[:=] ?| )[\"']?([0-9]{1,15}(?:\.[0-9]{1,9})?)(?![\w:-]|\.[0-9])"
_SEARCHED: Final = 8192
"""Characters of a message that are searched for words."""

# -- one value -------------------------------------------------------------------------------------------------------


def duration(text: str) -> float | None:
    """Return the seconds in a duration such as ``6m0s``, ``1h2m3.5s``, ``350ms``, ``1 minute and 5 seconds``.

    None if it is none.
    """
    spaced = re.sub(_DIGITS_RUN_ON, r"\1 ", text)
    if not re.fullmatch(_DURATION, spaced):
        return None
    parts = [(float(number), _SCALE[unit.lower()]) for number, unit in re.findall(_PART_OF_DURATION, spaced)]
    scales = [scale for _, scale in parts]
    if scales != sorted(set(scales), reverse=True):
        return None  # a list
    return sum(number * scale for number, scale in parts)


def _number(text: str) -> float | None:
    # float() would also take underscores, signs, "nan" and the digits of other scripts.
    value = float(text) if re.fullmatch(_NUMBER, text) else math.inf
    return value if math.isfinite(value) else None


def _moment(text: str) -> float | None:
    """Return the Unix time of a date as HTTP or ISO 8601 has it."""
    try:
        moment = datetime.fromisoformat(text) if text[:4].isdecimal() and "-" in text else parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _seconds(value: Any, now: float) -> float | None:
    """Return the seconds that a value of any spelling means: a number, a duration, a date, an epoch, a list of them."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return _until(float(value), now) if 0 <= value < math.inf else None
    if isinstance(value, Mapping):  # google.protobuf.Duration
        found = [_number(str(value.get(name, 0))) for name in ("seconds", "nanos")]
        return found[0] + found[1] / 1e9 if "seconds" in value and None not in found else None  # type: ignore[operator]
    if not isinstance(value, str):
        return None
    text = value.strip().strip('"').strip()
    if (number := _number(text)) is not None:
        return _until(number, now)
    if (length := duration(text)) is not None:
        return length
    if (moment := _moment(text)) is not None:
        return max(0.0, moment - now)
    return _longest(_seconds(part, now) for part in text.split(",")) if "," in text else None


def _until(number: float, now: float) -> float:
    """Return the seconds that a bare number means: nearly as large as *now* it is a date, a thousand times that too."""
    if number < now - _YEAR or now < _YEAR:
        return number
    return max(0.0, (number if number < 100 * now else number / 1000) - now)


def _milliseconds(value: Any, now: float) -> float | None:
    if isinstance(value, str) and "," in value:
        return _longest(_milliseconds(part, now) for part in value.split(","))
    number = _number(value.strip()) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < math.inf:
        return _seconds(value, now) if isinstance(value, str) else None
    return _until(number, now) if number >= 1000 * (now - _YEAR) > 0 else number / 1000


def _longest(found: Iterable[float | None]) -> float | None:
    return max((one for one in found if one is not None), default=None)


# -- headers ---------------------------------------------------------------------------------------------------------

_HEADERS: Final[tuple[tuple[str, Callable[[Any, float], float | None]], ...]] = (
    ("retry-after-ms", _milliseconds),
    ("x-ms-retry-after-ms", _milliseconds),
    ("retry-after", _seconds),
    ("llm_provider-retry-after", _seconds),  # LiteLLM renames what its upstream sent
    ("llm_provider-retry-after-ms", _milliseconds),
    ("x-retry-after", _seconds),
    ("x-retry-after-ms", _milliseconds),
)
_RESET: Final = r"(?:llm_provider-)?(?:x-|anthropic-)?rate-?limit-(?:[\w-]+-)?reset(?:-[\w-]+)?"
"""``x-ratelimit-reset``, ``x-ratelimit-reset-tokens``, ``anthropic-ratelimit-tokens-reset``, ``ratelimit-reset`` ..."""
_POLICY: Final = r"(?:^|[;, ])(?:t|reset)=([0-9]{1,15}(?:\.[0-9]{1,9})?)"
_POLICY_LEFT: Final = r"(?:^|[;, ])(?:r|remaining)=([0-9]{1,15})"


def _resets(headers: Mapping[str, str], now: float) -> float | None:
    """Return when the limit that is used up is filled again: the longest of those with nothing left, or the shortest.

    One that has something left is not what the refusal is about.
    """
    used_up, unknown = [], []

    def note(seconds: float, left: float | None) -> None:
        if left == 0:
            used_up.append(seconds)
        elif left is None:
            unknown.append(seconds)

    for name, value in headers.items():
        if "limit" not in name:
            continue
        if name in ("ratelimit", "x-ratelimit"):
            for policy in value.split(',"') if '"' in value else [value]:
                if (found := re.search(_POLICY, policy)) is not None:
                    left = re.search(_POLICY_LEFT, policy)
                    note(float(found[1]), None if left is None else float(left[1]))
        elif re.fullmatch(_RESET, name) is not None and (seconds := _seconds(value, now)) is not None:
            counted = name.replace("-reset-after", "-remaining").replace("-reset", "-remaining")
            note(seconds, _number(headers.get(counted, "").strip()))
    return max(used_up) if used_up else min(unknown, default=None)


# -- bodies ----------------------------------------------------------------------------------------------------------

_FIELDS: Final[Mapping[str, Callable[[Any, float], float | None]]] = {
    **dict.fromkeys(("retryafterms", "retryaftermilliseconds", "retryinms"), _milliseconds),
    **dict.fromkeys(
        (
            *("retryafter", "retryafterseconds", "retryaftersecs", "retryin", "retryinseconds", "retrydelay"),
            *("retrydelayseconds", "waitseconds", "resetsinseconds", "resetinseconds", "resetafter", "quotaresetdelay"),
            *(
                "resetat",
                "resetsat",
                "resettime",
                "retryat",
                "quotaresettimestamp",
                "xratelimitreset",
                "ratelimitreset",
            ),
        ),
        _seconds,
    ),
}
"""Names of fields, without case, hyphens and underscores."""
_INNER: Final = ("error", "details", "metadata", "headers", "data", "detail")
_DEPTH: Final = 5


def _hints(value: Any, now: float, depth: int = 0) -> Iterator[float]:
    """Yield the delays that fields of a decoded body name, outer ones first."""
    if isinstance(value, list):
        for item in value[:50]:
            yield from _hints(item, now, depth + 1)
    if not isinstance(value, Mapping) or depth > _DEPTH:
        return
    for name, content in value.items():
        read = _FIELDS.get(str(name).lower().replace("_", "").replace("-", ""))
        if read is not None and (seconds := read(content, now)) is not None:
            yield seconds
    for name in _INNER:
        inner = value.get(name)
        if isinstance(inner, (Mapping, list)):
            yield from _hints(inner, now, depth + 1)


def in_words(message: str) -> float | None:
    """Return the seconds in sentences like "retry in 47.4s", "try again in 6m0s", "retry after 2 seconds"."""
    text = message[:_SEARCHED]
    found = re.search(_WORDS, re.sub(_DIGITS_RUN_ON, r"\1 ", text))
    if found is not None:
        return duration((found[1] or found[2]).strip())
    named = re.search(_NAMED_SECONDS, text)
    return _number(named[1]) if named is not None else None


# -- all of it -------------------------------------------------------------------------------------------------------


def retry_after(
    headers: Mapping[str, str], body: Any, message: str, now: float, *, throttled: bool = True
) -> float | None:
    """Return the seconds that an error asks to wait, None if it does not say.

    The most exact source wins: headers that say milliseconds, ``Retry-After``, fields of the body, words of the
    message, and only then when a limit that is counted is filled again.

    Args:
        headers: the answer's, with lower-case names.
        body: the decoded body.
        message: the error's text.
        now: Unix time, for dates; the server's own ``Date`` is preferred.
        throttled: whether it is about too many requests: headers of rate limits say when they are filled again on any
            answer.

    """
    server = _moment(headers.get("date", "").strip())
    now = now if server is None else server
    for name, read in _HEADERS:
        value = headers.get(name)
        if value is not None and (seconds := read(value, now)) is not None:
            return seconds
    if (seconds := next(_hints(body, now), None)) is not None:
        return seconds
    if (seconds := in_words(message)) is not None:
        return seconds
    return _resets(headers, now) if throttled else None

"""What closes a model for longer than waiting helps: a quota that is used up, an unknown or a forbidden model.

Codes: new-api ``types/error.go`` and its distributor, OpenAI, Azure; ``details`` as google.rpc has them; sentences of
these and of LiteLLM, which keeps nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from anyfast_async._core.errors.failures import of_code, of_kind, of_status
from anyfast_async.errors import InsufficientQuotaError, ModelNotFoundError

_QUOTA: Final = of_kind(InsufficientQuotaError.kind)
_MODEL: Final = of_kind(ModelNotFoundError.kind)

_LONG: Final = r"(?i)per[ _-]?(?:day|month|week)|daily|monthly"
_SHORT: Final = r"(?i)per[ _-]?(?:second|minute)|\br[pt]m\b"
_SPENT: Final = (
    r"(?i)exceeded your current quota|(?:insufficient|not enough)[ _](?:quota|balance|credits?|funds)"
    r"|(?:out of|no (?:more|remaining)) (?:quota|credits?)|credit balance is|billing (?:hard )?limit"
    r"|(?:balance|credits?|quota)[^.]{0,30} (?:too low|exhausted|used up|depleted|insufficient)"
    r"|余额不足|额度不足|额度已用尽"
)
_QUOTA_STATUSES: Final = frozenset({402, 403, 429})
_LONG_UNIT: Final = r"[0-9]+/(?:d|mo|w)\b"
_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR
_MIDNIGHT: Final = 8 * _HOUR
_READ: Final = 4096
"""Characters of a message that are searched."""


def is_quota(status: int, names: Collection[object], message: str, body: object, delay: float | None) -> bool:
    """Return whether an error says that a quota is used up which minutes of waiting do not refill.

    By its code or type, or by the quota that Google names in ``details``. The words of a message count only where no
    delay is stated: many texts name all the limits that there are.

    Args:
        status: of the answer.
        names: the error's code and type.
        message: the error's text.
        body: the decoded body.
        delay: the seconds that the error asks to wait.

    """
    if of_status(status) is _QUOTA or any(of_code(name) is _QUOTA for name in names):
        return True
    if status not in _QUOTA_STATUSES:
        return False
    if is_daily(body):
        return True
    text = message[:_READ]
    return delay is None and bool(re.search(_SPENT, text) or (re.search(_LONG, text) and not re.search(_SHORT, text)))


def refilled_after(body: object, delay: float | None, now: float) -> float | None:
    """Return the seconds after which a quota that is used up is there again, None if nobody knows.

    Beside a quota of a day Google states the delay of the next attempt, as for one of a minute. Its days end at
    midnight in California, where that is at 8:00 UTC at the latest.
    """
    if not is_daily(body) or (delay is not None and delay >= _HOUR):
        return delay
    return (_MIDNIGHT - now) % _DAY or _DAY


def is_daily(body: object) -> bool:
    """Return whether the ``details`` of an error of Google's name a quota of a day or more."""
    return any(re.search(_LONG, name) or re.match(_LONG_UNIT, name) for name in _quotas(body))


def _quotas(body: object) -> Iterator[str]:
    """Yield what an error of Google's calls the quotas that were exceeded (google.rpc QuotaFailure, ErrorInfo)."""
    if isinstance(body, list):
        body = next((item for item in body if isinstance(item, Mapping)), None)
    if not isinstance(body, Mapping):
        return
    inner = body.get("error")
    details = (inner if isinstance(inner, Mapping) else body).get("details")
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, Mapping):
            continue
        violations, metadata = detail.get("violations"), detail.get("metadata")
        for one in violations if isinstance(violations, list) else ():
            if isinstance(one, Mapping):
                yield str(one.get("quotaId", ""))
        if isinstance(metadata, Mapping):
            yield from (str(metadata.get(name, "")) for name in ("quota_limit", "quota_unit"))


_NO_MODEL: Final = (
    r"(?i)"
    r"(?:no (?:permission|access)|not have (?:permission|access)|not (?:allowed|permitted|authori[sz]ed)|无权|没有权限)"
    r"[ \w]{0,24}(?:model|模型)|(?:model|模型)s?[ :/]{0,2}[`'\"]?[\w./:@-]{0,80}[`'\"]?,?[ ]?"
    r"(?:(?:does|is|was|are)(?: not|n't) (?:exist|found|available|supported|allowed|permitted)|not found|unknown"
    r"|不存在|未找到|无权)"
)
_MODEL_STATUSES: Final = frozenset({403, 404})


def is_model(status: int, code: object, message: str) -> bool:
    """Return whether an error says that there is no such model, or that this key may not use it."""
    return of_code(code) is _MODEL or (status in _MODEL_STATUSES and bool(re.search(_NO_MODEL, message[:_READ])))

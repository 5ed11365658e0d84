"""Retention: when a record falls due, and the expiry period whose end destroys its keys for good.

A record whose clock starts at a fact in its row falls due at a known day and belongs to the
calendar quarter of that day (``2027Q4``); all others belong to ``open`` until the event that
starts the clock. Days are days of the installation's zone.
"""

import calendar
import re
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from custody.errors import UsageError

OPEN: Final = "open"
_DURATION: Final = re.compile(r"P(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,5})D)?\Z", re.ASCII)
_PERIOD: Final = re.compile(r"(\d{4})Q([1-4])\Z", re.ASCII)
_MONTHS_A_QUARTER: Final = 3
_MONTHS_A_YEAR: Final = 12


class RetentionInvalidError(UsageError):
    """The retention period or expiry period is not written as ISO 8601 or ``YYYYQn``."""


def ends_on(start: date, period: str) -> date:
    """Return the last day of a retention period that began on ``start``.

    Years and months are calendar ones; where the month is shorter, its last day ends the period
    (29 February plus one year ends on 28 February), as Civil Code art. 202 counts terms.

    Raises:
        RetentionInvalidError: ``period`` is not an ISO 8601 duration in years, months and days.
    """
    years, months, days = parse_duration(period)
    month_index = start.year * _MONTHS_A_YEAR + start.month - 1 + years * _MONTHS_A_YEAR + months
    year, month = divmod(month_index, _MONTHS_A_YEAR)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return date(year, month + 1, day) + timedelta(days=days)


def parse_duration(period: str) -> tuple[int, int, int]:
    """Return the years, months and days of an ISO 8601 duration.

    Raises:
        RetentionInvalidError: It is malformed or empty.
    """
    match = _DURATION.match(period)
    if match is None or not any(match.groups()):
        raise RetentionInvalidError("not a retention period like P5Y, P18M or P30D", period)
    years, months, days = (int(part or 0) for part in match.groups())
    return years, months, days


def is_due(last_day: date | None, today: date) -> bool:
    """Tell whether a record kept until the end of ``last_day`` is due for destruction today."""
    return last_day is not None and today > last_day


def period_of(last_day: date | None, today: date) -> str:
    """Return the expiry period of a record, never one that is over already.

    A legacy record that is overdue when it arrives joins the current quarter, from where the next
    purge takes it: a period that ended admits nothing.
    """
    if last_day is None:
        return OPEN
    return quarter_of(max(last_day, today))


def quarter_of(day: date) -> str:
    """Return the calendar quarter of ``day``, as ``2027Q4``."""
    return f"{day.year:04d}Q{(day.month - 1) // _MONTHS_A_QUARTER + 1}"


def last_day_of(period: str) -> date | None:
    """Return the last day of an expiry period, None for ``open``.

    Raises:
        RetentionInvalidError: ``period`` is neither ``open`` nor ``YYYYQn``.
    """
    if period == OPEN:
        return None
    match = _PERIOD.match(period)
    if match is None:
        raise RetentionInvalidError("not an expiry period like 2027Q4", period)
    month = int(match[2]) * _MONTHS_A_QUARTER
    return date(int(match[1]), month, calendar.monthrange(int(match[1]), month)[1])


def day_in(zone: ZoneInfo, at: datetime) -> date:
    """Return the calendar day of the aware instant ``at`` in the installation's zone."""
    return at.astimezone(zone).date()

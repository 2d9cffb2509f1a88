"""When an Illumina run began and ended, where its files write dates in four ways and one of them can be read in two.

`6/1/2021` is the first of June to the instrument's makers and the sixth of January to a computer set to European
habits; the date in the run's id decides, and what it cannot decide is told as `AMBIGUOUS_DATE`.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.text import to_datetime, warning

_OF_ID = re.compile(r"(\d{6}|\d{8})_")
_SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(.*)", re.DOTALL)
# RTA 1 writes `2/11/2014,17:25:13.217,Illumina RTA 1.18.42`, RTA 2 `RTA 2.12.6.0 completed on 9/13/2022 11:30:08 AM`.
_RTA_1 = re.compile(r"\s*(\d{1,2}/\d{1,2}/\d{4}),(\d{1,2}:\d{2}:\d{2})")
_RTA_2 = re.compile(r"completed on (\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d{2}:\d{2}(?: [AP]M)?)")
_DAY = timedelta(days=1)
_LONGEST_RUN = timedelta(days=31)


def date_of_id(run_id: str) -> date | None:
    """Return the date that a run's id begins with (`210601_…` or `20210601_…`), or None."""
    match = _OF_ID.match(run_id)
    found = to_datetime(match[1]) if match else None
    return found.date() if found else None


def start_of(
    run_id: str, started: datetime | None, text: str | None, path: str
) -> tuple[datetime | None, list[Problem]]:
    """Return when the run began, with the day and the month in the order that fits the run's id.

    Args:
        run_id: Its id, which begins with a local date.
        started: As the text was read.
        text: As the instrument wrote it.
        path: Of the file, for messages.
    """
    if started is None or text is None:
        return started, []
    day = date_of_id(run_id)
    if day is None:
        if _swapped(text) is None:
            return started, []
        what = f"{printable(text, 40)} may be {started.date()} or its day and month the other way round"
        return started, [warning("AMBIGUOUS_DATE", f"{what}; the former is used", path)]
    # The id has the local date and the file may have UTC, so that a day's difference is none.
    if abs(started.date() - day) <= _DAY:
        return started, []
    other = _swapped(text)
    if other is not None and abs(other.date() - day) <= _DAY:
        what = f"{printable(text, 40)} was read as day/month, because the run's id says {day}"
        return other, [warning("AMBIGUOUS_DATE", what, path)]
    what = f"the run began on {started.date()} by this file and on {day} by its id; look at the instrument's clock"
    return started, [warning("AMBIGUOUS_DATE", what, path)]


def _swapped(text: str) -> datetime | None:
    """Return the same text with day and month the other way round, when that is another date."""
    match = _SLASHED.match(text.strip())
    if match is None or match[1].zfill(2) == match[2].zfill(2):
        return None
    return to_datetime(f"{match[2]}/{match[1]}/{match[3]}{match[4]}")


def end_of_base_calling(text: str, started: datetime | None) -> datetime | None:
    """Return the time in RTAComplete.txt, without a zone, or None where it has none or it cannot be after the start.

    Args:
        text: The file's.
        started: When the run began, which decides between day and month.
    """
    first, second = _RTA_1.match(text), _RTA_2.search(text)
    if first:
        stamp = f"{first[1]} {first[2]}"
    elif second:
        stamp = second[1]
    else:
        return None
    candidates = [found for found in (to_datetime(stamp), _swapped(stamp)) if found is not None]
    if started is None:
        return candidates[0] if candidates else None
    begin = started.replace(tzinfo=None)
    return next((end for end in candidates if begin - _DAY <= end <= begin + _LONGEST_RUN), None)

"""Every row of a period of activity, however many there are."""

from __future__ import annotations

import logging
import time
from typing import Any, Callable, Iterator

# The rows that are asked for at once: the API is known to grant as many.
LIMIT = 1000

log = logging.getLogger(__name__)


def rows_between(
    query: Callable[[str], dict[str, Any]], end_point: str, start: int, end: int
) -> Iterator[dict[str, Any]]:
    """Yield each row from start to end, both inclusive, once, the newest first.

    `query` returns the report of an end point. `end_point` is activity of any kind,
    such as "activity/dns" or "activity?verdict=blocked". `start` and `end` are in
    milliseconds since the epoch.

    Raises what `query` raises, and ValueError if a second and its two neighbors have
    LIMIT rows or more.
    """
    separator = "&" if "?" in end_point else "?"
    seconds = end // 1000 - start // 1000 + 1
    while start <= end:
        # As many seconds as a response may hold, the latest of those that are left.
        next_second = end // 1000 + 1
        begin = max(start, (next_second - seconds) * 1000)
        # A second more on both sides: how the API treats the ends is not documented.
        period = f"from={begin - 1000}&to={next_second * 1000}&limit={LIMIT}"
        rows = query(f"{end_point}{separator}{period}")["data"]
        full = len(rows) >= LIMIT
        rows = [row for row in rows if begin <= row["timestamp"] <= end]
        first = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(begin // 1000))

        if not full:
            log.info("%s from %s UTC: %d rows", end_point, first, len(rows))
            yield from rows
            end = begin - 1
            if len(rows) < LIMIT // 4:
                seconds *= 2
        elif seconds > 1:
            # There may be more rows. Pages could repeat or miss some: halve the period.
            seconds //= 2
        else:
            raise ValueError(f"{LIMIT} rows or more at {first} UTC")
        # They take no memory during the next request.
        del rows

"""Every row of a period is yielded once, however a server treats the period."""

import gc
import re
import weakref

import pytest
from helpers import REPORT

from common.activity import rows_between

START = 1_700_000_000_000
HOUR = 3_600_000


class Row(dict):
    """A row that can be referred to weakly."""

    __hash__ = object.__hash__


class Server:
    """Rows at these times, the newest first, and the requests for them.

    `treat` makes of a period the first and the last millisecond that are sent.
    """

    def __init__(self, times, treat=lambda start, end: (start, end)):
        self.times = sorted(times, reverse=True)
        self.treat = treat
        self.end_points = []
        self.sent = weakref.WeakSet()

    def query(self, end_point):
        gc.collect()
        # The last row that was yielded, perhaps.
        assert len(self.sent) <= 1
        self.end_points.append(end_point)
        period = re.search(r"[?&]from=(\d+)&to=(\d+)&limit=1000$", end_point)
        first, last = self.treat(int(period[1]), int(period[2]))
        found = [time for time in self.times if first <= time <= last]
        rows = [Row(timestamp=time) for time in found[:1000]]
        self.sent.update(rows)
        return {"meta": {}, "data": rows}

    def check(self, start, end):
        """Check that each row is yielded once, and return the number of requests."""
        rows = rows_between(self.query, "activity", start, end)
        expected = [time for time in self.times if start <= time <= end]
        assert [row["timestamp"] for row in rows] == expected
        return len(self.end_points)


def whole_seconds(milliseconds):
    return milliseconds // 1000 * 1000


TREATMENTS = {
    "without its ends": lambda start, end: (start + 1, end - 1),
    "in whole seconds": lambda start, end: (whole_seconds(start), whole_seconds(end)),
    "without the last second": lambda start, end: (start, whole_seconds(end) - 1),
    "from the next second": lambda start, end: (whole_seconds(start) + 1000, end),
}


@pytest.mark.parametrize("treat", TREATMENTS.values(), ids=TREATMENTS)
def test_each_row_once_however_a_server_treats_a_period(treat):
    times = range(START - HOUR, START + 2 * HOUR, 2000)
    server = Server(times, treat)
    server.check(START, START + HOUR - 1)
    server.check(START + 1, START + HOUR + 999)
    server.check(START, START)


def test_there_are_few_more_requests_than_full_pages():
    server = Server(range(START, START + 20_000_000, 1000))
    assert server.check(START, START + 20_000_000) < 20 * 2


def test_a_burst_does_not_keep_the_periods_short():
    burst = [START + 20 * HOUR] * 900
    server = Server([*range(START, START + 24 * HOUR, 60_000), *burst])
    assert server.check(START, START + 24 * HOUR) < 16


def test_a_second_with_too_many_rows_is_an_error():
    server = Server([START] * 1001)
    with pytest.raises(ValueError, match="1000 rows or more at 2023-11-14"):
        server.check(START, START + HOUR)


def test_the_parameters_of_an_end_point_stay():
    server = Server([])
    assert list(rows_between(server.query, "activity?verdict=no", 5000, 5999)) == []
    assert server.end_points == ["activity?verdict=no&from=4000&to=6000&limit=1000"]


def test_a_report_without_rows_is_an_error():
    with pytest.raises(TypeError):
        list(rows_between(lambda end_point: REPORT, "summary", START, START))

"""What the sandbox reports: reports.json, and an endless store of activity."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone
from typing import Any, Dict, Iterator
from urllib.parse import parse_qsl

# The end points that have one kind of activity only.
KINDS = {
    "activity/dns": "dns",
    "activity/proxy": "proxy",
    "activity/firewall": "firewall",
}

# The parameters that filter activity, and the field of a row that they look at.
FILTERS = {"verdict": "verdict", "domains": "domain", "type": "type"}

# The longest period of a summary, in milliseconds: 30 days.
SUMMARY_MAX = 30 * 86_400_000

# What the parameters that choose a page may be.
PAGE_RANGES = {"limit": range(1, 5001), "offset": range(10001)}

# In milliseconds.
UNITS = {"minutes": 60_000, "hours": 3_600_000, "days": 86_400_000}

Row = Dict[str, Any]
Parameters = Dict[str, str]


def read_parameters(end_point: str, query: str) -> Parameters:
    parameters = {"from": "", "to": "", "limit": "", "offset": "0"}
    if end_point == "top-destinations":
        # The one report that requires an offset.
        parameters["offset"] = ""
    parameters.update(parse_qsl(query, keep_blank_values=True))
    # Not a parameter of the API: activity/dns is activity, filtered by type.
    parameters["type"] = KINDS.get(end_point, "")
    return parameters


def find_errors(
    end_point: str, parameters: Parameters, has_rows: bool
) -> list[Parameters]:
    """Return what is wrong with the parameters, in the form of the API."""
    errors = {}
    # The end first: otherwise -30days to now would be a little more than 30 days.
    end = milliseconds(parameters["to"])
    start = milliseconds(parameters["from"])
    ends_before_it_starts = start > end >= 0
    if end_point == "summary" and end - start > SUMMARY_MAX:
        errors["from"] = "invalid period: should be 30 days at most"
    if start < 0 or ends_before_it_starts:
        errors["from"] = "invalid timestamp specified"
    if end < 0:
        errors["to"] = "invalid timestamp specified"

    for name, allowed in PAGE_RANGES.items():
        if has_rows and parameters[name] not in map(str, allowed):
            expected = f"integer between {allowed[0]} and {allowed[-1]} inclusive"
            errors[name] = f"invalid {name}: should be {expected}"
    return [
        {"param": name, "value": parameters[name], "error": error}
        for name, error in errors.items()
    ]


def milliseconds(text: str) -> int:
    """Return a time in milliseconds since the epoch, or -1 if the text is not one.

    It is such a number, `now`, or a time before now: `-90minutes`, `-7days`.
    """
    if re.fullmatch("[0-9]{13}", text):
        return int(text)
    now = int(time.time() * 1000)
    if text == "now":
        return now
    relative = re.fullmatch("-([0-9]{1,5})(minutes|hours|days)", text)
    if relative:
        return now - int(relative[1]) * UNITS[relative[2]]
    return -1


def activity(
    rows: list[Row], parameters: Parameters, seconds_per_row: float
) -> Iterator[Row]:
    """Yield the rows of the period that the parameters ask for, the newest first.

    The store is endless: its row number n is n * seconds_per_row after the epoch,
    and repeats row n % len(rows) of those given. So the rows are made one by one.
    """
    if seconds_per_row <= 0:
        raise ValueError("seconds_per_row must be above 0")
    start = milliseconds(parameters["from"])
    end = milliseconds(parameters["to"])
    wanted = [is_wanted(row, parameters) for row in rows]

    number = int((end // 1000 + 1) / seconds_per_row)
    while number >= 0:
        seconds = int(number * seconds_per_row)
        if seconds * 1000 < start:
            return
        index = number % len(rows)
        if wanted[index] and seconds * 1000 <= end:
            yield add_time(rows[index], seconds)
        number -= 1


def is_wanted(row: Row, parameters: Parameters) -> bool:
    for parameter, field in FILTERS.items():
        values = parameters.get(parameter)
        if values and row.get(field) not in values.split(","):
            return False
    return True


def add_time(row: Row, seconds: int) -> Row:
    """Return a row of so many seconds after the epoch."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return {
        **row,
        "timestamp": seconds * 1000,
        "date": f"{moment:%Y-%m-%d}",
        "time": f"{moment:%H:%M:%S}",
    }

"""The sandbox's made-up reports, in the shapes and by the rules of the vendor's OpenAPI description.

All reports count the same requests, so their numbers agree: REQUESTS are those of one day, and any other period has
them in proportion to its length.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import datetime, timezone
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

UNITS = {"minutes": 60_000, "hours": 3_600_000, "days": 86_400_000}  # milliseconds
DAY = UNITS["days"]


def category(number: int, label: str, kind: str = "content") -> dict[str, Any]:
    return {"id": number, "type": kind, "label": label, "integration": False, "deprecated": False}


class Destination(NamedTuple):
    """A domain; one with a threat is blocked, because of its categories."""

    domain: str
    requests: int  # in a day
    categories: list[dict[str, Any]]
    threat: str = ""
    threat_type: str = ""


DESTINATIONS = [
    Destination("www.example.com", 4830, [category(11, "Business Services"), category(12, "Online Communities")]),
    Destination("mail.example.org", 2710, [category(21, "Organizational Email"), category(22, "Web-based Email")]),
    Destination("cdn.example.net", 1580, [category(31, "Content Delivery"), category(32, "Software Updates")]),
    Destination("malware.example", 214, [category(41, "Malware", "security")], "ExampleTrojan", "Trojan"),
    Destination("phishing.example", 96, [category(42, "Phishing", "security")], "ExamplePhish", "Phishing"),
    Destination("botnet.example", 32, [category(43, "Command and Control", "security")], "ExampleBot", "Botnet"),
]
# Each destination's requests are spread evenly over the day.
MOMENTS = [((number + 0.5) / place.requests, place) for place in DESTINATIONS for number in range(place.requests)]
REQUESTS = [place for _, place in sorted(MOMENTS, key=lambda moment: moment[0])]

COMPUTER = {"id": 9, "type": "roaming", "label": "Roaming Computers"}
NETWORK = {"id": 1, "type": "network", "label": "Networks"}
IDENTITIES = [
    {"id": 101, "label": "laptop-7", "deleted": False, "type": COMPUTER},
    {"id": 102, "label": "branch-office", "deleted": False, "type": NETWORK},
    {"id": 103, "label": "laptop-12", "deleted": False, "type": COMPUTER},
    {"id": 104, "label": "head-office", "deleted": False, "type": NETWORK},
]


class Period:
    """From start to end, in milliseconds since the epoch."""

    def __init__(self, start: int, end: int) -> None:
        self.end = end
        self.length = end - start
        self.requests = len(REQUESTS) * self.length // DAY
        days, rest = divmod(self.requests, len(REQUESTS))
        counts = Counter(place.domain for place in REQUESTS[:rest])
        every = [(place, days * place.requests + counts[place.domain]) for place in DESTINATIONS]
        self.counts = [(place, count) for place, count in every if count]  # the highest count first


def summary(period: Period) -> dict[str, int]:
    blocked = sum(count for place, count in period.counts if place.threat)
    return {
        "applications": 5,
        "domains": len(period.counts),
        "requestsblocked": blocked,
        "filetypes": 4,
        "requests": period.requests,
        "policycategories": sum(len(place.categories) for place, _ in period.counts if place.threat),
        "requestsallowed": period.requests - blocked,
        "categories": sum(len(place.categories) for place, _ in period.counts),
        "identitytypes": min(2, period.requests),
        "applicationsblocked": 1,
        "files": 61 * period.requests // len(REQUESTS),
        "identities": min(len(IDENTITIES), period.requests),
        "policyrequests": blocked,
        "applicationsallowed": 4,
    }


def top_destination(rank: int, place: Destination, count: int) -> dict[str, Any]:
    allowed = 0 if place.threat else count
    return {
        "domain": place.domain,
        "count": count,
        "counts": {"requests": count, "allowedrequests": allowed, "blockedrequests": count - allowed},
        "bandwidth": 2048 * allowed,
        "categories": place.categories,
        "policycategories": place.categories if place.threat else [],
        "rank": rank,
    }


def activity(period: Period, number: int) -> dict[str, Any]:
    place = REQUESTS[number % len(REQUESTS)]
    source = number % len(IDENTITIES)
    timestamp = period.end - (number + 1) * period.length // period.requests  # the newest is number 0
    moment = datetime.fromtimestamp(timestamp / 1000, timezone.utc)
    return {
        "type": "dns",
        "domain": place.domain,
        "verdict": "blocked" if place.threat else "allowed",
        "timestamp": timestamp,
        "date": f"{moment:%Y-%m-%d}",
        "time": f"{moment:%H:%M}",
        "querytype": "A",
        "returncode": 0,
        "internalip": f"10.0.0.{source + 1}",
        "externalip": f"192.0.2.{source + 1}",
        "identities": [IDENTITIES[source]],
        "categories": place.categories,
        "policycategories": place.categories if place.threat else [],
        "threats": [{"label": place.threat, "type": place.threat_type}] if place.threat else [],
        "allapplications": [],
        "allowedapplications": [],
        "blockedapplications": [],
    }


# The parameters of each report with their defaults: "" where the description requires a value.
REPORTS = {
    "summary": {"from": "", "to": ""},
    "total-requests": {"from": "", "to": ""},
    "top-destinations": {"from": "", "to": "", "limit": "", "offset": ""},
    "top-threats": {"from": "", "to": "", "limit": "", "offset": "0"},
    "activity": {"from": "", "to": "", "limit": "", "offset": "0"},
}
NUMBERS = {"limit": range(1, 5001), "offset": range(10001)}


def report(end_point: str, query: str) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of the answer to `end_point?query`."""
    if end_point not in REPORTS:
        return 404, {"message": f"Not found; the sandbox has {', '.join(REPORTS)}"}
    values = {**REPORTS[end_point], **dict(parse_qsl(query, keep_blank_values=True))}
    errors = {name: "not implemented in the sandbox" for name in values if name not in REPORTS[end_point]}
    for name, allowed in NUMBERS.items():
        if name in REPORTS[end_point] and values[name] not in map(str, allowed):
            errors[name] = f"invalid {name}: should be integer between {allowed[0]} and {allowed[-1]} inclusive"
    now = int(time.time() * 1000)
    start, end = milliseconds(values["from"], now), milliseconds(values["to"], now)
    if start < 0:
        errors["from"] = "invalid timestamp specified"
    if end < 0:
        errors["to"] = "invalid timestamp specified"
    if not errors and not 0 < end - start <= 30 * DAY:
        errors["from"] = "invalid timestamp specified: should be before to, by at most 30 days"
    if errors:
        named = [{"param": name, "value": values[name], "error": error} for name, error in errors.items()]
        return 400, {"meta": {}, "data": {"errors": named}}
    offset, limit = int(values.get("offset", 0)), int(values.get("limit", 0))
    return 200, {"meta": {}, "data": data(end_point, Period(start, end), slice(offset, offset + limit))}


def milliseconds(text: str, now: int) -> int:
    """Return the time since the epoch of `now`, `-7days` or `1700000000000`; -1 where it is none of these."""
    relative = re.fullmatch(f"-([0-9]{{1,5}})({'|'.join(UNITS)})", text)
    if relative:
        return now - int(relative[1]) * UNITS[relative[2]]
    if re.fullmatch("[0-9]{13}", text):
        return int(text)
    return now if text == "now" else -1


def data(end_point: str, period: Period, page: slice) -> Any:
    if end_point == "summary":
        return summary(period)
    if end_point == "total-requests":
        return {"count": period.requests}
    if end_point == "activity":
        return [activity(period, number) for number in range(period.requests)[page]]
    if end_point == "top-destinations":
        return [top_destination(rank, place, count) for rank, (place, count) in enumerate(period.counts, 1)][page]
    threats = [(place, count) for place, count in period.counts if place.threat]
    return [{"threat": place.threat, "threattype": place.threat_type, "count": n} for place, n in threats][page]

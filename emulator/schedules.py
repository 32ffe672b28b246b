"""AWS's schedule expressions: cron, rate and at."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

_UNITS = {"minute": 1, "hour": 60, "day": 24 * 60}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


def is_due(expression: str, moment: float, timezone: str | None = None, since: float = 0.0) -> bool:
    """Whether ``expression`` comes due in the minute of ``moment``; ``since`` is when a rate began.

    Raises:
        NotImplementedError: it is something that the emulator does not know.
    """
    kind, _, rest = expression.partition("(")
    inner = rest.removesuffix(")")
    local = datetime.fromtimestamp(moment, ZoneInfo(timezone) if timezone else UTC)
    if kind == "at":
        return local.strftime("%Y-%m-%dT%H:%M") == inner[:16]
    if kind == "rate":
        count, unit = inner.split()
        every = int(count) * _UNITS[unit.removesuffix("s")]
        passed = int(moment // 60) - int(since // 60)
        return passed > 0 and passed % every == 0
    if kind != "cron":
        raise NotImplementedError(f"The emulator does not know the schedule {expression}.")
    minute, hour, day, month, weekday, year = inner.split()
    # Every field is looked at, so that what is unknown shows at any time.
    fields = [
        _matches(minute, local.minute, 0, 59),
        _matches(hour, local.hour, 0, 23),
        _matches(day, local.day, 1, 31),
        _matches(_numbered(month, _MONTHS), local.month, 1, 12),
        _matches(_numbered(weekday, _DAYS), local.isoweekday() % 7 + 1, 1, 7),
        _matches(year, local.year, 1970, 2199),
    ]
    return all(fields)


def _numbered(field: str, names: tuple[str, ...]) -> str:
    for number, name in enumerate(names, 1):
        field = field.upper().replace(name, str(number))
    return field


def _matches(field: str, value: int, first: int, last: int) -> bool:
    """Whether a field of cron (``*``, ``?``, ``5``, ``1-5``, ``0/15``, ``1,3``) holds ``value``."""
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span in ("*", "?"):
            low, high = first, last
        elif "-" in span:
            low, high = map(int, span.split("-"))
        elif span.isdecimal():
            low, high = int(span), last if step else int(span)
        else:
            raise NotImplementedError(f"The emulator does not know {part} in a cron expression.")
        if low <= value <= high and (value - low) % int(step or 1) == 0:
            return True
    return False

"""What watching a model costs a month: the scheduled function, what it asks of S3, and alarms.

infra and coldpress both say it: `cdk synth` by the prices of us-east-1 on x86_64 (a test compares them with
coldpress/prices.toml), `coldpress cost` by those of the region.

While all is well no metric gets a value, and CloudWatch bills none; one that tells of an alarm costs
0.30 USD (us-east-1) for a month in which the alarm always stood. The lines of the log, less than a KB a run,
are left out.
"""

from typing import NamedTuple

_MONTH_MINUTES = 730 * 60
# Of S3, a run that finds something new: lists of captures, labels and versions, and puts of state, status
# and page; gets of the state, of the status, of the bundle's manifest and baseline, and of captures.
_PUTS, _GETS = 6, 10
ALARMS, ROLLBACK_ALARMS = 4, 2
# Of a run: what it takes with nothing to read, beginning cold as half an hour after the last one it does,
# and for each captured request (docs/watching.md has the measurement).
RUN_SECONDS, SECONDS_A_REQUEST = 2.0, 0.0003

USD_PER_REQUEST, USD_PER_GB_SECOND = 2e-7, 1.66667e-5


class Rates(NamedTuple):
    """Prices, in US dollars."""

    request: float
    gb_second: float
    alarm: float
    put: float
    get: float


US_EAST_1 = Rates(USD_PER_REQUEST, USD_PER_GB_SECOND, 0.1, 5e-6, 4e-7)


class Watching(NamedTuple):
    """How a model is watched, and what is read of it: ``captured`` requests a month."""

    every_minutes: int = 30
    memory_mb: int = 1024
    captured: float = 0.0
    rolls_back: bool = False


def monthly_usd(watching: Watching, rates: Rates) -> float:
    """Of a month in which no alarm stood."""
    runs = _MONTH_MINUTES / watching.every_minutes
    seconds = runs * RUN_SECONDS + watching.captured * SECONDS_A_REQUEST
    alarms = ALARMS + ROLLBACK_ALARMS * watching.rolls_back
    return (
        runs * (rates.request + _PUTS * rates.put + _GETS * rates.get)
        + seconds * watching.memory_mb / 1024 * rates.gb_second
        + alarms * rates.alarm
    )

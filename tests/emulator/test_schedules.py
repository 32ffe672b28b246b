"""Schedule expressions, against moments that they do and do not name."""

from datetime import UTC, datetime

import pytest

from emulator.schedules import is_due

MONDAY = datetime(2026, 11, 23, 8, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("cron(0 8 ? * MON-FRI *)", True),
        ("cron(0 8 * * ? *)", True),
        ("cron(0 8 23 11 ? 2026)", True),
        ("cron(0/15 * ? NOV 2 *)", True),
        ("cron(30 7,8 ? * * *)", False),
        ("cron(0 8 ? * SAT,SUN *)", False),
        ("cron(5/15 8 ? * * *)", False),
        ("at(2026-11-23T08:00:00)", True),
        ("at(2026-11-23T09:00:00)", False),
        ("rate(1 minute)", True),
        ("rate(2 hours)", True),
        ("rate(7 minutes)", False),
    ],
)
def test_what_is_due(expression, due):
    assert is_due(expression, MONDAY, since=MONDAY - 4 * 3600) is due


def test_a_schedule_follows_its_own_timezone():
    assert is_due("cron(0 9 ? * MON *)", MONDAY, "Europe/Berlin")
    assert not is_due("cron(0 8 ? * MON *)", MONDAY, "Europe/Berlin")


def test_what_it_does_not_know_is_refused():
    for expression in ("cron(0 8 L * ? *)", "every(5)"):
        with pytest.raises(NotImplementedError, match="does not know"):
            is_due(expression, MONDAY)

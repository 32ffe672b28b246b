"""CloudWatch's alarms: evaluated at every emulated minute, with their actions."""

import json
import logging
import operator
from typing import Any

from moto.cloudwatch.models import Alarm, CloudWatchBackend, cloudwatch_backends

from emulator import settings
from emulator.clients import client
from emulator.metrics import datapoints

_log = logging.getLogger(__name__)
_COMPARE = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_set_alarm_state_of_moto = CloudWatchBackend.set_alarm_state


def evaluate(now: float) -> None:
    """Bring every alarm to the state that its metric's last periods ask for."""
    for region, backend in cloudwatch_backends[settings.ACCOUNT].items():
        for alarm in list(backend.alarms.values()):
            if not alarm.metric_name:
                continue  # of several metrics: its type here refuses what cannot be evaluated
            values = last_values(alarm, region, now)
            state = state_of(alarm, values)
            if state != alarm.state_value:
                known = [value for value in values if value is not None]
                reason = f"Threshold Crossed: datapoints {known}, threshold {alarm.threshold}."
                backend.set_alarm_state(alarm.name, reason, "{}", state)


def last_values(alarm: Alarm, region: str, now: float) -> list[float | None]:
    """The alarm's statistic in each of the periods that it looks at, the oldest first."""
    period, count = float(alarm.period), int(alarm.evaluation_periods)
    start = now - count * period
    found = datapoints(
        region,
        namespace=alarm.namespace,
        name=alarm.metric_name,
        dimensions={str(d.name): str(d.value) for d in alarm.dimensions},
        statistic=alarm.statistic or str(alarm.extended_statistic),
        period=period,
        start=start,
        end=now,
    )
    return [found.get(start + index * period) for index in range(count)]


def state_of(alarm: Alarm, values: list[float | None]) -> str:
    """OK, ALARM or INSUFFICIENT_DATA, with missing data treated as the alarm says."""
    compare = _COMPARE[alarm.comparison_operator]
    treat = alarm.treat_missing_data or "missing"
    if all(value is None for value in values) and treat in ("missing", "ignore"):
        return alarm.state_value if treat == "ignore" else "INSUFFICIENT_DATA"
    breaching = sum(
        treat == "breaching" if value is None else compare(value, float(alarm.threshold)) for value in values
    )
    return "ALARM" if breaching >= int(alarm.datapoints_to_alarm or len(values)) else "OK"


def _set_alarm_state(
    self: CloudWatchBackend, alarm_name: str, reason: str, reason_data: str, state_value: str
) -> None:
    """SetAlarmState: moto's, with the alarm's actions when the state changes."""
    before = self.alarms[alarm_name].state_value if alarm_name in self.alarms else None
    _set_alarm_state_of_moto(self, alarm_name, reason, reason_data, state_value)
    alarm = self.alarms[alarm_name]
    if before == state_value or not alarm.actions_enabled:
        return
    actions = {
        "ALARM": alarm.alarm_actions,
        "OK": alarm.ok_actions,
        "INSUFFICIENT_DATA": alarm.insufficient_data_actions,
    }[state_value]
    for action in actions:
        if ":sns:" in action:
            _notify(self.region_name, action, alarm, str(before))
        else:
            _log.warning("alarm %s: the emulator does not carry out the action %s", alarm_name, action)


def _notify(region: str, topic: str, alarm: Alarm, before: str) -> None:
    message = {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": settings.ACCOUNT,
        "NewStateValue": alarm.state_value,
        "NewStateReason": alarm.state_reason,
        "OldStateValue": before,
        "StateChangeTime": f"{alarm.state_updated_timestamp.isoformat()}+0000",
        "Region": region,
        "AlarmArn": alarm.alarm_arn,
    }
    subject = f'{alarm.state_value}: "{alarm.name}" in {region}'
    client("sns", region).publish(TopicArn=topic, Subject=subject[:100], Message=json.dumps(message))


def install() -> None:
    """Let moto's SetAlarmState carry out actions."""
    patched: Any = CloudWatchBackend
    patched.set_alarm_state = _set_alarm_state

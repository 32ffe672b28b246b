"""EventBridge's rules with a schedule: they invoke functions over emulated time."""

import json
import logging
import uuid
from datetime import UTC, datetime
from typing import Any

from moto.events.exceptions import ValidationException
from moto.events.models import EventsBackend, Rule, events_backends

from emulator import settings
from emulator.clients import client
from emulator.clock import CLOCK
from emulator.permissions import may_invoke
from emulator.schedules import is_due

_log = logging.getLogger(__name__)
_put_rule_of_moto = EventsBackend.put_rule
_put_targets_of_moto = EventsBackend.put_targets


def run(now: float) -> None:
    """Invoke the targets of every rule that comes due in this minute.

    One after the other, and time waits for them: who lets an hour pass finds all done that was due within it.
    """
    for backend in list(events_backends[settings.ACCOUNT].values()):
        for rule in list(backend.event_buses["default"].rules.values()):
            if rule.state == "ENABLED" and _is_due(rule, now):
                for target in list(rule.targets):
                    _invoke(rule, target, now)


def _is_due(rule: Any, now: float) -> bool:
    expression = rule.scheduled_expression
    return bool(expression) and is_due(expression, now, since=rule.since)


def _invoke(rule: Rule, target: dict[str, Any], now: float) -> None:
    function: str = target["Arn"]
    if not may_invoke("events.amazonaws.com", function, rule.arn):
        _log.error("%s: no AWS::Lambda::Permission lets %s", function, rule.arn)
        return
    payload = target.get("Input") or json.dumps(_event(rule, now))
    try:
        result = client("lambda", rule.region_name).invoke(FunctionName=function, Payload=payload)
    except Exception as error:  # noqa: BLE001 - throttled or gone: the other rules go on, as on AWS
        _log.error("rule %s: %s", rule.name, error)
        return
    if "FunctionError" in result:
        _log.error("rule %s: %s failed: %s", rule.name, function, result["Payload"].read())


def _event(rule: Rule, now: float) -> dict[str, Any]:
    """What a target gets that names no input of its own."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": settings.ACCOUNT,
        "time": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": rule.region_name,
        "resources": [rule.arn],
        "detail": {},
    }


def _put_rule(self: EventsBackend, name: str, **options: Any) -> Rule:
    """PutRule: moto's, for schedules that can be followed here; a rate counts from now on."""
    expression = options.get("scheduled_expression")
    if expression:
        try:
            is_due(expression, 0.0)
        except NotImplementedError as error:
            raise ValidationException(str(error)) from None
    rule: Rule = _put_rule_of_moto(self, name, **options)
    setattr(rule, "since", CLOCK.now())  # noqa: B010 - moto's has no place for it
    return rule


def _put_targets(
    self: EventsBackend, name: str, event_bus_arn: str | None, targets: list[dict[str, Any]]
) -> None:
    """PutTargets: moto's, but a schedule invokes functions only, with its event or an input of their own."""
    rule = self.event_buses["default"].rules.get(name)
    for target in targets if rule is not None and rule.scheduled_expression else []:
        if ":lambda:" not in target["Arn"] or {"InputPath", "InputTransformer"} & target.keys():
            raise ValidationException(
                "The emulator's schedules invoke functions only, and with Input or nothing: "
                f"{target['Id']} of {name} asks for something else."
            )
    _put_targets_of_moto(self, name, event_bus_arn, targets)


def install() -> None:
    """Refuse in PutRule and PutTargets what would never happen here."""
    patched: Any = EventsBackend
    patched.put_rule = _put_rule
    patched.put_targets = _put_targets

"""Cost Explorer's anomaly monitors and subscriptions, which moto lacks; no anomaly is ever found."""

import json
import uuid
from typing import Any

from moto.ce.responses import CostExplorerResponse
from moto.core.exceptions import JsonRESTError

from emulator import settings

# By ARN, as they were made.
_MONITORS: dict[str, dict[str, Any]] = {}
_SUBSCRIPTIONS: dict[str, dict[str, Any]] = {}


def _create_anomaly_monitor(self: CostExplorerResponse) -> str:
    arn = _arn("anomalymonitor")
    _MONITORS[arn] = {**json.loads(self.body)["AnomalyMonitor"], "MonitorArn": arn}
    return json.dumps({"MonitorArn": arn})


def _create_anomaly_subscription(self: CostExplorerResponse) -> str:
    subscription = json.loads(self.body)["AnomalySubscription"]
    kinds = {subscriber["Type"] for subscriber in subscription["Subscribers"]}
    if not set(subscription["MonitorArnList"]) <= _MONITORS.keys():
        raise JsonRESTError("UnknownMonitorException", "A monitor of the subscription does not exist.")
    if "EMAIL" in kinds and subscription["Frequency"] == "IMMEDIATE":
        raise JsonRESTError("ValidationException", "E-mails are sent daily or weekly.")
    arn = _arn("anomalysubscription")
    _SUBSCRIPTIONS[arn] = {**subscription, "SubscriptionArn": arn}
    return json.dumps({"SubscriptionArn": arn})


def _get_anomaly_monitors(self: CostExplorerResponse) -> str:
    arns = json.loads(self.body).get("MonitorArnList") or [*_MONITORS]
    return json.dumps({"AnomalyMonitors": [_MONITORS[arn] for arn in arns if arn in _MONITORS]})


def _get_anomaly_subscriptions(self: CostExplorerResponse) -> str:
    arns = json.loads(self.body).get("SubscriptionArnList") or [*_SUBSCRIPTIONS]
    found = [_SUBSCRIPTIONS[arn] for arn in arns if arn in _SUBSCRIPTIONS]
    return json.dumps({"AnomalySubscriptions": found})


def _delete_anomaly_monitor(self: CostExplorerResponse) -> str:
    _MONITORS.pop(json.loads(self.body)["MonitorArn"], None)
    return json.dumps({})


def _delete_anomaly_subscription(self: CostExplorerResponse) -> str:
    _SUBSCRIPTIONS.pop(json.loads(self.body)["SubscriptionArn"], None)
    return json.dumps({})


def _arn(kind: str) -> str:
    return f"arn:aws:ce::{settings.ACCOUNT}:{kind}/{uuid.uuid4()}"


def install() -> None:
    """Add the calls to moto's Cost Explorer."""
    for action in (
        _create_anomaly_monitor,
        _create_anomaly_subscription,
        _delete_anomaly_monitor,
        _delete_anomaly_subscription,
        _get_anomaly_monitors,
        _get_anomaly_subscriptions,
    ):
        setattr(CostExplorerResponse, action.__name__.removeprefix("_"), action)

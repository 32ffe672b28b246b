"""Application Auto Scaling of Lambda's provisioned concurrency: bounds, schedules and target tracking."""

import logging
import math
from typing import Any

from moto.applicationautoscaling.models import (
    ApplicationAutoscalingBackend,
    FakeApplicationAutoscalingPolicy,
    FakeScalableTarget,
    applicationautoscaling_backends,
)

from emulator import settings
from emulator.metrics import datapoints
from emulator.provisioned import Key, ProvisionedConcurrency, Refused
from emulator.schedules import is_due

_log = logging.getLogger(__name__)
# Target tracking's own alarms: out after three minutes above the target, in after fifteen well below it.
_MINUTES_OUT = 3
_MINUTES_IN = 15
_LOW = 0.9


class Scaling:
    """What scalable targets do to provisioned concurrency."""

    def __init__(self, provisioned: ProvisionedConcurrency) -> None:
        self._provisioned = provisioned

    def run(self, now: float) -> None:
        """What is due in this minute: scheduled actions first, then policies."""
        for region, backend in applicationautoscaling_backends[settings.ACCOUNT].items():
            for action in backend.scheduled_actions:
                target = _target(backend, action)
                if target and is_due(action.schedule, now, action.timezone, action.creation_time):
                    change: Any = action.scalable_target_action
                    target.update(change.get("MinCapacity"), change.get("MaxCapacity"), None)  # type: ignore[arg-type]
                    self.keep_within(target, region)
            for policy in list(backend.policies.values()):
                target = _target(backend, policy)
                if target and policy.target_tracking_scaling_policy_configuration:
                    self._track(target, policy, region, now)

    def keep_within(self, target: FakeScalableTarget, region: str) -> None:
        """Bring what is provisioned into the target's bounds."""
        config = self._provisioned.get(_key(target, region))
        self._set(target, region, config.requested if config else 0)

    def _track(
        self, target: FakeScalableTarget, policy: FakeApplicationAutoscalingPolicy, region: str, now: float
    ) -> None:
        config = self._provisioned.get(_key(target, region))
        if config is None:
            return
        tracking: Any = policy.target_tracking_scaling_policy_configuration
        aim = float(tracking["TargetValue"])
        found = datapoints(
            region, **_metric(target, tracking), period=60.0, start=now - _MINUTES_IN * 60, end=now
        )
        values = [found.get(now - 60.0 * minute) for minute in range(1, _MINUTES_IN + 1)]  # newest first
        recent = [value for value in values[:_MINUTES_OUT] if value is not None]
        if len(recent) == _MINUTES_OUT and min(recent) > aim:
            self._set(target, region, math.ceil(config.requested * recent[0] / aim))
        elif all(value is not None and value < aim * _LOW for value in values):
            self._set(target, region, math.ceil(config.requested * (values[0] or 0.0) / aim))

    def _set(self, target: FakeScalableTarget, region: str, wanted: int) -> None:
        key = _key(target, region)
        wanted = max(int(target.min_capacity or 0), min(int(target.max_capacity or 0), wanted))
        config = self._provisioned.get(key)
        if wanted == (config.requested if config else 0):
            return
        try:
            if wanted:
                self._provisioned.put(key, wanted)
            else:
                self._provisioned.delete(key)
        except Refused as error:
            _log.warning("%s: %s", target.resource_id, error)

    def install(self) -> None:
        """Let a target act when it is registered; when it is deregistered nothing changes (aws-cdk#31507)."""
        patched: Any = ApplicationAutoscalingBackend
        register = _register_of_moto

        def register_scalable_target(
            backend: ApplicationAutoscalingBackend, *arguments: Any, **options: Any
        ) -> FakeScalableTarget:
            target = register(backend, *arguments, **options)
            if target.service_namespace == "lambda":
                self.keep_within(target, backend.region_name)
            return target

        patched.register_scalable_target = register_scalable_target


_register_of_moto = ApplicationAutoscalingBackend.register_scalable_target


def _target(backend: ApplicationAutoscalingBackend, of: Any) -> FakeScalableTarget | None:
    """The target of an action or a policy, if it is a function."""
    if of.service_namespace != "lambda":
        return None
    return backend.targets.get(of.scalable_dimension, {}).get(of.resource_id)


def _key(target: FakeScalableTarget, region: str) -> Key:
    """``function:NAME:QUALIFIER``."""
    _, name, qualifier = target.resource_id.split(":")
    return region, name, qualifier


def _metric(target: FakeScalableTarget, tracking: dict[str, Any]) -> dict[str, Any]:
    """What a policy tracks: Lambda's utilisation, or a metric of its own."""
    custom = tracking.get("CustomizedMetricSpecification")
    if custom:
        return {
            "namespace": custom["Namespace"],
            "name": custom["MetricName"],
            "dimensions": {d["Name"]: d["Value"] for d in custom.get("Dimensions", [])},
            "statistic": custom["Statistic"],
        }
    _, name, qualifier = target.resource_id.split(":")
    return {
        "namespace": "AWS/Lambda",
        "name": "ProvisionedConcurrencyUtilization",
        "dimensions": {"FunctionName": name, "Resource": f"{name}:{qualifier}"},
        "statistic": "Average",
    }

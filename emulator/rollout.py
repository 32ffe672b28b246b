"""CodeDeploy's deployments of Lambda aliases: hooks, weights over emulated time, alarms, and the way back."""

import json
import logging
import re
import threading
import uuid
from collections.abc import Iterator
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.codedeploy.models import DeploymentInfo

from emulator import settings
from emulator.clients import client
from emulator.clock import CLOCK

_log = logging.getLogger(__name__)
_PREDEFINED = re.compile(
    r"CodeDeployDefault\.Lambda(?:AllAtOnce|(Canary|Linear)(\d+)Percent(?:Every)?(\d+)Minutes?)"
)
# The traffic routing of the account's own configurations, by name.
CONFIGURATIONS: dict[str, dict[str, Any]] = {}
ROLLOUTS: dict[str, "Rollout"] = {}  # by the deployment's id


class RolloutFailed(Exception):
    """The traffic does not move, or moves back: an error code of CodeDeploy's, and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Rollout:
    """One deployment: ``run`` takes it from its first hook to the last shift of traffic, or back."""

    def __init__(self, deployment: DeploymentInfo, region: str) -> None:
        self._deployment: Any = deployment  # moto's has no place for an error
        self._region = region
        content = json.loads(_content(deployment.revision))
        (resource,) = content["Resources"]
        self._properties = next(iter(resource.values()))["Properties"]
        self._hooks = {name: function for hook in content.get("Hooks", []) for name, function in hook.items()}
        self._hook_states: dict[str, str] = {}
        self._stop: bool | None = None  # asked to: with or without a rollback
        self._done = threading.Event()

    def start(self) -> None:
        """Run in a thread of its own."""
        threading.Thread(target=self.run, daemon=True, name=self._deployment.deployment_id).start()

    def wait(self) -> None:
        """Wait until the traffic is where it stays."""
        self._done.wait()

    def stop(self, *, roll_back: bool) -> None:
        """StopDeployment."""
        self._stop = roll_back

    def put_hook_status(self, execution_id: str, status: str) -> None:
        """PutLifecycleEventHookExecutionStatus: a hook says what it found."""
        self._hook_states[execution_id] = status

    def run(self) -> None:
        """Move the alias to the new version, unless a hook or an alarm objects."""
        deployment = self._deployment
        deployment.status, deployment.start_time = "InProgress", CLOCK.utc()
        try:
            self._raise_if_stopped()
            self._run_hook("BeforeAllowTraffic")
            for percentage, until in self._steps():
                self._route(percentage)
                CLOCK.wait_until(until, self._must_stop)
                self._raise_if_stopped()
            self._route(100)
            self._run_hook("AfterAllowTraffic")
            deployment.status = "Succeeded"
        except RolloutFailed as failure:
            self._fail(failure)
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits must hear of it
            _log.exception("rollout %s", deployment.deployment_id)
            self._fail(RolloutFailed("INTERNAL_ERROR", f"{type(error).__name__}: {error}"))
        finally:
            deployment.complete_time = CLOCK.utc()
            self._done.set()

    def _steps(self) -> Iterator[tuple[int, float]]:
        """Percentages below 100, each with the time until when it stays."""
        routing = routing_of(self._deployment.deployment_config_name)
        if routing["type"] == "TimeBasedCanary":
            canary = routing["timeBasedCanary"]
            yield canary["canaryPercentage"], CLOCK.now() + canary["canaryInterval"] * 60
        elif routing["type"] == "TimeBasedLinear":
            linear = routing["timeBasedLinear"]
            for percentage in range(linear["linearPercentage"], 100, linear["linearPercentage"]):
                yield percentage, CLOCK.now() + linear["linearInterval"] * 60

    def _route(self, percentage: int) -> None:
        current, target = self._properties["CurrentVersion"], self._properties["TargetVersion"]
        weights = {target: percentage / 100} if 0 < percentage < 100 else {}
        client("lambda", self._region).update_alias(
            FunctionName=self._properties["Name"],
            Name=self._properties["Alias"],
            FunctionVersion=target if percentage == 100 else current,
            RoutingConfig={"AdditionalVersionWeights": weights},
        )

    def _run_hook(self, name: str) -> None:
        function = self._hooks.get(name)
        if function is None:
            return
        execution_id = str(uuid.uuid4())
        event = {
            "DeploymentId": self._deployment.deployment_id,
            "LifecycleEventHookExecutionId": execution_id,
        }
        client("lambda", self._region).invoke(FunctionName=function, Payload=json.dumps(event))
        status = self._hook_states.get(execution_id)
        if status != "Succeeded":
            # AWS waits for an hour for a hook that ended without a word; here that is known at once.
            said = "reported Failed" if status else "ended without reporting a status"
            raise RolloutFailed("HOOK_EXECUTION_FAILURE", f"The {name} hook {function} {said}.")
        self._raise_if_stopped()

    def _must_stop(self) -> bool:
        return self._stop is not None or bool(self._alarms_on())

    def _raise_if_stopped(self) -> None:
        if self._stop is not None:
            raise RolloutFailed("MANUAL_STOP", "The deployment was stopped.")
        if alarms := self._alarms_on():
            raise RolloutFailed(
                "ALARM_ACTIVE",
                "One or more alarms have been activated according to the Amazon CloudWatch metrics you "
                "selected, and the affected deployments have been stopped. "
                f"Activated alarms: <{', '.join(alarms)}>",
            )

    def _alarms_on(self) -> list[str]:
        """The group's alarms that are in ALARM."""
        configuration: Any = self._deployment.deployment_group.alarm_configuration or {}
        if not configuration.get("enabled"):
            return []
        alarms = cloudwatch_backends[settings.ACCOUNT][self._region].alarms
        names = [alarm["name"] for alarm in configuration.get("alarms", [])]
        return [name for name in names if name in alarms and alarms[name].state_value == "ALARM"]

    def _fail(self, failure: RolloutFailed) -> None:
        deployment = self._deployment
        stopped = failure.code in ("ALARM_ACTIVE", "MANUAL_STOP")
        deployment.error_information = {"code": failure.code, "message": str(failure)}
        if self._rolls_back(failure.code):
            self._route(0)
            deployment.rollback_info = {"rollbackMessage": "The traffic is back on the version before."}
        deployment.status = "Stopped" if stopped else "Failed"

    def _rolls_back(self, code: str) -> bool:
        if code == "MANUAL_STOP":
            return bool(self._stop)
        configuration = self._deployment.deployment_group.auto_rollback_configuration or {}
        event = "DEPLOYMENT_STOP_ON_ALARM" if code == "ALARM_ACTIVE" else "DEPLOYMENT_FAILURE"
        return bool(configuration.get("enabled")) and event in configuration.get("events", [])


def routing_of(name: str) -> dict[str, Any]:
    """The traffic routing of a configuration, predefined or the account's own.

    Raises:
        RolloutFailed: there is none of that name for Lambda.
    """
    if name in CONFIGURATIONS:
        return CONFIGURATIONS[name]
    found = _PREDEFINED.fullmatch(name)
    if found is None:
        raise RolloutFailed("INVALID_LAMBDA_CONFIGURATION", f"There is no deployment configuration {name}.")
    kind, percentage, minutes = found.groups()
    if kind is None:
        return {"type": "AllAtOnce"}
    lower = kind.lower()
    return {
        "type": f"TimeBased{kind}",
        f"timeBased{kind}": {f"{lower}Percentage": int(percentage), f"{lower}Interval": int(minutes)},
    }


def _content(revision: dict[str, Any]) -> str:
    """The AppSpec in a revision, as JSON."""
    kind = revision["revisionType"]
    if kind not in ("AppSpecContent", "String"):
        raise NotImplementedError(f"The emulator reads an AppSpec in the request, not from {kind}.")
    content: str = revision["appSpecContent" if kind == "AppSpecContent" else "string"]["content"]
    return content

"""The calls that moto's CodeDeploy lacks, and deployments that run (``emulator.rollout``)."""

from typing import Any

from moto.codedeploy import responses
from moto.codedeploy.models import CodeDeployBackend, DeploymentGroup, DeploymentInfo
from moto.codedeploy.responses import CodeDeployResponse
from moto.core.responses import ActionResult, EmptyResult

from emulator.rollout import CONFIGURATIONS, ROLLOUTS, Rollout

_create_deployment_of_moto = CodeDeployBackend.create_deployment
_deployment_info_of_moto = responses._deployment_info
_group_info_of_moto = responses._deployment_group_info


def _create_deployment(self: CodeDeployBackend, **options: Any) -> str:
    """CreateDeployment: for Lambda it starts at once."""
    deployment_id = _create_deployment_of_moto(self, **options)
    deployment = self.deployments[deployment_id]
    if deployment.application.compute_platform == "Lambda":
        ROLLOUTS[deployment_id] = Rollout(deployment, self.region_name)
        ROLLOUTS[deployment_id].start()
    return deployment_id


def _deployment_info(deployment: DeploymentInfo) -> dict[str, Any]:
    """What moto tells of a deployment, and why it failed."""
    return {
        **_deployment_info_of_moto(deployment),
        "errorInformation": getattr(deployment, "error_information", {}),
        "rollbackInfo": getattr(deployment, "rollback_info", {}),
    }


def _group_info(group: DeploymentGroup) -> dict[str, Any]:
    """What moto tells of a deployment group, and its alarms."""
    return {**_group_info_of_moto(group), "alarmConfiguration": group.alarm_configuration or {}}


def _put_lifecycle_event_hook_execution_status(self: CodeDeployResponse) -> ActionResult:
    deployment = self.codedeploy_backend.get_deployment(self._get_param("deploymentId"))
    execution_id = self._get_param("lifecycleEventHookExecutionId")
    ROLLOUTS[deployment.deployment_id].put_hook_status(execution_id, self._get_param("status"))
    return ActionResult({"lifecycleEventHookExecutionId": execution_id})


def _stop_deployment(self: CodeDeployResponse) -> ActionResult:
    deployment = self.codedeploy_backend.get_deployment(self._get_param("deploymentId"))
    if deployment.status not in ("Created", "InProgress"):
        return ActionResult({"status": "Succeeded", "statusMessage": "The deployment has ended already."})
    ROLLOUTS[deployment.deployment_id].stop(roll_back=bool(self._get_param("autoRollbackEnabled")))
    return ActionResult({"status": "Pending"})


def _create_deployment_config(self: CodeDeployResponse) -> ActionResult:
    name = self._get_param("deploymentConfigName")
    CONFIGURATIONS[name] = self._get_param("trafficRoutingConfig") or {"type": "AllAtOnce"}
    return ActionResult({"deploymentConfigId": name})


def _delete_deployment_config(self: CodeDeployResponse) -> EmptyResult:
    CONFIGURATIONS.pop(self._get_param("deploymentConfigName"), None)
    return EmptyResult()


def _delete_application(self: CodeDeployResponse) -> EmptyResult:
    name = self._get_param("applicationName")
    self.codedeploy_backend.applications.pop(name, None)
    self.codedeploy_backend.deployment_groups.pop(name, None)
    return EmptyResult()


def _delete_deployment_group(self: CodeDeployResponse) -> ActionResult:
    groups = self.codedeploy_backend.deployment_groups.get(self._get_param("applicationName"), {})
    groups.pop(self._get_param("deploymentGroupName"), None)
    return ActionResult({"hooksNotCleanedUp": []})


def _update_deployment_group(self: CodeDeployResponse) -> ActionResult:
    group = self.codedeploy_backend.get_deployment_group(
        self._get_param("applicationName"), self._get_param("currentDeploymentGroupName")
    )
    for key, attribute in {
        "deploymentConfigName": "deployment_config_name",
        "serviceRoleArn": "service_role_arn",
        "alarmConfiguration": "alarm_configuration",
        "autoRollbackConfiguration": "auto_rollback_configuration",
        "deploymentStyle": "deployment_style",
    }.items():
        value = self._get_param(key)
        if value is not None:
            setattr(group, attribute, value)
    return ActionResult({"hooksNotCleanedUp": []})


def install() -> None:
    """Add the calls to moto's CodeDeploy."""
    patched: Any = CodeDeployBackend
    patched.create_deployment = _create_deployment
    module: Any = responses
    module._deployment_info = _deployment_info
    module._deployment_group_info = _group_info
    for action in (
        _create_deployment_config,
        _delete_application,
        _delete_deployment_config,
        _delete_deployment_group,
        _put_lifecycle_event_hook_execution_status,
        _stop_deployment,
        _update_deployment_group,
    ):
        setattr(CodeDeployResponse, action.__name__.removeprefix("_"), action)

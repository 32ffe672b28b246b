"""CodeDeploy's rollouts of an alias: hooks, weights over emulated time, alarms and the way back."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from emulator import settings
from emulator.clients import client_at
from tests.emulator.stacks import Stack

CANARY = {
    "ComputePlatform": "Lambda",
    "TrafficRoutingConfig": {
        "Type": "TimeBasedCanary",
        "TimeBasedCanary": {"CanaryPercentage": 10, "CanaryInterval": 5},
    },
}
EVENTS = ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"]


def function(digest, **variables):
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Code": {"ImageUri": "echo:1"},
            "PackageType": "Image",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Environment": {"Variables": {"DIGEST": digest, **variables}},
        },
    }


def template(digest, version, config="CodeDeployDefault.LambdaAllAtOnce", **hook):
    """A function with an alias on ``version``, which CodeDeploy moves."""
    hook_function = function("hook", **hook)
    hook_function["Properties"] |= {"ImageConfig": {"Command": ["hooks.handler"]}, "Timeout": 20}
    return {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}},
        "Function": function(digest),
        "Hook": hook_function,
        version: {
            "Type": "AWS::Lambda::Version",
            "DeletionPolicy": "Retain",
            "Properties": {"FunctionName": {"Ref": "Function"}},
        },
        "Application": {"Type": "AWS::CodeDeploy::Application", "Properties": {"ComputePlatform": "Lambda"}},
        "Config": {"Type": "AWS::CodeDeploy::DeploymentConfig", "Properties": CANARY},
        "Alarm": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "AlarmName": {"Fn::Sub": "${Function}-errors"},
                "Namespace": "AWS/Lambda",
                "MetricName": "Errors",
                "Dimensions": [
                    {"Name": "FunctionName", "Value": {"Ref": "Function"}},
                    {"Name": "Resource", "Value": {"Fn::Sub": "${Function}:live"}},
                    {"Name": "ExecutedVersion", "Value": {"Fn::GetAtt": [version, "Version"]}},
                ],
                "Statistic": "Sum",
                "Period": 60,
                "EvaluationPeriods": 1,
                "Threshold": 1,
                "ComparisonOperator": "GreaterThanOrEqualToThreshold",
                "TreatMissingData": "notBreaching",
            },
        },
        "Group": {
            "Type": "AWS::CodeDeploy::DeploymentGroup",
            "Properties": {
                "ApplicationName": {"Ref": "Application"},
                "ServiceRoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                "DeploymentConfigName": {"Ref": "Config"} if config == "Config" else config,
                "AlarmConfiguration": {"Enabled": True, "Alarms": [{"Name": {"Ref": "Alarm"}}]},
                "AutoRollbackConfiguration": {"Enabled": True, "Events": EVENTS},
                "DeploymentStyle": {
                    "DeploymentType": "BLUE_GREEN",
                    "DeploymentOption": "WITH_TRAFFIC_CONTROL",
                },
            },
        },
        "Alias": {
            "Type": "AWS::Lambda::Alias",
            "Properties": {
                "FunctionName": {"Ref": "Function"},
                "FunctionVersion": {"Fn::GetAtt": [version, "Version"]},
                "Name": "live",
            },
            "UpdatePolicy": {
                "CodeDeployLambdaAliasUpdate": {
                    "ApplicationName": {"Ref": "Application"},
                    "DeploymentGroupName": {"Ref": "Group"},
                    "BeforeAllowTrafficHook": {"Ref": "Hook"},
                }
            },
        },
    }


class Endpoint:
    """The deployed function and its rollouts."""

    def __init__(self, stack):
        self.stack = stack
        self.emulator = stack.emulator
        self.lambda_ = stack.client("lambda")
        self.codedeploy = stack.client("codedeploy")

    @property
    def name(self):
        return self.stack.physical_ids["Function"]

    @property
    def alias(self):
        """The version, and the weights beside it."""
        alias = self.lambda_.get_alias(FunctionName=self.name, Name="live")
        return alias["FunctionVersion"], alias["RoutingConfig"]["AdditionalVersionWeights"]

    @property
    def rollout(self):
        """The last one, as CodeDeploy tells."""
        ids = self.codedeploy.list_deployments(
            applicationName=self.stack.physical_ids["Application"],
            deploymentGroupName=self.stack.physical_ids["Group"],
        )["deployments"]
        return self.codedeploy.get_deployment(deploymentId=ids[-1])["deploymentInfo"]

    def ask(self, **query):
        payload = json.dumps({"queryStringParameters": query})
        answer = self.lambda_.invoke(FunctionName=self.name, Qualifier="live", Payload=payload)
        return answer["ExecutedVersion"]

    def update_in_background(self, resources):
        thread = threading.Thread(target=self.stack.update, args=(resources,))
        thread.start()
        return thread


@pytest.fixture
def endpoint(stack: Stack, echo_image: None) -> Iterator[Endpoint]:
    stack.create(template("one", "V1"))
    assert stack.status == "CREATE_COMPLETE", stack.reasons("CREATE_FAILED")
    return Endpoint(stack)


@pytest.fixture
def canary(endpoint: Endpoint, until) -> Iterator[threading.Thread]:
    """A rollout that has 10 % of the traffic on the new version, and waits there."""
    with endpoint.emulator.held_clock():
        update = endpoint.update_in_background(template("two", "V2", "Config"))
        arrived = until(lambda: endpoint.alias == ("1", {"2": 0.1}))
        assert arrived, (endpoint.alias, endpoint.stack.status, endpoint.stack.reasons("UPDATE_FAILED"))
        yield update
        endpoint.emulator.advance(600)
        update.join(120)
        assert not update.is_alive()


def test_the_first_deployment_makes_no_rollout(endpoint):
    assert endpoint.alias == ("1", {})
    assert endpoint.codedeploy.list_deployments()["deployments"] == []


def test_all_at_once_runs_the_hook_first(endpoint):
    endpoint.stack.update(template("two", "V2"))
    assert endpoint.stack.status == "UPDATE_COMPLETE"
    assert endpoint.alias == ("2", {})
    assert endpoint.rollout["status"] == "Succeeded"


@pytest.mark.parametrize(
    ("hook", "words"), [("Failed", "reported Failed"), ("silent", "without reporting a status")]
)
def test_a_hook_that_objects_stops_it_before_traffic(endpoint, hook, words):
    endpoint.stack.update(template("two", "V2", HOOK=hook))
    assert endpoint.stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert words in endpoint.stack.reasons("UPDATE_FAILED")[0]
    assert endpoint.alias == ("1", {})
    assert endpoint.rollout["status"] == "Failed"
    assert endpoint.rollout["errorInformation"]["code"] == "HOOK_EXECUTION_FAILURE"
    # What it was refused for is repaired by the next deployment.
    endpoint.stack.update(template("three", "V3"))
    assert endpoint.stack.status == "UPDATE_COMPLETE"
    assert endpoint.ask() == endpoint.alias[0] != "1"


def test_a_canary_takes_its_minutes(endpoint, canary):
    endpoint.emulator.advance(240)
    assert endpoint.alias == ("1", {"2": 0.1})
    endpoint.emulator.advance(61)
    canary.join(60)
    assert endpoint.alias == ("2", {})
    assert endpoint.stack.status == "UPDATE_COMPLETE"


def test_errors_at_ten_percent_ring_the_alarm_and_roll_back(endpoint, canary):
    while endpoint.ask(do="raise") != "2":
        pass  # nine in ten go to the old version, which has no alarm
    endpoint.emulator.advance(60)
    canary.join(60)
    assert endpoint.alias == ("1", {})
    assert endpoint.stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert endpoint.rollout["status"] == "Stopped"
    assert endpoint.rollout["errorInformation"]["code"] == "ALARM_ACTIVE"
    assert "-errors" in endpoint.stack.reasons("UPDATE_FAILED")[0]


def test_a_rollout_can_be_stopped(endpoint, canary):
    endpoint.codedeploy.stop_deployment(
        deploymentId=endpoint.rollout["deploymentId"], autoRollbackEnabled=True
    )
    canary.join(60)
    assert endpoint.alias == ("1", {})
    assert endpoint.rollout["errorInformation"]["code"] == "MANUAL_STOP"
    assert endpoint.stack.status == "UPDATE_ROLLBACK_COMPLETE"


def test_nobody_has_to_advance_the_clock(endpoint):
    before = endpoint.emulator.now()
    endpoint.stack.update(template("two", "V2", "CodeDeployDefault.LambdaLinear10PercentEvery1Minute"))
    assert endpoint.alias == ("2", {})
    assert endpoint.emulator.now() - before >= 9 * 60


@pytest.mark.slow
def test_no_request_fails_while_a_rollout_runs(endpoint):
    """5,000 requests by four clients; the update comes when a tenth of them is done."""
    name, total, clients = endpoint.name, 5_000, 4
    host = endpoint.emulator.url.partition("//")[2]
    outcomes = []

    def send():
        connection = http.client.HTTPConnection(host)
        for _ in range(total // clients):
            connection.request("POST", f"/2015-03-31/functions/{name}:live/invocations", b"{}")
            response = connection.getresponse()
            response.read()
            failed = response.status != 200 or "X-Amz-Function-Error" in response.headers
            outcomes.append("failed" if failed else response.headers["X-Amz-Executed-Version"])
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(clients)]
    for thread in threads:
        thread.start()
    while len(outcomes) < total / 10:
        threads[0].join(0.05)
    config = "CodeDeployDefault.LambdaLinear10PercentEvery1Minute"
    endpoint.stack.update(template("two", "V2", config))
    during = len(outcomes)
    for thread in threads:
        thread.join()
    assert Counter(outcomes).keys() == {"1", "2"}
    assert len(outcomes) == total > during
    assert endpoint.alias == ("2", {})


def test_a_failure_after_the_rollout_takes_the_alias_back(endpoint):
    broken = {"Type": "AWS::ApiGatewayV2::Route", "Properties": {"ApiId": "none", "RouteKey": "$default"}}
    endpoint.stack.update({**template("two", "V2"), "Route": {**broken, "DependsOn": "Alias"}})
    assert endpoint.stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert endpoint.alias == ("1", {})


def test_all_of_it_can_be_deleted(endpoint):
    endpoint.stack.cloudformation.delete_stack(StackName=endpoint.stack.name)
    assert endpoint.codedeploy.list_applications()["applications"] == []
    assert (
        client_at(endpoint.emulator.url, "cloudwatch", settings.REGION).describe_alarms(
            AlarmNamePrefix=endpoint.stack.name
        )["MetricAlarms"]
        == []
    )

"""Provisioned concurrency: environments ahead of requests, what scales them, and what is left behind."""

import json

import pytest
from botocore.exceptions import ClientError

from emulator import settings
from emulator.clients import client_at

DIMENSION = "lambda:function:ProvisionedConcurrency"


class Version:
    """Version 1 of a function of its own."""

    def __init__(self, emulator, name, until, **variables):
        self.emulator = emulator
        self.name = name
        self.until = until
        self.lambda_ = client_at(emulator.url, "lambda", settings.REGION)
        self.scaling = client_at(emulator.url, "application-autoscaling", settings.REGION)
        self.target = {
            "ServiceNamespace": "lambda",
            "ResourceId": f"function:{name}:1",
            "ScalableDimension": DIMENSION,
        }
        client_at(emulator.url, "iam", settings.REGION).create_role(
            RoleName=name, AssumeRolePolicyDocument="{}"
        )
        self.lambda_.create_function(
            FunctionName=name,
            Role=f"arn:aws:iam::{settings.ACCOUNT}:role/{name}",
            PackageType="Image",
            Code={"ImageUri": "echo:1"},
            Environment={"Variables": variables},
            Timeout=10,
        )
        self.lambda_.publish_version(FunctionName=name)

    def put(self, count, qualifier="1"):
        return self.lambda_.put_provisioned_concurrency_config(
            FunctionName=self.name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
        )

    def get(self, qualifier="1"):
        return self.lambda_.get_provisioned_concurrency_config(FunctionName=self.name, Qualifier=qualifier)

    def reaches(self, requested, status="READY"):
        def there():
            try:
                config = self.get()
            except ClientError:
                return False
            return (config["RequestedProvisionedConcurrentExecutions"], config["Status"]) == (
                requested,
                status,
            )

        return self.until(there)

    def ask(self, qualifier="1", **query):
        payload = json.dumps({"queryStringParameters": query})
        answer = self.lambda_.invoke(FunctionName=self.name, Qualifier=qualifier, Payload=payload)
        content = json.load(answer["Payload"])
        return json.loads(content["body"]) if "body" in content else content

    def register(self, low, high):
        self.scaling.register_scalable_target(**self.target, MinCapacity=low, MaxCapacity=high)


@pytest.fixture
def version(emulator, echo_image, until, request):
    made = Version(emulator, request.node.name.replace("_", "-")[-40:], until)
    yield made
    made.lambda_.delete_function(FunctionName=made.name)
    emulator.advance(60)  # which ends what was provisioned


def test_environments_are_there_before_the_first_request(version):
    assert version.put(2)["Status"] == "IN_PROGRESS"
    assert version.reaches(2)
    assert version.get()["AvailableProvisionedConcurrentExecutions"] == 2
    logs = list((version.emulator.state_dir / "logs" / version.name).iterdir())
    assert len(logs) == 2
    first = version.ask()
    assert first["environment"]["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
    assert first["event"] == {"queryStringParameters": {}}
    assert len(list((version.emulator.state_dir / "logs" / version.name).iterdir())) == 2


def test_it_ends_when_it_is_deleted(version):
    with pytest.raises(ClientError, match="No Provisioned Concurrency Config found"):
        version.get()
    version.put(1)
    assert version.reaches(1)
    version.lambda_.delete_provisioned_concurrency_config(FunctionName=version.name, Qualifier="1")
    with pytest.raises(ClientError, match="No Provisioned Concurrency Config found"):
        version.get()
    assert version.until(
        lambda: version.ask()["environment"]["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    )


def test_a_failing_initialisation_is_told_and_repaired(emulator, echo_image, until):
    broken = Version(emulator, "broken-init", until, INIT="fail")
    broken.put(1)
    assert broken.reaches(1, "FAILED")
    assert broken.get()["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    assert broken.get()["AvailableProvisionedConcurrentExecutions"] == 0
    listed = broken.lambda_.list_provisioned_concurrency_configs(FunctionName="broken-init")
    assert [config["Status"] for config in listed["ProvisionedConcurrencyConfigs"]] == ["FAILED"]
    broken.lambda_.delete_provisioned_concurrency_config(FunctionName="broken-init", Qualifier="1")


def test_one_that_dies_is_replaced_within_the_minute(version):
    version.put(1)
    assert version.reaches(1)
    assert version.ask(do="exit")["errorType"] == "Runtime.ExitError"
    version.emulator.advance(60)
    assert version.until(lambda: version.get()["AvailableProvisionedConcurrentExecutions"] == 1)


def test_what_lambda_refuses(version):
    with pytest.raises(ClientError, match="unpublished"):
        version.put(1, "$LATEST")
    with pytest.raises(ClientError, match="Function not found"):
        version.put(1, "7")
    version.lambda_.update_function_configuration(
        FunctionName=version.name, Environment={"Variables": {"A": "B"}}
    )
    version.lambda_.publish_version(FunctionName=version.name)
    version.lambda_.create_alias(
        FunctionName=version.name,
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}},
    )
    with pytest.raises(ClientError, match="Alias with weights can not be used"):
        version.put(1, "live")


def test_a_scalable_target_holds_it_in_bounds_and_leaves_it_behind(version):
    version.register(2, 3)
    assert version.reaches(2)
    version.scaling.deregister_scalable_target(**version.target)
    version.emulator.advance(120)
    assert version.get()["RequestedProvisionedConcurrentExecutions"] == 2  # aws-cdk#31507


def test_a_schedule_changes_the_bounds(version):
    version.register(1, 1)
    version.scaling.put_scheduled_action(
        **version.target,
        ScheduledActionName="soon",
        Schedule="rate(2 minutes)",
        ScalableTargetAction={"MinCapacity": 2, "MaxCapacity": 2},
    )
    assert version.reaches(1)
    version.emulator.advance(180)
    assert version.reaches(2)


def test_target_tracking_scales_out_after_three_busy_minutes_and_never_in_without_requests(version):
    version.register(1, 2)
    version.scaling.put_scaling_policy(
        **version.target,
        PolicyName="tracking",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 0.7,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "LambdaProvisionedConcurrencyUtilization"
            },
        },
    )
    assert version.reaches(1)
    # Requests come through an alias; what they use counts for the version that is provisioned.
    version.lambda_.create_alias(FunctionName=version.name, Name="live", FunctionVersion="1")
    for minute in range(3):
        assert version.get()["RequestedProvisionedConcurrentExecutions"] == 1, minute
        version.ask("live")
        version.emulator.advance(60)
    assert version.reaches(2)
    version.emulator.advance(30 * 60)
    assert version.get()["RequestedProvisionedConcurrentExecutions"] == 2

"""Stacks through CloudFormation's API: order, updates, failures and what they leave."""

import json

import pytest
from botocore.exceptions import ClientError

from emulator.audit import compare
from tests.emulator.stacks import Stack

FUNCTION = {
    "Type": "AWS::Lambda::Function",
    "Properties": {
        "Code": {"ImageUri": "image:1"},
        "PackageType": "Image",
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Environment": {"Variables": {"DIGEST": "one"}},
    },
}
ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}}
VERSION = {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Function"}}}
ALIAS = {
    "Type": "AWS::Lambda::Alias",
    "Properties": {
        "FunctionName": {"Ref": "Function"},
        "FunctionVersion": {"Fn::GetAtt": ["Version1", "Version"]},
        "Name": "live",
    },
}


def topic(name, **more):
    return {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": name}, **more}


# An API that does not exist: the Route's creation is refused.
BROKEN_ROUTE = {"Type": "AWS::ApiGatewayV2::Route", "Properties": {"ApiId": "none", "RouteKey": "$default"}}


def test_resources_wait_for_what_they_refer_to(stack):
    # Written in the wrong order; the alias, the version and the function refer to what follows.
    stack.create({"Alias": ALIAS, "Version1": VERSION, "Function": FUNCTION, "Role": ROLE})
    assert stack.status == "CREATE_COMPLETE"
    assert stack.physical_ids["Alias"].endswith(":live")


def test_an_update_publishes_the_changed_function_and_then_moves_the_alias(stack):
    stack.create({"Role": ROLE, "Function": FUNCTION, "Version1": VERSION, "Alias": ALIAS})
    changed = json.loads(json.dumps(FUNCTION).replace('"one"', '"two"').replace("image:1", "image:2"))
    alias = json.loads(json.dumps(ALIAS).replace("Version1", "Version2"))
    stack.update({"Role": ROLE, "Alias": alias, "Version2": VERSION, "Function": changed})
    assert stack.status == "UPDATE_COMPLETE"
    lambda_, name = stack.client("lambda"), stack.physical_ids["Function"]
    live = lambda_.get_function(FunctionName=name, Qualifier="live")
    assert live["Configuration"]["Environment"]["Variables"] == {"DIGEST": "two"}
    assert live["Code"]["ImageUri"] == "image:2"
    # Version 1 was not to be retained; its number is never used again.
    versions = lambda_.list_versions_by_function(FunctionName=name)["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", "2"]


def test_a_retained_version_keeps_its_own_code_and_variables(stack):
    retained = {**VERSION, "DeletionPolicy": "Retain"}
    stack.create({"Role": ROLE, "Function": FUNCTION, "Version1": retained})
    changed = json.loads(json.dumps(FUNCTION).replace('"one"', '"two"').replace("image:1", "image:2"))
    stack.update({"Role": ROLE, "Function": changed, "Version2": retained})
    old = stack.client("lambda").get_function(FunctionName=stack.physical_ids["Function"], Qualifier="1")
    assert old["Configuration"]["Environment"]["Variables"] == {"DIGEST": "one"}
    assert old["Code"]["ImageUri"] == "image:1"


def test_a_version_of_an_unchanged_function_is_refused_as_in_aws(stack):
    stack.create({"Role": ROLE, "Function": FUNCTION, "Version1": VERSION})
    stack.update({"Role": ROLE, "Function": FUNCTION, "Version1": VERSION, "Version2": VERSION})
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert "A version for this Lambda function exists ( 1 )" in stack.reasons("CREATE_FAILED")[0]


def test_a_failed_creation_is_undone(stack):
    stack.create(
        {"Topic": topic("undone"), "Kept": topic("kept", DeletionPolicy="Retain"), "Route": BROKEN_ROUTE}
    )
    assert stack.status == "ROLLBACK_COMPLETE"
    assert "Route: " in stack.reasons("CREATE_FAILED")[0]
    assert "undone" not in stack.topics
    assert stack.physical_ids == {}


def test_a_failed_update_leaves_what_was(stack):
    alarm = {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": "a-failed-update",
            "ComparisonOperator": "GreaterThanThreshold",
            "EvaluationPeriods": 1,
            "ExtendedStatistic": "p99",
            "MetricName": "Duration",
            "Namespace": "AWS/Lambda",
            "Period": 60,
            "Threshold": 1,
        },
    }
    stack.create({"Alarm": alarm, "Old": topic("old")})
    changed = json.loads(json.dumps(alarm).replace('"Threshold": 1', '"Threshold": 2'))
    stack.update(
        {"Alarm": changed, "New": topic("new"), "Route": {**BROKEN_ROUTE, "DependsOn": ["Alarm", "New"]}}
    )
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.physical_ids.keys() == {"Alarm", "Old"}
    assert "old" in stack.topics
    assert "new" not in stack.topics
    alarms = stack.client("cloudwatch").describe_alarms(AlarmNames=["a-failed-update"])["MetricAlarms"]
    assert (alarms[0]["Threshold"], alarms[0]["ExtendedStatistic"]) == (1.0, "p99")


def test_an_update_in_place_keeps_what_is_in_a_resource(stack):
    def resources(**changes):
        tags = {"Tags": [{"Key": "a", "Value": "b"}]} if changes else {}
        group = {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 7, **changes, **tags}}
        told = {
            "Type": "AWS::SNS::Subscription",
            "Properties": {"TopicArn": {"Ref": "Topic"}, "Protocol": "email", "Endpoint": "a@example.com"},
        }
        told_topic = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": f"{len(tags)}", **tags}}
        return {"Group": group, "Topic": told_topic, "Told": told}

    stack.create(resources())
    ids = stack.physical_ids
    stack.client("logs").create_log_stream(logGroupName=ids["Group"], logStreamName="kept")
    stack.update(resources(RetentionInDays=30))
    assert stack.status == "UPDATE_COMPLETE", stack.reasons("UPDATE_FAILED")
    assert stack.physical_ids == ids
    (group,) = stack.client("logs").describe_log_groups(logGroupNamePrefix=ids["Group"])["logGroups"]
    assert group["retentionInDays"] == 30
    assert stack.client("logs").describe_log_streams(logGroupName=ids["Group"])["logStreams"]
    assert stack.client("sns").list_subscriptions_by_topic(TopicArn=ids["Topic"])["Subscriptions"]


def test_a_role_is_kept_as_its_template_says(stack):
    """Rights, boundary and tags, also in an update, where moto's own type forgets them."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }

    def role(action, **more):
        allowed = {"Effect": "Allow", "Action": action, "Resource": "*"}
        policy = {"PolicyName": action, "PolicyDocument": {"Version": "2012-10-17", "Statement": [allowed]}}
        properties = {"AssumeRolePolicyDocument": trust, "Policies": [policy], **more}
        return {"Role": {"Type": "AWS::IAM::Role", "Properties": properties}}

    boundary = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    versions = [
        role("s3:GetObject", PermissionsBoundary=boundary, Tags=[{"Key": "team", "Value": "one"}]),
        role("s3:PutObject", Tags=[{"Key": "team", "Value": "two"}]),
        role("s3:PutObject", PermissionsBoundary=boundary),
    ]
    stack.create(versions[0])
    for resources in versions[1:]:
        before = compare(stack.name, {"Resources": resources}, stack.cloudformation)
        assert before == ["Role (AWS::IAM::Role) is in the stack, but not as the template says in AWS."]
        stack.update(resources)
        assert compare(stack.name, {"Resources": resources}, stack.cloudformation) == []
    iam, name = stack.client("iam"), stack.physical_ids["Role"]
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["s3:PutObject"]
    assert iam.get_role(RoleName=name)["Role"].get("Tags", []) == []


def test_a_bound_that_a_schedule_of_the_template_set_is_as_wanted(stack):
    of = {
        "ServiceNamespace": "lambda",
        "ResourceId": "function:any:live",
        "ScalableDimension": "lambda:function:ProvisionedConcurrency",
    }
    action = {
        "ScheduledActionName": "day",
        "Schedule": "cron(0 8 ? * MON-FRI *)",
        "ScalableTargetAction": {"MinCapacity": 2},
    }
    properties = {**of, "MinCapacity": 1, "MaxCapacity": 3, "ScheduledActions": [action]}
    resources = {"Target": {"Type": "AWS::ApplicationAutoScaling::ScalableTarget", "Properties": properties}}
    stack.create(resources)
    scaling = stack.client("application-autoscaling")
    wrong = (
        "Target (AWS::ApplicationAutoScaling::ScalableTarget) is in the stack, but not as the template says"
    )
    for bounds, problems in (((1, 3), 0), ((2, 3), 0), ((3, 3), 1), ((2, 2), 1)):
        scaling.register_scalable_target(**of, MinCapacity=bounds[0], MaxCapacity=bounds[1])
        found = compare(stack.name, {"Resources": resources}, stack.cloudformation)
        assert found == [f"{wrong} in AWS."] * problems, bounds


def test_what_a_template_no_longer_names_goes_unless_it_is_retained(stack):
    stack.create(
        {"Gone": topic("gone"), "Stays": topic("stays", DeletionPolicy="Retain"), "Same": topic("same")}
    )
    stack.update({"Same": topic("same")})
    assert {"stays", "same"} <= stack.topics
    assert "gone" not in stack.topics


def test_deletion_keeps_what_is_to_be_retained(stack):
    stack.create({"A": topic("deleted"), "B": topic("retained", DeletionPolicy="Retain")})
    stack.cloudformation.delete_stack(StackName=stack.name)
    assert "retained" in stack.topics
    assert "deleted" not in stack.topics
    with pytest.raises(ClientError, match="does not exist"):
        _ = stack.status


def test_an_unknown_type_is_refused_by_name_before_anything_is_made(stack):
    with pytest.raises(
        ClientError, match=r"Unrecognized resource types: \[AWS::EKS::Addon, AWS::GameLift::Fleet\]"
    ):
        stack.create(
            {"T": topic("never"), "F": {"Type": "AWS::GameLift::Fleet"}, "C": {"Type": "AWS::EKS::Addon"}}
        )
    assert "never" not in stack.topics


def test_an_unknown_type_whose_condition_is_false_is_no_matter(stack):
    stack.create(
        {"T": topic("conditional"), "F": {"Type": "AWS::GameLift::Fleet", "Condition": "Never"}},
        Conditions={"Never": {"Fn::Equals": ["a", "b"]}},
    )
    assert stack.status == "CREATE_COMPLETE"
    assert stack.physical_ids.keys() == {"T"}


@pytest.mark.parametrize(
    ("resource", "word"),
    [
        (
            {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Name": "ws", "ProtocolType": "WEBSOCKET"}},
            "WEBSOCKET",
        ),
        (
            {
                "Type": "AWS::ApiGatewayV2::Route",
                "Properties": {"ApiId": "x", "RouteKey": "$default", "AuthorizationType": "CUSTOM"},
            },
            "CUSTOM",
        ),
        (
            {
                "Type": "AWS::ApiGatewayV2::Integration",
                "Properties": {"ApiId": "x", "IntegrationType": "HTTP_PROXY", "PayloadFormatVersion": "1.0"},
            },
            "HTTP_PROXY",
        ),
        (
            {
                "Type": "AWS::Lambda::Function",
                "Properties": {"Code": {"ZipFile": "x"}, "Role": "arn:aws:iam::123456789012:role/x"},
            },
            "zip",
        ),
    ],
)
def test_what_would_be_wrong_here_fails_and_says_so(stack, resource, word):
    stack.create({"Wrong": resource})
    assert stack.status == "ROLLBACK_COMPLETE"
    assert word in stack.reasons("CREATE_FAILED")[0]


MONITOR = {
    "Type": "AWS::CE::AnomalyMonitor",
    "Properties": {
        "MonitorName": "stage",
        "MonitorType": "CUSTOM",
        "MonitorSpecification": '{"Tags": {"Key": "stage", "Values": ["dev"]}}',
    },
}


def subscription(frequency):
    least = {
        "Key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
        "MatchOptions": ["GREATER_THAN_OR_EQUAL"],
        "Values": ["5"],
    }
    return {
        "Type": "AWS::CE::AnomalySubscription",
        "Properties": {
            "SubscriptionName": "stage",
            "Frequency": frequency,
            "MonitorArnList": [{"Fn::GetAtt": ["Monitor", "MonitorArn"]}],
            "Subscribers": [{"Type": "EMAIL", "Address": "a@example.com"}],
            "ThresholdExpression": json.dumps({"Dimensions": least}),
        },
    }


def test_unusual_cost_is_watched_until_the_template_says_no_more(stack):
    resources = {"Subscription": subscription("WEEKLY"), "Monitor": MONITOR}
    stack.create(resources)
    assert compare(stack.name, {"Resources": resources}, stack.cloudformation) == []
    weekly = stack.physical_ids["Subscription"]
    resources["Subscription"] = subscription("DAILY")
    stack.update(resources)
    assert compare(stack.name, {"Resources": resources}, stack.cloudformation) == []
    (left,) = stack.client("ce").get_anomaly_subscriptions()["AnomalySubscriptions"]
    assert left["SubscriptionArn"] != weekly
    stack.client("ce").delete_anomaly_monitor(MonitorArn=stack.physical_ids["Monitor"])
    assert "Monitor" in compare(stack.name, {"Resources": resources}, stack.cloudformation)[0]
    stack.update({"Topic": topic("in-its-place")})
    assert stack.client("ce").get_anomaly_subscriptions()["AnomalySubscriptions"] == []


def test_no_email_is_sent_at_once(stack):
    stack.create({"Monitor": MONITOR, "Subscription": subscription("IMMEDIATE")})
    assert stack.status == "ROLLBACK_COMPLETE"
    assert "daily or weekly" in stack.reasons("CREATE_FAILED")[0]


def test_exports_reach_another_stack_and_end_with_theirs(emulator, stack):
    stack.create(
        {"T": topic("exported")}, Outputs={"Arn": {"Value": {"Ref": "T"}, "Export": {"Name": "the-topic"}}}
    )
    other = Stack(emulator, "imports")
    other.create({"O": topic("o")}, Outputs={"Got": {"Value": {"Fn::ImportValue": "the-topic"}}})
    outputs = other.cloudformation.describe_stacks(StackName="imports")["Stacks"][0]["Outputs"]
    assert outputs[0]["OutputValue"].endswith(":exported")
    for one in (other, stack):
        one.cloudformation.delete_stack(StackName=one.name)
    exports = stack.cloudformation.list_exports()["Exports"]
    assert "the-topic" not in {export["Name"] for export in exports}


def test_an_alias_with_weights_calls_both_versions_and_a_deployment_ends_it(stack):
    stack.create({"Role": ROLE, "Function": FUNCTION, "Version1": VERSION, "Alias": ALIAS})
    changed = json.loads(json.dumps(FUNCTION).replace('"one"', '"two"'))
    weighted = json.loads(json.dumps(ALIAS))
    weighted["Properties"]["RoutingConfig"] = {
        "AdditionalVersionWeights": [
            {"FunctionVersion": {"Fn::GetAtt": ["Version2", "Version"]}, "FunctionWeight": 0.25}
        ]
    }
    resources = {"Role": ROLE, "Function": changed, "Version1": VERSION, "Version2": VERSION}
    stack.update({**resources, "Alias": weighted})
    lambda_, name = stack.client("lambda"), stack.physical_ids["Function"]
    alias = lambda_.get_alias(FunctionName=name, Name="live")
    assert alias["FunctionVersion"] == "1"
    assert alias["RoutingConfig"]["AdditionalVersionWeights"] == {"2": 0.25}
    stack.update({**resources, "Alias": ALIAS})
    alias = lambda_.get_alias(FunctionName=name, Name="live")
    assert not alias["RoutingConfig"]["AdditionalVersionWeights"]

"""Stages with all that can be asked for at once: made, changed and deleted, in both kinds of API."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from emulator import settings
from emulator.server import Emulator
from examples.deployment import Deployment
from tests.handlers.bundles import write_bundle
from tests.handlers.models import affine
from tests.infra import everything

BOUNDARY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
# What each of these calls lists, and what names one of them.
LISTS = [
    ("apigateway", "get_api_keys", {}, "items", "id"),
    ("apigateway", "get_domain_names", {}, "items", "domainName"),
    ("apigateway", "get_rest_apis", {}, "items", "id"),
    ("apigateway", "get_usage_plans", {}, "items", "id"),
    ("apigatewayv2", "get_apis", {}, "Items", "ApiId"),
    ("apigatewayv2", "get_domain_names", {}, "Items", "DomainName"),
    (
        "application-autoscaling",
        "describe_scalable_targets",
        {"ServiceNamespace": "lambda"},
        "ScalableTargets",
        "ResourceId",
    ),
    ("budgets", "describe_budgets", {"AccountId": settings.ACCOUNT}, "Budgets", "BudgetName"),
    ("ce", "get_anomaly_monitors", {}, "AnomalyMonitors", "MonitorArn"),
    ("ce", "get_anomaly_subscriptions", {}, "AnomalySubscriptions", "SubscriptionArn"),
    ("cloudwatch", "describe_alarms", {}, "MetricAlarms", "AlarmName"),
    ("cloudwatch", "list_dashboards", {}, "DashboardEntries", "DashboardName"),
    ("iam", "list_roles", {}, "Roles", "RoleName"),
    ("lambda", "list_functions", {}, "Functions", "FunctionName"),
    ("logs", "describe_log_groups", {}, "logGroups", "logGroupName"),
    ("sns", "list_topics", {}, "Topics", "TopicArn"),
]


def inventory() -> set[tuple[str, str]]:
    """All in the account that a stage may have made."""

    def find() -> Iterator[tuple[str, str]]:
        for service, call, arguments, key, name in LISTS:
            client: Any = boto3.client(service)
            for item in getattr(client, call)(**arguments).get(key, []):
                yield service, item[name]
        streams = boto3.client("firehose").list_delivery_streams()["DeliveryStreamNames"]
        yield from (("firehose", name) for name in streams)
        yield from (
            ("codedeploy", name) for name in boto3.client("codedeploy").list_applications()["applications"]
        )

    return set(find())


def prepared(stage: dict[str, Any], domain: str) -> dict[str, Any]:
    """The stage with a key, a boundary, a certificate and a web ACL that exist."""
    kms, acm, iam, waf = (boto3.client(service) for service in ("kms", "acm", "iam", "wafv2"))
    visibility = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "acl"}
    boundary = iam.create_policy(PolicyName=domain, PolicyDocument=json.dumps(BOUNDARY))
    given = {
        "kms_key_arn": kms.create_key()["KeyMetadata"]["Arn"],
        "permissions_boundary_arn": boundary["Policy"]["Arn"],
        "domain": {
            "name": domain,
            "certificate_arn": acm.request_certificate(DomainName=domain)["CertificateArn"],
        },
    }
    if "web_acl_arn" in stage:
        given["web_acl_arn"] = waf.create_web_acl(
            Name=domain.partition(".")[0],
            Scope="REGIONAL",
            DefaultAction={"Allow": {}},
            VisibilityConfig=visibility,
        )["Summary"]["ARN"]
    return {**stage, **given}


CHANGES: dict[str, Any] = {
    "alarms": {"email": "others@example.com", "errors": 3, "p99_latency_ms": 2000, "throttles": 9},
    "budget": {"monthly_usd": 80},
    "capture": {"rate": 0.5, "retention_days": 3},
    "log_retention_days": 30,
    "memory_mb": 2048,
    "monitor": {"every_minutes": 10},
    "rollout": {"type": "linear", "percent": 50, "minutes": 1},
    "tags": {"team": "other"},
    "throttling": {"rate": 7, "burst": 8},
    "timeout_s": 20,
    "domain": None,
    "kms_key_arn": None,
    "permissions_boundary_arn": None,
}
OF_HTTP: dict[str, Any] = {
    "cors": {"origins": ["https://other.example.com"], "max_age_s": 60},
    "jwt": {"issuer": "https://other.example.com", "audience": ["app", "web"]},
}
OF_REST: dict[str, Any] = {
    "api_keys": ["shop", "office"],
    "quota": {"limit": 10, "period": "week"},
    "web_acl_arn": None,
}


# The stage, what is changed of it, and of which services something stays when it goes: the role by which REST
# APIs may write their access logs is the account's, and others may use it by then.
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "http": (everything.HTTP, OF_HTTP, []),
    "rest": (everything.REST, OF_REST, ["iam"]),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_all_at_once_is_made_changed_and_deleted(account: Emulator, tmp_path: Path, kind: str) -> None:
    stage, changes, kept = KINDS[kind]
    before = inventory()
    deployment = Deployment(tmp_path, f"all-{kind}")
    models = {
        "ocr": {"provisioned_concurrency": {"min": 1}, "reserved_concurrency": 20},
        "layout": {"throttling": {"rate": 5}} if kind == "rest" else {},
    }
    stage = prepared(stage, f"{kind}.example.com")
    deployment.configure(**stage | {"model": None, "models": models, "provisioned_concurrency": None})
    for model in models:
        deployment.push(write_bundle(tmp_path, affine(), name=model))
    deployment.deploy()  # which compares what is there with the template
    functions = boto3.client("lambda").list_functions()["Functions"]
    mine = [one for one in functions if one["FunctionName"].startswith(deployment.stack)]
    assert mine
    assert {function["KMSKeyArn"] for function in mine} == {stage["kms_key_arn"]}
    iam = boto3.client("iam")
    roles = [iam.get_role(RoleName=one["Role"].rpartition("/")[2])["Role"] for one in mine]
    boundaries = {role["PermissionsBoundary"]["PermissionsBoundaryArn"] for role in roles}
    assert boundaries == {stage["permissions_boundary_arn"]}

    deployment.change(**CHANGES | changes)
    deployment.deploy()
    functions = boto3.client("lambda").list_functions()["Functions"]
    mine = [one for one in functions if one["FunctionName"].startswith(deployment.stack)]
    assert not any(function.get("KMSKeyArn") for function in mine)
    assert [one for service, one in inventory() if one == f"{kind}.example.com"] == []

    deployment.destroy()
    left = inventory() - before
    assert [service for service, _ in left] == kept, left

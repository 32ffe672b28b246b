"""Whatever a stage was configured to be before, it can be configured to be something else."""

import json
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from examples.deployment import Deployment
from tests.e2e.cloud import Cloud
from tests.handlers.bundles import write_bundle
from tests.handlers.models import affine, expand

EMAIL = {"email": "on-call@example.com"}
JWT = {"issuer": "https://issuer.example.com", "audience": ["app"]}
CORS = {"origins": ["https://app.example.com"]}
SCHEDULE = {"cron": "0 8 ? * MON-FRI *", "timezone": "Europe/Berlin", "min": 2}
PROVISIONED = st.fixed_dictionaries(
    {"min": st.integers(1, 2), "max": st.integers(2, 3)},
    optional={
        "target_utilization": st.sampled_from([0.1, 0.5, 0.9]),
        "statistic": st.sampled_from(["average", "maximum"]),
        "schedules": st.just([SCHEDULE]),
    },
)
ROLLOUT = st.fixed_dictionaries(
    {"type": st.sampled_from(["all_at_once", "canary", "linear"])},
    optional={"percent": st.integers(10, 99), "minutes": st.integers(1, 5)},
)
# What goes together in an API.
HTTP = st.one_of(
    st.fixed_dictionaries(
        {"authorization": st.sampled_from(["iam", "none"])}, optional={"cors": st.just(CORS)}
    ),
    st.just({"authorization": "jwt", "jwt": JWT}),
)
REST = st.one_of(
    st.fixed_dictionaries(
        {"api": st.just("rest"), "authorization": st.sampled_from(["iam", "none"])},
        optional={"cors": st.just(CORS), "streaming": st.booleans()},
    ),
    st.fixed_dictionaries(
        {"api": st.just("rest"), "authorization": st.just("api_key")},
        optional={
            "api_keys": st.sampled_from([["shop"], ["shop", "app"]]),
            "quota": st.fixed_dictionaries({"limit": st.integers(1, 1000)}),
        },
    ),
)
REST_OF_IT = st.fixed_dictionaries(
    {},
    optional={
        "alarms": st.fixed_dictionaries({"p99_latency_ms": st.integers(1, 30_000)}),
        "log_retention_days": st.sampled_from([1, 30, 365]),
        "memory_mb": st.integers(512, 3008),
        "provisioned_concurrency": PROVISIONED,
        "reserved_concurrency": st.integers(3, 9),
        "rollout": ROLLOUT,
        "tags": st.dictionaries(st.sampled_from(["team", "cost"]), st.sampled_from(["one", "two"])),
        "throttling": st.fixed_dictionaries({"rate": st.integers(1, 1000), "burst": st.integers(1, 1000)}),
        "timeout_s": st.integers(15, 29),
    },
)
BUDGET = st.sampled_from(
    [
        {},
        {"alarms": EMAIL},
        {"alarms": EMAIL, "budget": {"monthly_usd": 50}},
        {"alarms": EMAIL, "budget": {"monthly_usd": 50, "anomaly_usd": 5}},
    ]
)
STAGE = st.tuples(st.one_of(HTTP, REST), REST_OF_IT, BUDGET).map(lambda parts: parts[0] | parts[1] | parts[2])


@pytest.fixture(scope="module")
def stage(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> tuple[Deployment, list[dict[str, Any]]]:
    """A stage, and the two pushed models that it may be pinned to."""
    work = tmp_path_factory.mktemp("any")
    deployment = Deployment(work, "any")
    pins = []
    for model in (affine(), expand()):
        deployment.configure(provisioned_concurrency=None, model={"name": "any"})
        deployment.push(write_bundle(work, model, name="any"))
        config = json.loads((work / "cdk.json").read_text())
        pins.append(config["context"]["coldpress"]["any"]["model"])
    return deployment, pins


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(configuration=STAGE, pin=st.integers(0, 1))
def test_a_deployment_ends_as_its_template_says(
    stage: tuple[Deployment, list[dict[str, Any]]], configuration: dict[str, Any], pin: int
) -> None:
    deployment, pins = stage
    deployment.configure(**{"provisioned_concurrency": None, "tags": {}} | configuration, model=pins[pin])
    deployment.deploy()  # which compares what is there with the template
    name = deployment.output("FunctionName")
    lambda_ = boto3.client("lambda")
    alias = lambda_.get_alias(FunctionName=name, Name="live")
    assert not alias["RoutingConfig"]["AdditionalVersionWeights"]
    provisioned = lambda_.list_provisioned_concurrency_configs(FunctionName=name)
    qualifiers = [
        config["FunctionArn"].rpartition(":")[2] for config in provisioned["ProvisionedConcurrencyConfigs"]
    ]
    wanted = [alias["FunctionVersion"]] if "provisioned_concurrency" in configuration else []
    assert qualifiers == wanted

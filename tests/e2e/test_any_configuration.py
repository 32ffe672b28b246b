"""Whatever a stage was configured to be before, it can be configured to be something else."""

import json
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from coldpress.aws import send_signed
from emulator.server import Emulator
from examples.deployment import Deployment
from tests.handlers.bundles import write_bundle
from tests.handlers.models import affine, expand

PLAIN: dict[str, Any] = {"model": None, "provisioned_concurrency": None}
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
# What a model may have of its own; the first number says which of the two bundles it is pinned to.
MODEL = st.fixed_dictionaries(
    {"pin": st.integers(0, 1)},
    optional={
        "alarms": st.fixed_dictionaries({"p99_latency_ms": st.integers(1, 30_000)}),
        "capture": st.fixed_dictionaries({"rate": st.sampled_from([0.01, 1])}),
        "memory_mb": st.integers(512, 3008),
        "provisioned_concurrency": PROVISIONED,
        "reserved_concurrency": st.integers(3, 9),
        "rollout": ROLLOUT,
        "throttling": st.fixed_dictionaries({"rate": st.integers(20, 99), "burst": st.integers(20, 99)}),
        "timeout_s": st.integers(15, 29),
    },
)
NAMES = ("any", "other", "third")
MODELS = st.dictionaries(st.sampled_from(NAMES), MODEL, min_size=1, max_size=3)
SHARED = st.fixed_dictionaries(
    {},
    optional={
        "log_retention_days": st.sampled_from([1, 30, 365]),
        "tags": st.dictionaries(st.sampled_from(["team", "cost"]), st.sampled_from(["one", "two"])),
    },
)
BUDGET = st.sampled_from([{}, {"alarms": EMAIL}, {"alarms": EMAIL, "budget": {"monthly_usd": 50}}])
STAGE = st.tuples(st.one_of(HTTP, REST), SHARED, BUDGET).map(lambda parts: parts[0] | parts[1] | parts[2])
# What a stranger's or a signed request for a model's status is answered.
STATUS = {"iam": 200, "none": 200, "jwt": 401, "api_key": 403}
Pins = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def stage(account: Emulator, tmp_path_factory: pytest.TempPathFactory) -> tuple[Deployment, Pins]:
    """A stage, and the two pushed bundles of each model that it may be pinned to."""
    work = tmp_path_factory.mktemp("any")
    deployment = Deployment(work, "any")
    pins: Pins = {name: [] for name in NAMES}
    for name in NAMES:
        for model in (affine(), expand()):
            deployment.configure(**PLAIN, models={name: {}})
            deployment.push(write_bundle(work, model, name=name))
            config = json.loads((work / "cdk.json").read_text())
            pins[name].append(config["context"]["coldpress"]["any"]["models"][name])
    return deployment, pins


@pytest.mark.slow
@pytest.mark.timeout(3_000)
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(shared=STAGE, models=MODELS)
def test_a_deployment_ends_as_its_template_says(
    stage: tuple[Deployment, Pins], shared: dict[str, Any], models: dict[str, Any]
) -> None:
    deployment, pins = stage
    omitted = {"pin"} if shared.get("api") == "rest" else {"pin", "throttling"}
    pinned = {
        name: {key: own[key] for key in own.keys() - omitted} | pins[name][own["pin"]]
        for name, own in models.items()
    }
    deployment.configure(**PLAIN | {"tags": {}} | shared, models=pinned)
    deployment.deploy()  # which compares what is there with the template
    for name, own in pinned.items():
        prefix = "" if len(pinned) == 1 else name.title()
        _check_model(deployment.output(f"{prefix}FunctionName"), own)
        assert deployment.output(f"{prefix}ModelDigest") == own["digest"]
    for name in NAMES:
        asked = send_signed(f"{deployment.output('EndpointUrl')}/v1/models/{name}")
        wanted = STATUS[shared["authorization"]]
        assert asked.status == (404 if wanted == 200 and name not in pinned else wanted), asked.body


def _check_model(function: str, own: dict[str, Any]) -> None:
    """The alias is on the pinned bundle alone, and it alone has provisioned concurrency, if any."""
    lambda_ = boto3.client("lambda")
    alias = lambda_.get_alias(FunctionName=function, Name="live")
    assert not alias["RoutingConfig"]["AdditionalVersionWeights"]
    serving = lambda_.get_function_configuration(FunctionName=function, Qualifier="live")
    assert serving["Environment"]["Variables"]["COLDPRESS_DIGEST"] == own["digest"]
    provisioned = lambda_.list_provisioned_concurrency_configs(FunctionName=function)
    qualifiers = [
        config["FunctionArn"].rpartition(":")[2] for config in provisioned["ProvisionedConcurrencyConfigs"]
    ]
    assert qualifiers == ([alias["FunctionVersion"]] if "provisioned_concurrency" in own else [])

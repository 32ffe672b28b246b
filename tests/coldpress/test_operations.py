"""`coldpress status`, `promote`, `rollback`, `doctor` and `destroy`, against a stage in the emulator."""

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bundle.registry import Registry
from coldpress import checks
from coldpress.main import main
from tests.coldpress.stages import BUCKET, Account, template_of, with_another_model
from tests.handlers.bundles import write_bundle
from tests.handlers.models import affine


@pytest.fixture(scope="module")
def digests(account: Account, pressed: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two bundles of one model in the registry, the second without golden answers."""
    second = write_bundle(tmp_path_factory.mktemp("second"), affine(), name="classifier")
    registry = Registry(BUCKET, account.client("s3"))
    return [registry.push(bundle).digest for bundle in (pressed, second)]


@pytest.fixture
def stack(account: Account, digests: list[str], request: pytest.FixtureRequest) -> str:
    """A stage that served the first bundle, and serves the second."""
    name = "s-" + request.node.name.replace("_", "-").replace("[", "-").replace("]", "")[-60:].strip("-")
    account.deploy(name, digests[0])
    account.deploy(name, digests[1], version=2)
    return name


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A command in an empty folder: its exit status, and all that it said."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        status = main(arguments)
        told = capsys.readouterr()
        return status, told.out + told.err

    return run


def test_status_says_what_serves_and_what_is_kept(run: Any, stack: str, digests: list[str]) -> None:
    status, told = run("status", stack, "--json")
    assert status == 0
    (stage,) = json.loads(told)
    assert stage["traffic"] == {"2": 1.0}
    assert stage["deployed_digest"] == digests[1]
    assert [(v["version"], v["model_version"], v["digest"]) for v in stage["versions"]] == [
        (2, "2", digests[1]),
        (1, "1", digests[0]),
    ]
    assert len(stage["alarms"]) == 1
    assert stage["rollout"] is None
    _, told = run("status", stack)
    assert "live -> version 2 (100%)" in told
    assert f"*    2  classifier version 2, digest {digests[1][:12]}, 1769 MB" in told
    assert f"     1  classifier version 1, digest {digests[0][:12]}, 1769 MB" in told


def with_shadow(digests: list[str]) -> dict[str, Any]:
    """What a stage has more that serves the second bundle, and has the first as its shadow."""
    serving = template_of(digests[1], 2, {})["Resources"]["Function"]
    properties = serving["Properties"]
    variables = properties["Environment"]["Variables"]
    shadow = {**variables, "COLDPRESS_VERSION": "1", "COLDPRESS_DIGEST": digests[0]}
    variables = {
        **variables,
        "COLDPRESS_SHADOW_FUNCTION": {"Ref": "Shadow"},
        "COLDPRESS_SHADOW_SHARE": "0.05",
    }
    return {
        "Function": {**serving, "Properties": {**properties, "Environment": {"Variables": variables}}},
        "Shadow": {**serving, "Properties": {**properties, "Environment": {"Variables": shadow}}},
    }


def test_a_shadow_is_told_of_with_its_figures(run: Any, account: Account, digests: list[str]) -> None:
    account.deploy("s-shadow", digests[1], version=2, extra=with_shadow(digests))
    _, told = run("status", "s-shadow")
    assert f"shadow       version 1, digest {digests[0][:12]}, 0.05 of the requests: nothing compared" in told
    assert "shadow:" not in run("doctor", "s-shadow")[1]
    for version, name, values in (
        ("1", "ShadowRequests", [1, 1, 1, 1]),
        ("1", "ShadowErrors", [0, 0, 0, 1]),
        ("1", "ShadowAgreement", [1, 1, 0.25]),
        ("2", "ShadowTooLarge", [1]),
        ("2", "ShadowFailures", [1]),
    ):
        dimensions = [{"Name": "Model", "Value": "classifier"}, {"Name": "Version", "Value": version}]
        account.client("cloudwatch").put_metric_data(
            Namespace="coldpress",
            MetricData=[{"MetricName": name, "Dimensions": dimensions, "Value": value} for value in values],
        )
    _, told = run("status", "s-shadow")
    assert "agreement 75.00% within a day (4 requests, 1 errors)" in told
    (stage,) = json.loads(run("status", "s-shadow", "--json")[1])
    assert (stage["shadow"]["version"], stage["shadow"]["agreement"]) == ("1", 0.75)
    status, told = run("doctor", "s-shadow")
    assert status == 1
    assert "shadow: within a day the shadow failed on 1 of 4 requests" in told
    assert "shadow: within a day 2 requests could not be sent to the shadow" in told
    account.client("lambda").delete_function(FunctionName=stage["shadow"]["function"])
    assert f"its function {stage['shadow']['function']} is gone" in run("status", "s-shadow")[1]
    assert f"sends requests to {stage['shadow']['function']}, which is gone" in run("doctor", "s-shadow")[1]


def test_rollback_goes_to_the_version_before_and_says_to_pin(
    run: Any, account: Account, stack: str, digests: list[str], tmp_path: Path
) -> None:
    status, told = run("rollback", stack)
    assert status == 0, told
    assert f"live -> version 1: classifier version 1, digest {digests[0]}" in told
    assert "pin this one" in told
    assert account.alias(stack)["FunctionVersion"] == "1"
    status, told = run("rollback", stack)
    assert status == 2
    assert "no version is known to have served before 1" in told
    config = tmp_path / "cdk.json"
    model = {"name": "classifier", "version": 2, "versions": [1, 7]}
    config.write_text(json.dumps({"context": {"coldpress": {"dev": {"model": model}}}}))
    assert run("rollback", stack, "--to", "1", "--pin", "dev", "--config", str(config))[0] == 0
    pinned = json.loads(config.read_text())["context"]["coldpress"]["dev"]["model"]
    assert pinned == {"name": "classifier", "version": 1, "versions": [7], "digest": digests[0]}


def test_a_version_that_is_not_ready_gets_no_traffic(run: Any, account: Account, stack: str) -> None:
    function = account.output(stack, "FunctionName")
    lambda_ = account.client("lambda")
    # As if its image were gone from the repository.
    lambda_.update_function_code(FunctionName=function, ImageUri="gone:1")
    lambda_.publish_version(FunctionName=function)
    status, told = run("rollback", stack, "--to", "3")
    assert status == 2, told
    assert account.alias(stack)["FunctionVersion"] == "2"


def test_a_canary_is_undone_or_finished(run: Any, account: Account, stack: str) -> None:
    function = account.output(stack, "FunctionName")

    def begin() -> None:
        account.client("lambda").update_alias(
            FunctionName=function,
            Name="live",
            FunctionVersion="1",
            RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}},
        )

    begin()
    assert "version 1 (90%), version 2 (10%)" in run("status", stack)[1]
    status, told = run("doctor", stack)
    assert status == 1
    assert "version 2 gets 10% of the requests, and no deployment is running" in told
    assert "in the middle of a canary" in run("promote", stack, "--label", "prod")[1]
    assert run("rollback", stack)[0] == 0
    assert account.alias(stack)["FunctionVersion"] == "1"
    assert not (account.alias(stack).get("RoutingConfig") or {}).get("AdditionalVersionWeights")
    begin()
    status, told = run("promote", stack)
    assert status == 0, told
    assert account.alias(stack)["FunctionVersion"] == "2"
    assert not (account.alias(stack).get("RoutingConfig") or {}).get("AdditionalVersionWeights")
    status, told = run("promote", stack)
    assert status == 2
    assert "has no canary to finish" in told


def test_promote_moves_a_label_and_pins_another_stage(
    run: Any, account: Account, stack: str, digests: list[str], tmp_path: Path
) -> None:
    config = tmp_path / "cdk.json"
    config.write_text(
        json.dumps({"context": {"coldpress": {"prod": {"models": {"classifier": {}, "other": {}}}}}})
    )
    status, told = run("promote", stack, "--label", "best", "--pin", "prod", "--config", str(config))
    assert status == 0, told
    assert "deploy with `cdk deploy coldpress-prod`" in told
    label = Registry(BUCKET, account.client("s3")).label("classifier", "best")
    assert label is not None
    assert label.digest == digests[1]
    models = json.loads(config.read_text())["context"]["coldpress"]["prod"]["models"]
    assert models == {"classifier": {"version": 2, "digest": digests[1]}, "other": {}}
    config.write_text('{"context": {"coldpress": {"prod": {"models": {"other": {}}}}}}')
    status, told = run("promote", stack, "--pin", "prod", "--config", str(config))
    assert status == 2
    assert "has no model 'classifier'" in told


def test_doctor_names_what_is_wrong_and_what_to_do(
    run: Any, account: Account, stack: str, digests: list[str]
) -> None:
    s3, missing = account.client("s3"), "0" * 64
    s3.put_object(Bucket=BUCKET, Key="models/classifier/labels/lost", Body=missing)
    name = account.client("cloudformation").describe_stack_resource(
        StackName=stack, LogicalResourceId="Errors"
    )["StackResourceDetail"]["PhysicalResourceId"]
    cloudwatch = account.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/Lambda",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1000,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")
    assert run("rollback", stack)[0] == 0
    status, told = run("doctor", stack)
    assert status == 1
    for sentence in (
        f"digest: the alias serves {digests[0][:12]} (version 1), but the stack deployed {digests[1][:12]}",
        f"alarms: {name} is in ALARM (test)",
        "quota: Lambda runs at most 10 environments at a time",
        "drift: Errors (AWS::CloudWatch::Alarm) was changed by hand: undo that",
        "golden check: no check of the golden answers precedes the traffic",
        f"labels: the label 'lost' of classifier points at {missing[:12]}, which the registry does not hold",
        "not checked, image: cdk.json is not here",
    ):
        assert sentence in told
    for line in told.splitlines():
        assert line.endswith((".", ").")), line
    s3.delete_object(Bucket=BUCKET, Key="models/classifier/labels/lost")


TARGET = {
    "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
    "Properties": {
        "ServiceNamespace": "lambda",
        "ScalableDimension": "lambda:function:ProvisionedConcurrency",
        "ResourceId": {"Fn::Join": ["", ["function:", {"Ref": "Function"}, ":2"]]},
        "MinCapacity": 1,
        "MaxCapacity": 2,
    },
}


def test_doctor_finds_provisioned_concurrency_that_is_idle_or_of_no_use(
    run: Any, account: Account, stack: str, digests: list[str]
) -> None:
    function, lambda_ = account.output(stack, "FunctionName"), account.client("lambda")

    def findings() -> list[str]:
        lines = run("doctor", stack)[1].splitlines()
        return [line for line in lines if line.startswith("provisioned concurrency:")]

    assert findings() == []
    lambda_.put_provisioned_concurrency_config(
        FunctionName=function, Qualifier="1", ProvisionedConcurrentExecutions=1
    )
    (left,) = findings()
    assert "provisioned concurrency of '1' bills, and no request gets there" in left
    assert f"delete-provisioned-concurrency-config --function-name {function} --qualifier 1" in left
    lambda_.delete_provisioned_concurrency_config(FunctionName=function, Qualifier="1")
    account.deploy(stack, digests[1], version=2, extra={"Target": TARGET})
    lambda_.put_provisioned_concurrency_config(
        FunctionName=function, Qualifier="2", ProvisionedConcurrentExecutions=2
    )
    until_ready(lambda_, function)
    assert findings() == []  # nothing is known yet
    resource = [
        {"Name": "FunctionName", "Value": function},
        {"Name": "Resource", "Value": f"{function}:2"},
    ]
    account.client("cloudwatch").put_metric_data(
        Namespace="AWS/Lambda",
        MetricData=[
            {"MetricName": "ProvisionedConcurrencyUtilization", "Dimensions": resource, "Value": 0.04}
        ],
    )
    (idle,) = findings()
    assert "at most 4% was in use within a day" in idle
    status, told = run("destroy", stack, "--force")
    assert status == 0, told
    assert f"provisioned concurrency of {function}:2 is off" in told


def until_ready(lambda_: Any, function: str) -> None:
    deadline = time.monotonic() + 90
    while True:
        config = lambda_.get_provisioned_concurrency_config(FunctionName=function, Qualifier="2")
        if config["Status"] == "READY":
            return
        assert config["Status"] == "IN_PROGRESS", config
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_doctor_finds_alarms_on_nothing(
    run: Any, account: Account, stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "not checked, alarms: nobody sent a request" in run("doctor", stack)[1]
    function = account.output(stack, "FunctionName")
    for qualifier in ("live", "2"):
        account.client("lambda").invoke(FunctionName=function, Qualifier=qualifier, Payload=b"{}")
    assert "alarms:" not in run("doctor", stack)[1]
    wrong = {"Fn::Join": ["", [{"Ref": "Function"}, ":other"]]}
    alarm = template_of("2" * 64, 3, {})["Resources"]["Errors"]
    alarm["Properties"]["Dimensions"][1]["Value"] = wrong
    account.deploy(stack, "2" * 64, version=3, extra={"OnNothing": alarm})
    assert "alarms:" not in run("doctor", stack)[1]
    monkeypatch.setattr(checks, "_SETTLED", timedelta(0))
    (finding,) = [line for line in run("doctor", stack)[1].splitlines() if line.startswith("alarms:")]
    assert "OnNothing" in finding
    assert "under dimensions that had no data" in finding


def test_doctor_misses_the_golden_answers_and_the_bundle(
    run: Any, account: Account, stack: str, digests: list[str]
) -> None:
    assert "the bundle has no golden answers to check" in run("doctor", stack)[1]
    account.deploy(stack, "1" * 64, version=3)
    assert "the bundle that serves is gone from the registry" in run("doctor", stack)[1]


def test_destroy_asks_and_leaves_the_registry_alone(run: Any, account: Account, stack: str) -> None:
    function = account.output(stack, "FunctionName")
    status, told = run("destroy", stack)
    assert status == 2
    assert "add --force" in told
    account.client("cloudformation").update_termination_protection(
        StackName=stack, EnableTerminationProtection=True
    )
    status, told = run("destroy", stack, "--force")
    assert status == 2
    assert "is protected" in told
    account.client("cloudformation").update_termination_protection(
        StackName=stack, EnableTerminationProtection=False
    )
    status, told = run("destroy", stack, "--force")
    assert status == 0, told
    assert f"{stack} is gone" in told
    assert f"kept: the bundles of classifier in s3://{BUCKET}/models/classifier/" in told
    assert "left behind" not in told
    functions = account.client("lambda").list_functions()["Functions"]
    assert function not in {entry["FunctionName"] for entry in functions}
    assert account.client("s3").list_objects_v2(Bucket=BUCKET)["KeyCount"] > 0
    status, told = run("status", stack)
    assert status == 2
    assert f"there is no stack '{stack}'" in told


def test_live_measures_what_is_deployed_and_touches_nothing(run: Any, account: Account, stack: str) -> None:
    run("rollback", stack)  # the echoing image takes any sample; only the first bundle has some
    before = account.alias(stack)
    status, told = run("size", "--live", stack, "--requests", "3", "--json")
    assert status == 0, told
    measured = json.loads(told)
    assert [row["memory_mb"] for row in measured["rows"]] == [1769]
    assert measured["recommended"]["latency_ms"] > 0
    assert "Only one memory size" in measured["notes"][0]
    after = account.alias(stack)
    assert (after["FunctionVersion"], after["RevisionId"]) == (
        before["FunctionVersion"],
        before["RevisionId"],
    )


def test_a_stage_of_several_models_wants_to_know_which(
    run: Any, account: Account, digests: list[str]
) -> None:
    template = with_another_model(template_of(digests[0], 1, {}), digests[0])
    account.client("cloudformation").create_stack(StackName="several", TemplateBody=json.dumps(template))
    status, told = run("status", "several", "--json")
    assert status == 0, told
    models = [stage["versions"][0]["model"] for stage in json.loads(told)]
    assert models == ["classifier", "other"]
    status, told = run("rollback", "several")
    assert status == 2
    assert "serves several models: name one with --model (classifier, other)" in told
    assert (
        "serves no model 'third': it has classifier, other" in run("status", "several", "--model", "third")[1]
    )
    (other,) = json.loads(run("status", "several", "--model", "other", "--json")[1])
    assert other["function"] == account.output("several", "OtherFunctionName")
    status, told = run("destroy", "several", "--force")
    assert status == 0, told
    assert "kept: the bundles of classifier" in told
    assert "kept: the bundles of other" in told


@pytest.mark.parametrize("command", ["status", "promote", "rollback", "doctor", "destroy"])
def test_another_stack_is_one_sentence(run: Any, account: Account, command: str) -> None:
    cloudformation = account.client("cloudformation")
    known = {entry["StackName"] for entry in cloudformation.describe_stacks()["Stacks"]}
    if "other" not in known:
        template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
        cloudformation.create_stack(StackName="other", TemplateBody=json.dumps(template))
    for stack, sentence in (("nowhere", "there is no stack 'nowhere'"), ("other", "serves no model")):
        status, told = run(command, stack)
        assert status == 2
        assert sentence in told
        assert told.count("\n") == 1

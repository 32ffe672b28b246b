"""A second version that answers a share of the requests, read from the template."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from infra.config import InvalidConfig
from infra.stages import load_stages
from tests.infra.test_batch import statements, text

LIVE, OTHER = "0123456789abcdef" * 4, "fedcba9876543210" * 4
SHADOW = {"version": 8, "digest": OTHER, "share": 0.25}
STAGE = {
    "model": {"name": "ocr", "version": 7, "digest": LIVE, "shadow": SHADOW},
    "memory_mb": 3008,
    "timeout_s": 20,
    "reserved_concurrency": 10,
}
Synthesise = Callable[..., Any]


@pytest.fixture(scope="module")
def template(synthesise: Synthesise) -> Any:
    return synthesise(STAGE).stack("coldpress-dev")


def shadow_of(template: Any) -> tuple[str, dict[str, Any]]:
    (found,) = [
        (name, body["Properties"])
        for name, body in template.all("AWS::Lambda::Function").items()
        if body["Properties"]["Description"].startswith("coldpress: answers as version")
    ]
    return found


def test_it_is_the_same_function_with_another_bundle(template: Any) -> None:
    (live,) = template.serving()
    _, shadow = shadow_of(template)
    same = ("Architectures", "MemorySize", "Timeout", "Code")
    assert {key: shadow[key] for key in same} == {key: live[key] for key in same}
    assert shadow["ImageConfig"] == {
        "EntryPoint": ["/lambda-entrypoint.sh"],
        "Command": ["handlers.shadow.app.handler"],
    }
    variables = shadow["Environment"]["Variables"]
    assert (variables["COLDPRESS_VERSION"], variables["COLDPRESS_DIGEST"]) == ("8", OTHER)
    assert variables.keys() == {f"COLDPRESS_{key}" for key in ("MODEL", "VERSION", "DIGEST", "BUCKET")}
    assert shadow["LoggingConfig"]["LogGroup"] != live["LoggingConfig"]["LogGroup"]


def test_the_endpoint_knows_it_and_may_invoke_it_alone(template: Any) -> None:
    name, _ = shadow_of(template)
    (live,) = template.serving()
    variables = live["Environment"]["Variables"]
    assert variables["COLDPRESS_SHADOW_FUNCTION"] == {"Ref": name}
    assert variables["COLDPRESS_SHADOW_SHARE"] == "0.25"
    role = live["Role"]["Fn::GetAtt"][0]
    (invoke,) = [one for one in template.rights(role) if one["Action"] == "lambda:InvokeFunction"]
    assert text(invoke["Resource"]) == f"<{name}.Arn>"


def test_it_reads_and_writes_nothing_but_its_log(template: Any) -> None:
    _, shadow = shadow_of(template)
    role = template.content["Resources"][shadow["Role"]["Fn::GetAtt"][0]]
    found = statements(template, role["Properties"]["Description"].removeprefix("coldpress: "))
    assert {action for action, _ in found} == {"s3:GetObject", "logs:CreateLogStream", "logs:PutLogEvents"}
    assert {resource.partition("/")[2] for action, resource in found if action == "s3:GetObject"} == {
        "models/ocr/*",
        "uploads/ocr/*",
    }


def test_nothing_leads_to_it_and_nothing_is_tried_again(template: Any) -> None:
    name, shadow = shadow_of(template)
    assert template.properties("AWS::Lambda::EventInvokeConfig") == {
        "FunctionName": {"Ref": name},
        "Qualifier": "$LATEST",
        "MaximumEventAgeInSeconds": 60,
        "MaximumRetryAttempts": 0,
    }
    for kind in ("Permission", "Alias", "Version"):
        for resource in template.all(f"AWS::Lambda::{kind}").values():
            assert name not in json.dumps(resource)
    assert shadow["ReservedConcurrentExecutions"] == 3  # a quarter of ten


def test_without_a_reservation_it_has_none(synthesise: Synthesise) -> None:
    stage = {key: value for key, value in STAGE.items() if key != "reserved_concurrency"}
    _, shadow = shadow_of(synthesise(stage).stack("coldpress-dev"))
    assert "ReservedConcurrentExecutions" not in shadow


def test_the_dashboard_shows_it(template: Any) -> None:
    (dashboard,) = template.all("AWS::CloudWatch::Dashboard").values()
    page = text(dashboard["Properties"]["DashboardBody"])
    assert '"coldpress","ShadowAgreement","Model","ocr","Version","8"' in page
    assert '"coldpress","ShadowFailures","Model","ocr","Version","7"' in page


def test_another_shadow_makes_no_new_version_of_the_endpoint(synthesise: Synthesise, template: Any) -> None:
    other = {**SHADOW, "version": 9, "digest": "a" * 64}
    changed = synthesise({**STAGE, "model": {**STAGE["model"], "shadow": other}}).stack("coldpress-dev")
    assert changed.all("AWS::Lambda::Version").keys() == template.all("AWS::Lambda::Version").keys()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"share": 0}, "cdk.json: coldpress.dev.model.shadow.share is 0, but it takes a share of the "),
        ({"share": 5}, "cdk.json: coldpress.dev.model.shadow.share is 5, but it takes a share of the "),
        ({"digest": "8"}, 'cdk.json: coldpress.dev.model.shadow.digest is "8", but a digest is the 64 hex '),
        ({"digest": LIVE}, "cdk.json: coldpress.dev.model.shadow.digest is what serves, but a shadow is "),
        ({"version": 7}, "cdk.json: coldpress.dev.model.shadow.version is what serves, but a shadow is "),
        (
            {"rate": 1},
            "cdk.json: coldpress.dev.model.shadow.rate is no key: known are version, digest, share.",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(
    synthesise: Synthesise, change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidConfig) as raised:
        synthesise({"model": {**STAGE["model"], "shadow": {**SHADOW, **change}}})
    assert str(raised.value).startswith(sentence)


def test_a_share_is_needed(synthesise: Synthesise) -> None:
    with pytest.raises(InvalidConfig, match=r"model\.shadow\.share is missing: it takes a share"):
        synthesise({"model": {**STAGE["model"], "shadow": {"version": 8, "digest": OTHER}}})


def test_the_command_line_cannot_make_it_its_own_shadow() -> None:
    context = {"coldpress": {"dev": STAGE}, "stage": "dev", "version": "7", "digest": OTHER}
    with pytest.raises(InvalidConfig, match="is what serves"):
        load_stages(context)

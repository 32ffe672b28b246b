"""Several models behind one API, and the two kinds of API, read from the templates."""

import json
from collections.abc import Callable
from typing import Any

import pytest

DIGEST = "0123456789abcdef" * 4
OCR = {"model": {"name": "ocr", "digest": DIGEST}}
PIN = {"digest": DIGEST}
API = "AWS::ApiGatewayV2::Api"
Synthesise = Callable[..., Any]


def stack(synthesise: Synthesise, **stage: Any) -> Any:
    return synthesise({**({} if "models" in stage else OCR), **stage}).stack("coldpress-dev")


def target(template: Any, route: dict[str, Any]) -> str:
    """The model whose alias a route leads to."""
    alias = template.content["Resources"][route["target"][0]["Ref"]]
    function = template.content["Resources"][alias["Properties"]["FunctionName"]["Ref"]]
    return function["Properties"]["Environment"]["Variables"]["COLDPRESS_MODEL"]


def paths(template: Any) -> dict[str, dict[str, Any]]:
    """Of a REST API's document."""
    return template.properties("AWS::ApiGateway::RestApi")["Body"]["paths"]


# Several models


TWO = {"models": {"ocr": PIN, "layout": {**PIN, "memory_mb": 3008, "transform": "transforms.a:B"}}}


def test_the_first_model_takes_what_no_other_model_takes(synthesise: Synthesise) -> None:
    template = stack(synthesise, **TWO)
    leads = {key: target(template, route) for key, route in template.http_routes().items()}
    assert leads == {
        "ANY /{proxy+}": "ocr",
        "ANY /v1/models/layout": "layout",
        "ANY /v1/models/layout/{proxy+}": "layout",
        "ANY /v1/models/layout:predict": "layout",
        "ANY /v1/models/layout:classify": "layout",
        "ANY /v1/models/layout:regress": "layout",
        "ANY /v1/models/layout:transform": "layout",
        "ANY /v2/models/layout": "layout",
        "ANY /v2/models/layout/{proxy+}": "layout",
    }
    assert len(template.all("AWS::ApiGatewayV2::Api")) == 1


def test_models_have_functions_of_their_own_and_one_image(synthesise: Synthesise) -> None:
    templates = synthesise(TWO)
    template = templates.stack("coldpress-dev")
    functions = template.serving()
    assert {function["MemorySize"] for function in functions} == {1769, 3008}
    assert len({json.dumps(function["Code"], sort_keys=True) for function in functions}) == 1


def test_each_model_may_be_invoked_by_the_api_and_no_more(synthesise: Synthesise) -> None:
    template = stack(synthesise, **TWO)
    permissions = [
        permission["Properties"]
        for permission in template.all("AWS::Lambda::Permission").values()
        if permission["Properties"]["Principal"] == "apigateway.amazonaws.com"
    ]
    aliases = set(template.all("AWS::Lambda::Alias"))
    assert {permission["FunctionName"]["Ref"] for permission in permissions} == aliases
    assert len(permissions) == 2


def test_a_model_that_is_gone_leaves_nothing_and_changes_nothing_else(synthesise: Synthesise) -> None:
    both, one = stack(synthesise, **TWO), stack(synthesise, models={"ocr": PIN})
    assert list(one.http_routes()) == ["ANY /{proxy+}"]
    assert "layout" not in json.dumps(one.content)
    rest = {key: value for key, value in both.content["Resources"].items() if key in one.content["Resources"]}
    assert rest.keys() == one.content["Resources"].keys()
    # What brings new versions out is shared, and may be used for each model; API and dashboard show them all.
    shared = (one.id_of(API), one.id_of("AWS::CloudWatch::Dashboard"))
    same = [key for key in rest if not key.startswith("Rollouts") and key not in shared]
    assert {key: rest[key] for key in same} == {key: one.content["Resources"][key] for key in same}


def test_the_short_form_and_one_of_several_are_the_same_resources(synthesise: Synthesise) -> None:
    short, long = stack(synthesise), stack(synthesise, models={"ocr": PIN})
    assert short.content["Resources"] == long.content["Resources"]
    assert short.outputs.items() <= long.outputs.items()


def test_outputs_name_each_model(synthesise: Synthesise) -> None:
    outputs = stack(synthesise, models={"text-direction": PIN, "layout": PIN}).outputs
    for name in ("FunctionName", "AliasArn", "ModelDigest"):
        assert outputs[name] == outputs[f"TextDirection{name}"]
        assert f"Layout{name}" in outputs
    assert outputs["FunctionName"] != outputs["LayoutFunctionName"]


def test_a_model_without_a_bundle_is_left_out(synthesise: Synthesise, capsys: Any) -> None:
    template = stack(synthesise, models={"ocr": {}, "tables": PIN})
    assert [target(template, route) for route in template.http_routes().values()] == ["tables"]
    assert "The model ocr of the stage dev has no bundle yet" in capsys.readouterr().err


def test_only_the_first_model_watches_the_api_that_they_share(synthesise: Synthesise) -> None:
    alarms = stack(synthesise, **TWO).all("AWS::CloudWatch::Alarm").values()
    assert [alarm["Properties"].get("MetricName") for alarm in alarms].count("5xx") == 1


# The HTTP API


def test_all_routes_have_the_same_limits(synthesise: Synthesise) -> None:
    models = {"ocr": PIN, "layout": PIN}
    template = stack(synthesise, throttling={"rate": 100, "burst": 200}, models=models)
    stage = template.properties("AWS::ApiGatewayV2::Stage")
    assert stage["DefaultRouteSettings"] == {"ThrottlingRateLimit": 100, "ThrottlingBurstLimit": 200}
    assert "RouteSettings" not in stage
    assert stage["ApiId"] == {"Ref": template.id_of(API)}


def test_cors_is_the_apis_and_no_route_takes_the_browsers_question(synthesise: Synthesise) -> None:
    template = stack(synthesise, cors={"origins": ["https://app.example.com"]}, models=TWO["models"])
    cors = template.http_document()["x-amazon-apigateway-cors"]
    assert cors["allowOrigins"] == ["https://app.example.com"]
    assert cors["allowMethods"] == ["GET", "POST"]
    assert {key.split()[0] for key in template.http_routes()} == {"GET", "POST"}


def test_tokens_are_checked_against_the_issuer(synthesise: Synthesise) -> None:
    jwt = {"issuer": "https://login.example.com/", "audience": ["app", "tests"]}
    template = stack(synthesise, authorization="jwt", jwt=jwt)
    ((name, scheme),) = template.http_document()["components"]["securitySchemes"].items()
    authorizer = scheme["x-amazon-apigateway-authorizer"]
    assert (authorizer["type"], authorizer["identitySource"]) == ("jwt", "$request.header.Authorization")
    assert authorizer["jwtConfiguration"] == {"audience": ["app", "tests"], "issuer": jwt["issuer"]}
    (route,) = template.http_routes().values()
    assert route["security"] == [{name: []}]


def test_the_document_alone_says_what_the_api_is(synthesise: Synthesise) -> None:
    """Beside a document CloudFormation takes no other properties; the tags are what a budget counts by."""
    template = stack(synthesise, tags={"team": "search"})
    assert template.properties(API).keys() == {"Body"}
    document = template.http_document()
    tags = {tag["name"]: tag["x-amazon-apigateway-tag-value"] for tag in document["tags"]}
    assert tags == {"coldpress-stage": "dev", "team": "search"}
    assert document["info"]["title"] == "coldpress-dev"


def test_every_route_of_every_model_is_closed(synthesise: Synthesise) -> None:
    models = {"ocr": {**PIN, "version": 3, "versions": [2]}, "layout": PIN}
    template = stack(synthesise, models=models, cors={"origins": ["*"]})
    document = template.http_document()
    ((name, scheme),) = document["components"]["securitySchemes"].items()
    assert scheme["x-amazon-apigateway-authtype"] == "awsSigv4"
    assert len(template.http_routes()) > 10
    assert all(route["security"] == [{name: []}] for route in template.http_routes().values())


CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/0123-4567"


@pytest.mark.parametrize(
    ("api", "name_type", "mapping_type"),
    [
        ("http", "AWS::ApiGatewayV2::DomainName", "AWS::ApiGatewayV2::ApiMapping"),
        ("rest", "AWS::ApiGateway::DomainName", "AWS::ApiGateway::BasePathMapping"),
    ],
)
def test_a_domain_leads_to_the_api(
    synthesise: Synthesise, api: str, name_type: str, mapping_type: str
) -> None:
    domain = {"name": "models.example.com", "certificate_arn": CERTIFICATE}
    template = stack(synthesise, api=api, domain=domain)
    assert CERTIFICATE in json.dumps(template.properties(name_type))
    mapping = template.properties(mapping_type)
    assert mapping["DomainName"] == {"Ref": template.id_of(name_type)}
    assert template.outputs["EndpointUrl"] == "https://models.example.com"
    assert template.outputs["DomainTarget"] == {
        "Fn::GetAtt": [template.id_of(name_type), "RegionalDomainName"]
    }


# The REST API


def test_a_rest_api_integrates_the_aliases_by_its_document(synthesise: Synthesise) -> None:
    template = stack(synthesise, api="rest", **TWO)
    assert paths(template).keys() == {
        "/{proxy+}",
        *(f"/v1/models/layout{rest}" for rest in ("", "/{proxy+}", ":predict", ":classify", ":regress")),
        "/v1/models/layout:transform",
        *(f"/v2/models/layout{rest}" for rest in ("", "/{proxy+}")),
    }
    for operation in (paths(template)["/{proxy+}"]["post"], paths(template)["/v1/models/layout"]["get"]):
        uri = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Join"][1]
        (alias,) = [part["Ref"] for part in uri if isinstance(part, dict) and "Alias" in part["Ref"]]
        assert alias in template.all("AWS::Lambda::Alias")
        assert operation["security"] == [{"sigv4": []}]
    assert not template.all("AWS::ApiGatewayV2::Api")


def test_another_document_is_another_deployment(synthesise: Synthesise) -> None:
    one = stack(synthesise, api="rest", models={"ocr": PIN})
    two = stack(synthesise, api="rest", **TWO)
    bigger = stack(synthesise, api="rest", models={"ocr": {**PIN, "memory_mb": 512}})
    deployment = "AWS::ApiGateway::Deployment"
    assert one.id_of(deployment) != two.id_of(deployment)
    assert one.id_of(deployment) == bigger.id_of(deployment)
    # A merge would keep the paths of a model that is gone.
    assert one.properties("AWS::ApiGateway::RestApi")["Mode"] == "overwrite"


def test_api_keys_are_asked_for_and_have_a_plan(synthesise: Synthesise) -> None:
    template = stack(
        synthesise,
        api="rest",
        authorization="api_key",
        api_keys=["shop", "office"],
        quota={"limit": 1000, "period": "day"},
        throttling={"rate": 7, "burst": 9},
    )
    assert paths(template)["/{proxy+}"]["post"]["security"] == [{"api_key": []}]
    plan = template.properties("AWS::ApiGateway::UsagePlan")
    assert plan["Quota"] == {"Limit": 1000, "Period": "DAY"}
    assert plan["Throttle"] == {"RateLimit": 7, "BurstLimit": 9}
    names = {key["Properties"]["Name"] for key in template.all("AWS::ApiGateway::ApiKey").values()}
    assert names == {"coldpress-dev-shop", "coldpress-dev-office"}
    assert len(template.all("AWS::ApiGateway::UsagePlanKey")) == 2
    assert set(template.all("AWS::ApiGateway::ApiKey")) == {
        reference["Ref"] for reference in template.outputs["ApiKeyIds"]["Fn::Join"][1]
    }
    assert not [
        key for key in template.all("AWS::ApiGateway::ApiKey").values() if "Value" in key["Properties"]
    ]


def test_methods_of_a_model_have_its_limits_in_a_rest_api(synthesise: Synthesise) -> None:
    models = {"ocr": PIN, "layout": {**PIN, "throttling": {"rate": 5, "burst": 6}}}
    stage = stack(synthesise, api="rest", models=models).properties("AWS::ApiGateway::Stage")
    settings = {(one["ResourcePath"], one["HttpMethod"]): one for one in stage["MethodSettings"]}
    assert settings["/*", "*"]["ThrottlingRateLimit"] == 50
    assert settings["/~1v1~1models~1layout:predict", "POST"]["ThrottlingRateLimit"] == 5
    assert settings["/~1v2~1models~1layout~1{proxy+}", "POST"]["ThrottlingBurstLimit"] == 6


def test_a_web_acl_protects_the_stage(synthesise: Synthesise) -> None:
    acl = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/mine/0123"
    template = stack(synthesise, api="rest", web_acl_arn=acl)
    association = template.properties("AWS::WAFv2::WebACLAssociation")
    assert association["WebACLArn"] == acl
    assert {"Ref": template.id_of("AWS::ApiGateway::Stage")} in association["ResourceArn"]["Fn::Join"][1]


def test_the_rest_stage_throttles_and_logs_without_payload_or_credential(synthesise: Synthesise) -> None:
    template = stack(synthesise, api="rest", throttling={"rate": 20, "burst": 40})
    stage = template.properties("AWS::ApiGateway::Stage")
    (everything,) = stage["MethodSettings"]
    assert (everything["ThrottlingRateLimit"], everything["ThrottlingBurstLimit"]) == (20, 40)
    assert everything.get("DataTraceEnabled", False) is False
    log = stage["AccessLogSetting"]
    assert not any(word in log["Format"] for word in ("header", "body", "apiKey"))
    address = json.dumps(template.outputs["EndpointUrl"])
    assert ".execute-api." in address
    assert address.rstrip('"]}').endswith("/live")


def test_no_logical_id_changes_its_type_with_the_kind_of_api(synthesise: Synthesise) -> None:
    """CloudFormation would refuse the update."""
    http = stack(synthesise).content["Resources"]
    rest = stack(synthesise, api="rest").content["Resources"]
    assert {name for name in http.keys() & rest.keys() if http[name]["Type"] != rest[name]["Type"]} == set()


def test_a_rest_api_lets_pages_of_one_origin_ask_and_read(synthesise: Synthesise) -> None:
    cors = {"origins": ["https://app.example.com"], "max_age_s": 60}
    stage = {**TWO, "api": "rest", "authorization": "api_key", "cors": cors}
    template = synthesise(stage).stack("coldpress-dev")
    document = template.properties("AWS::ApiGateway::RestApi")["Body"]
    for path, methods in document["paths"].items():
        assert "security" not in methods["options"], path  # a browser sends no key with its question
        integration = methods["options"]["x-amazon-apigateway-integration"]
        assert integration["type"] == "mock"
        # Without it a mock fails where all media types count as binary.
        assert integration["contentHandling"] == "CONVERT_TO_TEXT"
        said = integration["responses"]["default"]["responseParameters"]
        assert {key.rpartition(".")[2]: value for key, value in said.items()} == {
            "Access-Control-Allow-Origin": "'https://app.example.com'",
            "Access-Control-Allow-Methods": "'GET,POST'",
            "Access-Control-Allow-Headers": "'content-type,authorization,x-api-key'",
            "Access-Control-Max-Age": "'60'",
        }
        assert {name.rpartition(".")[2] for name in said} == set(
            methods["options"]["responses"]["204"]["headers"]
        )
    errors = document["x-amazon-apigateway-gateway-responses"]
    assert errors.keys() == {"DEFAULT_4XX", "DEFAULT_5XX"}
    variables = [function["Environment"]["Variables"] for function in template.serving()]
    assert {found["COLDPRESS_CORS_ORIGIN"] for found in variables} == {"https://app.example.com"}


def test_a_rest_api_that_streams_calls_lambda_so_and_tells_the_functions_in_each_event(
    synthesise: Synthesise,
) -> None:
    template = synthesise({**TWO, "api": "rest", "streaming": True}).stack("coldpress-dev")
    document = template.properties("AWS::ApiGateway::RestApi")["Body"]
    for methods in document["paths"].values():
        for operation in methods.values():
            integration = operation["x-amazon-apigateway-integration"]
            assert integration["responseTransferMode"] == "STREAM"
            uri = json.dumps(integration["uri"])
            assert "path/2021-11-15/functions/" in uri
            assert "/response-streaming-invocations" in uri
    assert template.properties("AWS::ApiGateway::Stage")["Variables"] == {"streaming": "1"}
    plain = synthesise({**TWO, "api": "rest"}).stack("coldpress-dev")
    assert "Variables" not in plain.properties("AWS::ApiGateway::Stage")

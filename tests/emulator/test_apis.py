"""What both kinds of API do besides routing: keys, quotas, throttles, tokens and CORS."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from emulator import settings
from tests.emulator.requests import Answer, send, signed

SCHEMES = {
    "sigv4": {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "x-amazon-apigateway-authtype": "awsSigv4",
    },
    "api_key": {"type": "apiKey", "name": "x-api-key", "in": "header"},
}


class Deployed:
    """A stack of this file's own in front of the echo stack's alias, and how to change it."""

    def __init__(self, echo: Any, name: str) -> None:
        self.echo = echo
        self.name = name
        self.cloudformation = echo.client("cloudformation")

    @property
    def alias(self) -> str:
        region, account = settings.REGION, settings.ACCOUNT
        return f"arn:aws:lambda:{region}:{account}:function:{self.echo.outputs['FunctionName']}:live"

    def deploy(self, resources: dict[str, Any], **outputs: Any) -> None:
        """Create or update it; the stack must be complete afterwards."""
        permission = {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": self.alias,
                "Action": "lambda:InvokeFunction",
                "Principal": "apigateway.amazonaws.com",
            },
        }
        template = {
            "Resources": {**resources, f"Permission{self.name}": permission},
            "Outputs": {name: {"Value": value} for name, value in outputs.items()},
        }
        known = {stack["StackName"] for stack in self.cloudformation.describe_stacks()["Stacks"]}
        act = self.cloudformation.update_stack if self.name in known else self.cloudformation.create_stack
        act(StackName=self.name, TemplateBody=json.dumps(template))
        (stack,) = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        events = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        reasons = [
            event.get("ResourceStatusReason") for event in events if "FAILED" in event["ResourceStatus"]
        ]
        assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), reasons

    @property
    def outputs(self) -> dict[str, str]:
        (stack,) = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


@pytest.fixture
def deployed(echo: Any, request: pytest.FixtureRequest) -> Iterator[Deployed]:
    name = "".join(letter for letter in request.node.name.title() if letter.isalnum())[:60]
    stack = Deployed(echo, name)
    yield stack
    stack.cloudformation.delete_stack(StackName=name)


def operation(alias: str, *security: str) -> dict[str, Any]:
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{alias}/invocations"
    return {
        "responses": {},
        "security": [{name: []} for name in security],
        "x-amazon-apigateway-integration": {"type": "aws_proxy", "httpMethod": "POST", "uri": uri},
    }


def rest(
    paths: dict[str, Any], *, deployment: str = "One", more: dict[str, Any] | None = None, **stage: Any
) -> dict[str, Any]:
    """A REST API with its deployment and the stage `live`."""
    document = {
        "openapi": "3.0.1",
        "info": {"title": "t", "version": "1"},
        "components": {"securitySchemes": SCHEMES},
        "x-amazon-apigateway-binary-media-types": ["*/*"],
        "paths": paths,
        **(more or {}),
    }
    api = {"Ref": "Api"}
    return {
        "Api": {
            "Type": "AWS::ApiGateway::RestApi",
            "Properties": {"Name": "t", "Body": document, "Mode": "overwrite"},
        },
        deployment: {
            "Type": "AWS::ApiGateway::Deployment",
            "Properties": {"RestApiId": api},
            "DependsOn": ["Api"],
        },
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {
                "RestApiId": api,
                "StageName": "live",
                "DeploymentId": {"Ref": deployment},
                **stage,
            },
        },
    }


ADDRESS = {"Fn::Sub": "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/live"}


def plan(**settings_: Any) -> dict[str, Any]:
    """A usage plan of the stage with one key."""
    return {
        "Key": {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Name": "shop", "Enabled": True}},
        "Plan": {
            "Type": "AWS::ApiGateway::UsagePlan",
            "Properties": {
                "UsagePlanName": "plan",
                "ApiStages": [{"ApiId": {"Ref": "Api"}, "Stage": {"Ref": "Stage"}}],
                **settings_,
            },
        },
        "PlanKey": {
            "Type": "AWS::ApiGateway::UsagePlanKey",
            "Properties": {
                "UsagePlanId": {"Ref": "Plan"},
                "KeyId": {"Ref": "Key"},
                "KeyType": "API_KEY",
            },
        },
    }


def test_the_event_of_a_rest_api_is_of_format_1(deployed: Deployed) -> None:
    deployed.deploy(rest({"/{proxy+}": {"post": operation(deployed.alias)}}), Url=ADDRESS)
    url = deployed.outputs["Url"]
    assert url.startswith(f"{deployed.echo.emulator.url}/_apis/")
    answer = send(url, "/v1/a%20b?x=1&x=2&y=", body=b"\x00\xff", headers={"X-Custom": "v"})
    event = answer.json["event"]
    assert (event["resource"], event["path"], event["httpMethod"]) == ("/{proxy+}", "/v1/a b", "POST")
    assert event["pathParameters"] == {"proxy": "v1/a b"}
    assert event["queryStringParameters"] == {"x": "2", "y": ""}
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"], "y": [""]}
    assert event["headers"]["x-custom"] == "v"
    assert event["multiValueHeaders"]["x-custom"] == ["v"]
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"\x00\xff"
    context = event["requestContext"]
    assert (context["stage"], context["path"]) == ("live", "/live/v1/a b")


def test_what_a_rest_api_answers_by_itself(deployed: Deployed) -> None:
    paths = {"/open/{proxy+}": {"post": operation(deployed.alias)}}
    paths["/signed/{proxy+}"] = {"x-amazon-apigateway-any-method": operation(deployed.alias, "sigv4")}
    deployed.deploy(rest(paths), Url=ADDRESS)
    url = deployed.outputs["Url"]

    def refusal(path: str, **request: Any) -> tuple[int, Any]:
        answer = send(url, path, **request)
        return answer.status, answer.json

    assert refusal("/nothing") == (403, {"message": "Missing Authentication Token"})
    assert refusal("/open/x", method="GET") == (403, {"message": "Missing Authentication Token"})
    assert refusal("/signed/x") == (403, {"message": "Missing Authentication Token"})
    assert send(url.removesuffix("/live"), "/other/open/x", body=b"{}").json == {"message": "Forbidden"}
    assert refusal("/open/x?do=raise", body=b"{}") == (502, {"message": "Internal server error"})
    nonsense = send(url, "/open/x?do=answer", body=b'{"plain": "object"}')
    assert (nonsense.status, nonsense.json) == (502, {"message": "Internal server error"})
    allowed = send(url, "/signed/x", body=b"{}", headers=signed(url, "/signed/x", body=b"{}"))
    assert allowed.status == 200, allowed.body
    identity = allowed.json["event"]["requestContext"]["identity"]
    assert identity["accessKey"] == settings.ACCESS_KEY_ID


def test_a_changed_document_is_served_from_the_next_deployment_on(deployed: Deployed) -> None:
    old = {"/old": {"get": operation(deployed.alias)}}
    new = {"/new": {"get": operation(deployed.alias)}}
    deployed.deploy(rest(old), Url=ADDRESS)
    url = deployed.outputs["Url"]
    deployed.deploy(rest(new), Url=ADDRESS)
    assert (send(url, "/old").status, send(url, "/new").status) == (200, 403)
    deployed.deploy(rest(new, deployment="Two"), Url=ADDRESS)
    assert (send(url, "/old").status, send(url, "/new").status) == (403, 200)


def test_a_rest_api_answers_preflights_and_its_errors_may_be_read(deployed: Deployed) -> None:
    said = {"method.response.header.Access-Control-Allow-Origin": "'https://app.example.com'"}
    preflight = {
        "type": "mock",
        "responses": {"default": {"statusCode": "204", "responseParameters": said}},
    }
    paths = {
        "/x": {
            "get": operation(deployed.alias, "api_key"),
            "options": {"responses": {"204": {}}, "x-amazon-apigateway-integration": preflight},
        }
    }
    own = {"gatewayresponse.header.Access-Control-Allow-Origin": "'https://app.example.com'"}
    more = {"x-amazon-apigateway-gateway-responses": {"DEFAULT_4XX": {"responseParameters": own}}}
    deployed.deploy(rest(paths, more=more), Url=ADDRESS)
    url = deployed.outputs["Url"]
    asked = send(url, "/x", method="OPTIONS")
    assert (asked.status, asked.headers["access-control-allow-origin"]) == (204, "https://app.example.com")
    refused = send(url, "/x")
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (
        403,
        "https://app.example.com",
    )
    assert send(url, "/y", method="OPTIONS").status == 403


def test_a_stages_variables_are_in_the_event_as_they_are_now(deployed: Deployed) -> None:
    paths = {"/x": {"get": operation(deployed.alias)}}
    for variables in ({"streaming": "1", "other": "2"}, {"streaming": "0"}, None):
        more = {} if variables is None else {"Variables": variables}
        deployed.deploy(rest(paths, **more), Url=ADDRESS)
        assert send(deployed.outputs["Url"], "/x").json["event"]["stageVariables"] == variables


def test_a_key_opens_the_api_as_long_as_its_plan_has_it(deployed: Deployed) -> None:
    keyed = rest({"/x": {"get": operation(deployed.alias, "api_key")}})
    deployed.deploy({**keyed, **plan()}, Url=ADDRESS, KeyId={"Ref": "Key"})
    url, key_id = deployed.outputs["Url"], deployed.outputs["KeyId"]
    value = deployed.echo.client("apigateway").get_api_key(apiKey=key_id, includeValue=True)["value"]
    assert send(url, "/x").json == {"message": "Forbidden"}
    assert send(url, "/x", headers={"x-api-key": "guessed"}).status == 403
    assert send(url, "/x", headers={"x-api-key": value}).status == 200
    off = plan()
    off["Key"]["Properties"]["Enabled"] = False
    deployed.deploy({**keyed, **off}, Url=ADDRESS)
    assert send(url, "/x", headers={"x-api-key": value}).status == 403
    deployed.deploy(keyed, Url=ADDRESS)
    assert deployed.echo.client("apigateway").get_api_keys()["items"] == []


def answers(url: str, count: int, **request: Any) -> list[Answer]:
    return [send(url, "/x", **request) for _ in range(count)]


def test_a_plan_limits_its_keys_by_rate_and_by_quota(deployed: Deployed) -> None:
    keyed = rest({"/x": {"get": operation(deployed.alias, "api_key")}})
    slow = plan(Throttle={"RateLimit": 0.001, "BurstLimit": 2})
    deployed.deploy({**keyed, **slow}, Url=ADDRESS, KeyId={"Ref": "Key"})
    url, key_id = deployed.outputs["Url"], deployed.outputs["KeyId"]
    value = deployed.echo.client("apigateway").get_api_key(apiKey=key_id, includeValue=True)["value"]
    headers = {"x-api-key": value}
    assert [answer.status for answer in answers(url, 3, headers=headers)] == [200, 200, 429]
    few = plan(Quota={"Limit": 1, "Period": "DAY"})
    deployed.deploy({**keyed, **few}, Url=ADDRESS)
    first, second = answers(url, 2, headers=headers)
    assert first.status == 200
    assert (second.status, second.json) == (429, {"message": "Limit Exceeded"})


def test_a_stage_and_a_method_have_limits_of_their_own(deployed: Deployed) -> None:
    def limit(path: str, method: str, burst: int) -> dict[str, Any]:
        throttle = {"ThrottlingRateLimit": 0.001, "ThrottlingBurstLimit": burst}
        return {"ResourcePath": path, "HttpMethod": method, **throttle}

    paths = {path: {"get": operation(deployed.alias)} for path in ("/x", "/a/x", "/b/x")}
    limits = [limit("/*", "*", 3), limit("/~1x", "GET", 1)]
    deployed.deploy(rest(paths, MethodSettings=limits), Url=ADDRESS)
    url = deployed.outputs["Url"]
    assert [answer.status for answer in answers(url, 2)] == [200, 429]
    # The others share the stage's.
    shared = [send(url, path).status for path in ("/a/x", "/b/x", "/a/x", "/b/x")]
    assert shared == [200, 200, 200, 429]
    deployed.deploy(rest(paths), Url=ADDRESS)
    assert [answer.status for answer in answers(url, 3)] == [200, 200, 200]


# HTTP APIs


def http_api(alias: str, *, stage: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An HTTP API with `GET /x` and `GET /y`; ``more`` is the API's, ``stage`` the stage's."""
    api = {"Ref": "Api"}
    target = {"Fn::Join": ["/", ["integrations", {"Ref": "Integration"}]]}
    return {
        "Api": {
            "Type": "AWS::ApiGatewayV2::Api",
            "Properties": {"Name": "t", "ProtocolType": "HTTP", **more},
        },
        "Integration": {
            "Type": "AWS::ApiGatewayV2::Integration",
            "Properties": {
                "ApiId": api,
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": alias,
                "PayloadFormatVersion": "2.0",
            },
        },
        **{
            name: {
                "Type": "AWS::ApiGatewayV2::Route",
                "Properties": {"ApiId": api, "RouteKey": f"GET /{name.lower()}", "Target": target},
            }
            for name in ("X", "Y")
        },
        "Stage": {
            "Type": "AWS::ApiGatewayV2::Stage",
            "Properties": {"ApiId": api, "StageName": "$default", "AutoDeploy": True, **(stage or {})},
            "DependsOn": ["X", "Y"],
        },
    }


def http_document(
    alias: str,
    *paths: str,
    scheme: dict[str, Any] | None = None,
    stage: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """An HTTP API by its document, with each of ``paths`` for any method; ``more`` is the document's."""
    uri = f"arn:aws:apigateway:{settings.REGION}:lambda:path/2015-03-31/functions/{alias}/invocations"
    shared = {"type": "aws_proxy", "httpMethod": "POST", "uri": uri, "payloadFormatVersion": "2.0"}
    operation = {
        "x-amazon-apigateway-integration": {"$ref": "#/components/x-amazon-apigateway-integrations/echo"},
        **({} if scheme is None else {"security": [{"callers": []}]}),
    }
    document = {
        "openapi": "3.0.1",
        "info": {"title": "t", "version": "1"},
        "components": {
            "securitySchemes": {} if scheme is None else {"callers": scheme},
            "x-amazon-apigateway-integrations": {"echo": shared},
        },
        "paths": {path: {"x-amazon-apigateway-any-method": operation} for path in paths},
        **more,
    }
    return {
        "Api": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Body": document}},
        "Stage": {
            "Type": "AWS::ApiGatewayV2::Stage",
            "Properties": {
                "ApiId": {"Ref": "Api"},
                "StageName": "$default",
                "AutoDeploy": True,
                **(stage or {}),
            },
        },
    }


ENDPOINT = {"Fn::GetAtt": ["Api", "ApiEndpoint"]}
TAG = {"name": "stage", "x-amazon-apigateway-tag-value": "dev"}


def test_a_stage_limits_each_route_and_a_route_may_have_its_own(deployed: Deployed) -> None:
    def limit(burst: int) -> dict[str, float]:
        return {"ThrottlingRateLimit": 0.001, "ThrottlingBurstLimit": burst}

    stage = {"DefaultRouteSettings": limit(2), "RouteSettings": {"GET /y": limit(1)}}
    deployed.deploy(http_api(deployed.alias, stage=stage), Url=ENDPOINT)
    url = deployed.outputs["Url"]
    assert [answer.status for answer in answers(url, 3)] == [200, 200, 429]
    assert [send(url, "/y").status for _ in range(2)] == [200, 429]
    assert send(url, "/y").json == {"message": "Too Many Requests"}


def test_cors_is_answered_for_the_origins_that_are_named(deployed: Deployed) -> None:
    cors = {
        "AllowOrigins": ["https://app.example.com"],
        "AllowMethods": ["GET", "POST"],
        "AllowHeaders": ["content-type"],
        "ExposeHeaders": ["inference-header-content-length"],
        "MaxAge": 60,
    }
    deployed.deploy(http_api(deployed.alias, CorsConfiguration=cors), Url=ENDPOINT)
    url = deployed.outputs["Url"]
    question = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}
    preflight = send(url, "/x", method="OPTIONS", headers=question)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "https://app.example.com"
    assert preflight.headers["access-control-allow-methods"] == "GET,POST"
    assert preflight.headers["access-control-max-age"] == "60"
    answer = send(url, "/x", headers={"Origin": "https://app.example.com"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    assert answer.headers["access-control-expose-headers"] == "inference-header-content-length"
    # The page must be able to read why it was refused, too.
    lost = send(url, "/nowhere", headers={"Origin": "https://app.example.com"})
    assert (lost.status, lost.headers["access-control-allow-origin"]) == (404, "https://app.example.com")
    stranger = send(url, "/x", headers={"Origin": "https://evil.example.com"})
    assert "access-control-allow-origin" not in stranger.headers
    deployed.deploy(http_api(deployed.alias), Url=ENDPOINT)
    assert send(url, "/x", method="OPTIONS", headers=question).status == 404


@pytest.fixture(scope="module")
def issuer() -> Iterator[tuple[str, RSAKey]]:
    """An OpenID Connect issuer on this machine, and the key that it signs with."""
    key = RSAKey.generate_key(2048, {"kid": "one"})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys = {"keys": [key.as_dict(private=False)]}
            found = {"/.well-known/openid-configuration": {"jwks_uri": f"{url}/keys"}, "/keys": keys}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(found[self.path]).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield url, key
    server.shutdown()
    server.server_close()


def test_tokens_of_the_issuer_for_the_audience_are_let_in(
    deployed: Deployed, issuer: tuple[str, RSAKey]
) -> None:
    url, key = issuer
    resources = http_api(deployed.alias)
    resources["Jwt"] = {
        "Type": "AWS::ApiGatewayV2::Authorizer",
        "Properties": {
            "ApiId": {"Ref": "Api"},
            "AuthorizerType": "JWT",
            "IdentitySource": ["$request.header.Authorization"],
            "JwtConfiguration": {"Issuer": url, "Audience": ["shop"]},
            "Name": "jwt",
        },
    }
    resources["X"]["Properties"] |= {"AuthorizationType": "JWT", "AuthorizerId": {"Ref": "Jwt"}}
    deployed.deploy(resources, Url=ENDPOINT)
    api = deployed.outputs["Url"]
    good = {"iss": url, "aud": "shop", "exp": 4_000_000_000, "sub": "me", "level": 3}

    def ask(claims: dict[str, Any], signer: RSAKey = key) -> Answer:
        token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, signer)
        return send(api, "/x", headers={"Authorization": f"Bearer {token}"})

    answer = ask(good)
    assert answer.status == 200, answer.body
    claims = answer.json["event"]["requestContext"]["authorizer"]["jwt"]["claims"]
    assert (claims["sub"], claims["level"]) == ("me", "3")
    for wrong in ({"iss": "https://else"}, {"aud": "other"}, {"exp": 1}, {"nbf": 4_000_000_000}):
        refused = ask(good | wrong)
        assert (refused.status, refused.json) == (401, {"message": "Unauthorized"}), wrong
    assert ask(good, RSAKey.generate_key(2048, {"kid": "one"})).status == 401
    assert send(api, "/x").status == 401
    assert send(api, "/y").status == 200


def test_a_document_says_routes_callers_and_cors_and_another_takes_its_place(
    deployed: Deployed, issuer: tuple[str, RSAKey]
) -> None:
    url, key = issuer
    scheme = {
        "type": "oauth2",
        "x-amazon-apigateway-authorizer": {
            "type": "jwt",
            "identitySource": "$request.header.Authorization",
            "jwtConfiguration": {"issuer": url, "audience": ["shop"]},
        },
    }
    cors = {"allowOrigins": ["*"], "allowMethods": ["GET"], "exposeHeaders": ["x-seen"]}
    first = http_document(
        deployed.alias, "/x", "/a:b", scheme=scheme, **{"x-amazon-apigateway-cors": cors, "tags": [TAG]}
    )
    deployed.deploy(first, Url=ENDPOINT, Id={"Ref": "Api"})
    api, api_id = deployed.outputs["Url"], deployed.outputs["Id"]
    described = deployed.echo.client("apigatewayv2").get_api(ApiId=api_id)
    assert (described["Name"], described["Tags"]) == ("t", {"stage": "dev"})
    token = jwt.encode({"alg": "RS256", "kid": "one"}, {"iss": url, "aud": "shop", "exp": 4_000_000_000}, key)
    headers = {"Authorization": f"Bearer {token}", "Origin": "https://app.example.com"}
    for path in ("/x", "/a:b"):
        answer = send(api, path, headers=headers)
        assert (answer.status, answer.headers["access-control-expose-headers"]) == (200, "x-seen")
        assert answer.json["event"]["routeKey"] == f"ANY {path}"
    assert send(api, "/x").status == 401
    deployed.deploy(http_document(deployed.alias, "/y", scheme=SCHEMES["sigv4"]), Url=ENDPOINT)
    assert [send(api, path, headers=headers).status for path in ("/x", "/y")] == [404, 403]
    answer = send(api, "/y", method="POST", headers=signed(api, "/y") | {"Origin": "https://app.example.com"})
    assert (answer.status, "access-control-expose-headers" in answer.headers) == (200, False)
    assert len(deployed.echo.client("apigatewayv2").get_integrations(ApiId=api_id)["Items"]) == 1


def test_an_api_goes_from_routes_to_a_document_and_keeps_its_address(deployed: Deployed) -> None:
    deployed.deploy(http_api(deployed.alias), Url=ENDPOINT)
    url = deployed.outputs["Url"]
    deployed.deploy(http_document(deployed.alias, "/x"), Url=ENDPOINT)
    assert deployed.outputs["Url"] == url
    assert [send(url, path).status for path in ("/x", "/y")] == [200, 404]


def test_a_second_route_with_the_same_key_is_refused(deployed: Deployed) -> None:
    resources = http_api(deployed.alias)
    resources["Y"]["Properties"]["RouteKey"] = "GET /x"
    with pytest.raises(AssertionError, match="Route with key GET /x already exists for this API"):
        deployed.deploy(resources, Url=ENDPOINT)


def test_a_route_with_limits_of_its_own_cannot_leave_a_document_before_its_limits(deployed: Deployed) -> None:
    """As in AWS, where the document comes first and the stage keeps what it was told of the route."""
    limits = {"RouteSettings": {"ANY /y": {"ThrottlingRateLimit": 1, "ThrottlingBurstLimit": 1}}}
    deployed.deploy(http_document(deployed.alias, "/x", "/y", stage=limits), Url=ENDPOINT)
    url = deployed.outputs["Url"]
    with pytest.raises(AssertionError, match="Unable to find Route by key ANY /y"):
        deployed.deploy(http_document(deployed.alias, "/x"), Url=ENDPOINT)
    assert send(url, "/y").status == 200  # all as before
    deployed.deploy(http_document(deployed.alias, "/x", "/y"), Url=ENDPOINT)
    deployed.deploy(http_document(deployed.alias, "/x"), Url=ENDPOINT)
    assert [send(url, path).status for path in ("/x", "/y")] == [200, 404]

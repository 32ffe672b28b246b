"""Requests to a deployed API: what the function is sent, and what the client gets."""

import base64
import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from emulator import settings
from tests.emulator.requests import send, signed


@pytest.fixture
def url(echo):
    return echo.outputs["EndpointUrl"]


def test_the_event_is_api_gateways(url):
    answer = send(
        url,
        "/open/v1/a%20b:predict?x=1&y=%C3%A9&x=2",
        method="POST",
        body=b'{"text": "\xc3\xa9"}',
        headers={
            "Content-Type": "application/json",
            "Cookie": "a=1; b=2",
            "X-Custom": "Value",
            "User-Agent": "me",
        },
    )
    assert answer.status == 200
    event = answer.json["event"]
    context = event.pop("requestContext")
    host = urlsplit(url).netloc
    trace = event["headers"].pop("x-amzn-trace-id")
    assert trace.startswith("Root=1-")
    assert event == {
        "version": "2.0",
        "routeKey": "ANY /open/{proxy+}",
        "rawPath": "/open/v1/a b:predict",
        "rawQueryString": "x=1&y=%C3%A9&x=2",
        "cookies": ["a=1", "b=2"],
        "headers": {
            "accept-encoding": "identity",
            "content-length": "14",
            "content-type": "application/json",
            "host": host,
            "user-agent": "me",
            "x-custom": "Value",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-port": host.partition(":")[2],
            "x-forwarded-proto": "http",
        },
        "queryStringParameters": {"x": "1,2", "y": "é"},
        "pathParameters": {"proxy": "v1/a b:predict"},
        "body": '{"text": "é"}',
        "isBase64Encoded": False,
    }
    api_id = url.rpartition("/")[2]
    epoch_ms = context.pop("timeEpoch")
    sent = datetime.strptime(context.pop("time"), "%d/%b/%Y:%H:%M:%S %z")
    assert abs(sent - datetime.now(UTC)) < timedelta(seconds=30)
    assert int(sent.timestamp()) == epoch_ms // 1000
    assert context.pop("requestId")
    assert context == {
        "accountId": settings.ACCOUNT,
        "apiId": api_id,
        "domainName": host,
        "domainPrefix": api_id,
        "http": {
            "method": "POST",
            "path": "/open/v1/a b:predict",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "me",
        },
        "routeKey": "ANY /open/{proxy+}",
        "stage": "$default",
    }


def test_the_more_specific_route_wins(url):
    exact = send(url, "/open/exact/thing", body=b"{}").json["event"]
    assert exact["routeKey"] == "POST /open/exact/{name}"
    assert exact["pathParameters"] == {"name": "thing"}
    assert send(url, "/open/exact/thing").json["event"]["routeKey"] == "ANY /open/{proxy+}"


def test_bodies_are_binary_safe_in_and_out(url):
    blob = bytes(range(256)) * 20
    event = send(url, "/open/x", body=blob, headers={"Content-Type": "application/octet-stream"}).json[
        "event"
    ]
    assert event["isBase64Encoded"]
    assert base64.b64decode(event["body"]) == blob
    wanted = {
        "statusCode": 201,
        "headers": {"Content-Type": "image/png", "X-Number": 7},
        "cookies": ["a=1", "b=2"],
        "body": base64.b64encode(blob).decode(),
        "isBase64Encoded": True,
    }
    answer = _answered(url, wanted)
    assert answer.status == 201
    assert answer.body == blob
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-number"] == "7"
    assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("returned", "status", "body"),
    [
        ({"plain": "object"}, 200, b'{"plain": "object"}'),
        ("text", 200, b"text"),
        ({"statusCode": "418"}, 418, b""),
        ({"statusCode": "no"}, 500, b'{"message": "Internal Server Error"}'),
        ({"statusCode": 200, "body": {"not": "a string"}}, 500, b'{"message": "Internal Server Error"}'),
        (
            {"statusCode": 200, "body": "%", "isBase64Encoded": True},
            500,
            b'{"message": "Internal Server Error"}',
        ),
    ],
)
def test_answers_are_taken_as_api_gateway_takes_them(url, returned, status, body):
    answer = _answered(url, returned)
    assert (answer.status, answer.body) == (status, body)


def _answered(url, value):
    body = json.dumps(value).encode()
    return send(url, "/open/x?do=answer", body=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("what", ["raise", "exit", "sleep&seconds=4"])
def test_a_function_that_fails_is_a_500_and_the_next_request_is_answered(url, what):
    answer = send(url, f"/open/x?do={what}")
    assert (answer.status, answer.json) == (500, {"message": "Internal Server Error"})
    assert send(url, "/open/x").status == 200


def test_unknown_apis_and_stages_are_not_found(echo, url):
    assert send(echo.emulator.url, "/_apis/nothing/x").json == {"message": "Not Found"}
    # No route takes the root: "/{proxy+}" needs something.
    assert send(url, "/").status == 404


def test_too_large_a_body_is_a_413(url):
    # 5 MB of bytes are more than Lambda's 6 MB in base64.
    for size in (5_000_000, 11_000_000):
        answer = send(url, "/open/x", body=b"x" * size, headers={"Content-Type": "application/octet-stream"})
        assert (answer.status, answer.json) == (413, {"message": "Request Entity Too Large"})


def test_a_connection_takes_many_requests(url):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    pids = set()
    for _ in range(5):
        connection.request("POST", f"{parts.path}/open/x", b"{}", {"Content-Type": "application/json"})
        connection.sock.settimeout(60)
        local_port = connection.sock.getsockname()[1]
        response = connection.getresponse()
        pids.add((json.loads(response.read())["pid"], local_port))
    connection.close()
    assert len(pids) == 1  # one connection, and one environment: nothing overlapped


def test_parallel_requests_are_all_answered_by_environments_of_their_own(url):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: send(url, f"/open/{i}?do=sleep&seconds=0.5"), range(8)))
    assert [answer.status for answer in answers] == [200] * 8
    assert [answer.json["event"]["rawPath"] for answer in answers] == [f"/open/{i}" for i in range(8)]
    assert len({answer.json["pid"] for answer in answers}) == 8


def test_iam_lets_the_signed_request_in_and_says_who_sent_it(url):
    path = "/v1/models/a%20b:predict?b=2&a=1&empty="
    answer = send(url, path, body=b'{"x": 1}', headers=signed(url, path, body=b'{"x": 1}'))
    assert answer.status == 200, answer.body
    iam = answer.json["event"]["requestContext"]["authorizer"]["iam"]
    assert iam["accessKey"] == settings.ACCESS_KEY_ID
    assert iam["accountId"] == settings.ACCOUNT


def test_iam_keeps_everything_else_out(url):
    path, body = "/v1/x?a=1", b"{}"
    good = signed(url, path, body=body)
    authorization = good["Authorization"]
    stale = (datetime.now(UTC) - timedelta(minutes=10)).strftime("%Y%m%dT%H%M%SZ")
    attempts = [
        (path, body, {}),
        (path, body, {**good, "Authorization": "Bearer x"}),
        (
            path,
            body,
            {**good, "Authorization": authorization[:-1] + ("0" if authorization[-1] != "0" else "1")},
        ),
        (path, body, {**good, "X-Amz-Date": stale}),
        (path, b'{"other": 1}', good),
        ("/v1/x?a=2", body, good),
        ("/v1/y?a=1", body, good),
        (path, body, signed(url, path, body=body, secret="wrong")),
        (path, body, signed(url, path, body=body, key="somebody")),
    ]
    for attempt_path, attempt_body, headers in attempts:
        answer = send(
            url, attempt_path, body=attempt_body, headers={"Content-Type": "application/json", **headers}
        )
        assert (answer.status, answer.json) == (403, {"message": "Forbidden"}), headers


def test_lambdas_own_invoke_reaches_the_same_function(echo):
    name, lambda_ = echo.outputs["FunctionName"], echo.client("lambda")
    invoked = lambda_.invoke(FunctionName=f"{name}:live", Payload=b'{"direct": true}')
    assert invoked["ExecutedVersion"] in ("1", "2")
    assert json.loads(json.load(invoked["Payload"])["body"])["event"] == {"direct": True}
    failed = lambda_.invoke(
        FunctionName=name, Qualifier="live", Payload=b'{"queryStringParameters": {"do": "raise"}}'
    )
    assert failed["FunctionError"] == "Handled"
    assert json.load(failed["Payload"])["errorMessage"] == "as asked"
    timed_out = lambda_.invoke(
        FunctionName=name, Payload=b'{"queryStringParameters": {"do": "sleep", "seconds": "4"}}'
    )
    assert timed_out["FunctionError"] == "Unhandled"
    assert "Task timed out after 2.00 seconds" in json.load(timed_out["Payload"])["errorMessage"]
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.invoke(FunctionName=name, Qualifier="nobody")
    with pytest.raises(ClientError, match="json"):
        lambda_.invoke(FunctionName=name, Payload=b"not json")


def test_an_integration_that_takes_too_long_is_a_503_and_the_function_goes_on(echo, url):
    api = echo.client("apigatewayv2")
    api_id = url.rpartition("/")[2]
    integration_ids = [item["IntegrationId"] for item in api.get_integrations(ApiId=api_id)["Items"]]
    for integration_id in integration_ids:
        api.update_integration(ApiId=api_id, IntegrationId=integration_id, TimeoutInMillis=500)
    try:
        answer = send(url, "/open/x?do=sleep&seconds=1.5")
    finally:
        for integration_id in integration_ids:
            api.update_integration(ApiId=api_id, IntegrationId=integration_id, TimeoutInMillis=30000)
    assert (answer.status, answer.json) == (503, {"message": "Service Unavailable"})
    assert send(url, "/open/x").status == 200


def test_without_a_permission_the_api_cannot_invoke_the_function(echo, url):
    lambda_, name = echo.client("lambda"), echo.outputs["FunctionName"]
    statements = json.loads(lambda_.get_policy(FunctionName=name)["Policy"])["Statement"]
    for statement in statements:
        lambda_.remove_permission(FunctionName=name, StatementId=statement["Sid"])
    try:
        assert send(url, "/open/x").status == 500
    finally:
        for statement in statements:
            lambda_.add_permission(
                FunctionName=name,
                Qualifier="live",
                StatementId=statement["Sid"],
                Action=statement["Action"],
                Principal=statement["Principal"]["Service"],
                SourceArn=statement["Condition"]["ArnLike"]["AWS:SourceArn"],
            )
    assert send(url, "/open/x").status == 200

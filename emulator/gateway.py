"""API Gateway: a request to /_apis/<api id>/... is routed, checked, sent to Lambda and answered."""

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from emulator import settings, signature
from emulator.environments import CannotStart, Environments, Result, Throttled, describe
from emulator.events import HttpRequest, HttpResponse, MalformedAnswer
from emulator.functions import FunctionNotFound, resolve
from emulator.http_apis import HttpApi
from emulator.images import InvalidImage
from emulator.permissions import may_invoke
from emulator.rest_apis import RestApi
from emulator.routed import Caller, Refused, Routed
from emulator.throttles import Throttles
from emulator.tokens import InvalidToken

_log = logging.getLogger(__name__)


class Gateway:
    """The APIs of one emulator."""

    def __init__(self, environments: Environments) -> None:
        self._environments = environments
        self._throttles = Throttles()
        # Lambda finishes a request even if API Gateway no longer waits for it.
        self._workers = ThreadPoolExecutor(max_workers=64, thread_name_prefix="invoke")

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer a request whose path begins with the prefix."""
        api_id, _, path = request.raw_path.removeprefix(settings.API_PREFIX).partition("/")
        api = HttpApi.find(api_id) or RestApi.find(api_id)
        if api is None:
            return _message(404, "Not Found")
        preflight = api.preflight(request, f"/{path}")
        if preflight is not None:
            return preflight
        try:
            answer = self._answer(api, request, f"/{path}")
        except Refused as refused:
            answer = _message(refused.status, refused.message, api.refusal_headers(f"/{path}"))
        except Exception:  # noqa: BLE001 - a bug, or a stack that makes no sense: the client gets what AWS gives
            _log.exception("%s %s", request.method, request.raw_path)
            answer = _message(*api.WORDS.failed, api.refusal_headers(f"/{path}"))
        cors = api.cors_headers(request)
        if not cors:
            return answer
        own = [(name, value) for name, value in answer.headers if not name.startswith("access-control-")]
        return replace(answer, headers=own + cors)

    def close(self) -> None:
        """Stop waiting for anything."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _answer(self, api: HttpApi | RestApi, request: HttpRequest, path: str) -> HttpResponse:
        if len(request.body) > settings.MAX_BODY_BYTES:
            raise Refused(*api.WORDS.too_large)
        routed = api.route(request, path)
        caller = _caller(api, request, routed)
        self._throttle(routed)
        event = routed.event(request, caller)
        if not may_invoke("apigateway.amazonaws.com", routed.function_arn, routed.source_arn):
            _log.error("%s: no AWS::Lambda::Permission lets %s", routed.function_arn, routed.source_arn)
            raise Refused(500, api.WORDS.failed[1])
        return self._invoke(api, routed, json.dumps(event).encode())

    def _throttle(self, routed: Routed) -> None:
        if not all(self._throttles.take(limit) for limit in routed.limits):
            raise Refused(429, "Too Many Requests")
        if not all(self._throttles.count(allowance) for allowance in routed.allowances):
            raise Refused(429, "Limit Exceeded")

    def _invoke(self, api: HttpApi | RestApi, routed: Routed, payload: bytes) -> HttpResponse:
        if len(payload) > settings.MAX_PAYLOAD_BYTES:
            raise Refused(*api.WORDS.too_large)
        arn = routed.function_arn
        timeout = min(routed.timeout_seconds, settings.INTEGRATION_TIMEOUT_SECONDS)
        try:
            function = resolve(arn, None, settings.REGION)  # the ARN's own region counts
            future = self._workers.submit(self._environments.invoke, function, payload)
            result = future.result(timeout=timeout)
        except TimeoutError:
            raise Refused(*api.WORDS.late) from None
        except Throttled:
            raise Refused(*api.WORDS.throttled) from None
        except (FunctionNotFound, CannotStart, InvalidImage) as error:
            _log.error("%s: %s", arn, error)
            raise Refused(*api.WORDS.failed) from None
        return _respond(api, routed, result)


def _caller(api: HttpApi | RestApi, request: HttpRequest, routed: Routed) -> Caller:
    if routed.authorization == "AWS_IAM":
        access_key = signature.caller(request, _url(request))
        if access_key is None:
            raise Refused(*api.WORDS.unsigned)
        return Caller(access_key=access_key)
    if routed.issuer is not None:
        try:
            return Caller(claims=routed.issuer.claims(request.headers.get("authorization", "")))
        except InvalidToken as error:
            _log.error("a token is refused: %s", error)
            raise Refused(401, "Unauthorized") from None
    return Caller()


def _respond(api: HttpApi | RestApi, routed: Routed, result: Result) -> HttpResponse:
    if result.error:
        _log.error("%s: %s", routed.function_arn, describe(result))
        raise Refused(*api.WORDS.failed)
    try:
        return routed.response(result.payload)
    except MalformedAnswer as error:
        _log.error("%s: the handler's answer is malformed: %s", routed.function_arn, error)
        raise Refused(*api.WORDS.failed) from None


def _message(status: int, message: str, headers: Sequence[tuple[str, str]] = ()) -> HttpResponse:
    body = json.dumps({"message": message}).encode()
    return HttpResponse(status, body, [("content-type", "application/json"), *headers])


def _url(request: HttpRequest) -> str:
    query = f"?{request.query}" if request.query else ""
    return f"http://{request.headers.get('host', '')}{request.raw_path}{query}"

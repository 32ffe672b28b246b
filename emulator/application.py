"""The WSGI application behind the emulator's port: deployed APIs, Lambda's Invoke, and moto for the rest."""

import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Request, Response

from emulator import (
    account_settings,
    alarms,
    codedeploy,
    control,
    cost_explorer,
    firehose,
    lambda_metrics,
    metrics,
    rules,
    settings,
    stepfunctions,
)
from emulator.async_invocations import AsyncInvocations
from emulator.clock import CLOCK
from emulator.cloudformation import types
from emulator.environments import CannotStart, Environments, Throttled
from emulator.events import HttpRequest
from emulator.functions import FunctionNotFound, current_versions, resolve
from emulator.gateway import Gateway
from emulator.images import ImageStore, InvalidImage
from emulator.provisioned import PATH as PROVISIONED_PATH
from emulator.provisioned import ProvisionedConcurrency
from emulator.scaling import Scaling

_log = logging.getLogger(__name__)
_INVOCATION = re.compile(r"/2015-03-31/functions/([^/]+)/invocations/?")
_REGION_IN_SCOPE = re.compile(r"Credential=[^/]+/\d+/([\w-]+)/")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Application:
    """Everything that one emulator answers."""

    def __init__(self, state_dir: Path) -> None:
        self._environments = Environments(ImageStore(state_dir / "images"), state_dir / "logs")
        self._gateway = Gateway(self._environments)
        self._asynchronous = AsyncInvocations(self._environments)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._provisioned = ProvisionedConcurrency(self._environments)
        scaling = Scaling(self._provisioned)
        for part in (
            account_settings,
            alarms,
            codedeploy,
            cost_explorer,
            firehose,
            metrics,
            rules,
            scaling,
            stepfunctions,
        ):
            part.install()
        types.register(after_deployment=self._follow_deployment)
        CLOCK.start(
            lambda _: self._environments.read_logs(),
            alarms.evaluate,
            lambda _: self._provisioned.follow(),
            scaling.run,
            rules.run,
            firehose.run,
        )

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """WSGI."""
        path: str = environ["RAW_URI"].partition("?")[0]
        if path.startswith(settings.API_PREFIX):
            return self._answer_api(environ, path)(environ, start_response)
        if path.startswith(settings.CONTROL_PREFIX):
            return control.answer(Request(environ), path)(environ, start_response)
        if provisioned := PROVISIONED_PATH.fullmatch(path):
            request = Request(environ)
            answered = self._provisioned.answer(request, provisioned[1], _region(request))
            return answered(environ, start_response)
        invocation = _INVOCATION.fullmatch(path)
        if invocation and environ["REQUEST_METHOD"] == "POST":
            return self._answer_invoke(environ, unquote(invocation[1]))(environ, start_response)
        try:
            answer: Iterable[bytes] = self._moto(environ, start_response)
        except Exception as error:  # noqa: BLE001 - a bug of moto's or ours: say so, and serve on
            _log.exception("moto failed")
            return _failure(error)(environ, start_response)
        return answer

    def close(self) -> None:
        """Stop all environments."""
        CLOCK.close()
        self._asynchronous.close()
        self._provisioned.close()
        self._gateway.close()
        self._environments.close()

    def _follow_deployment(self) -> None:
        self._environments.keep_only(current_versions())
        self._provisioned.follow()

    def _answer_api(self, environ: Environ, path: str) -> Response:
        request = Request(environ)
        began = time.monotonic()
        answer = self._gateway.answer(
            HttpRequest(
                method=request.method,
                raw_path=path,
                query=environ.get("QUERY_STRING", ""),
                headers={name.lower(): value for name, value in request.headers.items()},
                body=request.get_data(),
                source_ip=environ.get("REMOTE_ADDR", "127.0.0.1"),
                protocol=environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
            )
        )
        api_id, _, rest = path.removeprefix(settings.API_PREFIX).partition("/")
        latency_ms = (time.monotonic() - began) * 1000
        lambda_metrics.answered(api_id, rest, status=answer.status, latency_ms=latency_ms)
        response = Response(answer.body, status=answer.status)
        response.headers.clear()
        for name, value in answer.headers:
            response.headers.add(name, value)
        return response

    def _answer_invoke(self, environ: Environ, name: str) -> Response:
        """Lambda's Invoke API: synchronous, asynchronous and dry run."""
        request = Request(environ)
        payload = request.get_data() or b"{}"
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        qualifier, region = request.args.get("Qualifier"), _region(request)
        try:
            _check_payload(payload, _MAX_PAYLOAD_BYTES[kind == "Event"])
            function = resolve(name, qualifier, region)
            if kind == "DryRun":
                return Response(status=204)
            if kind == "Event":
                self._asynchronous.put(name, qualifier, region, payload)
                return Response(status=202)
            result = self._environments.invoke(function, payload)
        except tuple(_API_ERRORS) as error:
            return _api_error(error)
        response = Response(result.payload, content_type="application/json")
        response.headers["X-Amz-Executed-Version"] = function.version
        if result.error:
            response.headers["X-Amz-Function-Error"] = result.error
        return response


def _region(request: Request) -> str:
    """The region that a request was signed for."""
    scope = _REGION_IN_SCOPE.search(request.headers.get("Authorization", ""))
    return scope[1] if scope else settings.REGION


def _failure(error: Exception) -> Response:
    """A bug, as an error that SDKs show and do not retry (as they would a 500, for minutes)."""
    message = escape(f"The emulator failed: {type(error).__name__}: {error}")
    body = (
        "<ErrorResponse><Error><Type>Receiver</Type><Code>InternalFailure</Code>"
        f"<Message>{message}</Message></Error></ErrorResponse>"
    )
    return Response(body, status=400, content_type="text/xml")


# Of a synchronous invocation, and of an asynchronous one.
_MAX_PAYLOAD_BYTES = settings.MAX_PAYLOAD_BYTES, 1024**2


class _PayloadTooLarge(Exception):
    """More than Lambda takes."""


class _PayloadInvalid(Exception):
    """Not JSON."""


# What the Invoke API calls what can go wrong, and its status.
_API_ERRORS: dict[type[Exception], tuple[int, str]] = {
    _PayloadTooLarge: (413, "RequestTooLargeException"),
    _PayloadInvalid: (400, "InvalidRequestContentException"),
    FunctionNotFound: (404, "ResourceNotFoundException"),
    Throttled: (429, "TooManyRequestsException"),
    CannotStart: (502, "InvalidRuntimeException"),
    InvalidImage: (502, "InvalidRuntimeException"),
}


def _check_payload(payload: bytes, limit: int) -> None:
    if len(payload) > limit:
        raise _PayloadTooLarge(f"Request must be smaller than {limit} bytes for this operation")
    try:
        json.loads(payload)
    except ValueError as error:
        raise _PayloadInvalid(f"Could not parse request body into json: {error}") from None


def _api_error(error: Exception) -> Response:
    status, kind = _API_ERRORS[type(error)]
    body = json.dumps({"Type": "User", "Message": str(error), "message": str(error)})
    return Response(body, status=status, content_type="application/json", headers={"x-amzn-ErrorType": kind})

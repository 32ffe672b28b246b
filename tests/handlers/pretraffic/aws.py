"""What the check speaks to, without AWS: a folder for S3, the real service behind Lambda's Invoke."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from handlers.inference.events import answer_event
from handlers.inference.service import Service


class NotFound(Exception):
    """There is no such version, or it has no provisioned concurrency."""


class TooManyRequests(Exception):
    """All concurrency is in use."""


class NotReady(Exception):
    """Nobody asked the version for weeks."""


class Bundles:
    """boto3's S3 client, as far as it is used: one bundle."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_object(self, **request: str) -> dict[str, Any]:
        assert request["Bucket"] == "registry"
        prefix, _, name = request["Key"].rpartition("/")
        assert prefix.startswith("models/toy/")
        return {"Body": io.BytesIO((self._folder / name).read_bytes())}


class Versions:
    """boto3's Lambda client: version 7 of ``endpoint`` serves ``service``, an event as JSON at a time."""

    exceptions = SimpleNamespace(
        ProvisionedConcurrencyConfigNotFoundException=NotFound,
        ResourceNotFoundException=NotFound,
        TooManyRequestsException=TooManyRequests,
        ResourceNotReadyException=NotReady,
        ResourceConflictException=NotReady,
    )

    def __init__(self, service: Service, before: Callable[[], None] = lambda: None) -> None:
        self._service = service
        self._before = before
        self.error: dict[str, str] | None = None
        self.provisioned: list[str | None] = []
        self.invoked = 0
        self.released: list[tuple[str, str]] = []

    def invoke(self, **request: Any) -> dict[str, Any]:
        event = json.loads(request.pop("Payload"))
        assert request == {"FunctionName": "endpoint", "Qualifier": "7"}
        self.invoked += 1
        self._before()
        if self.error:
            body = json.dumps(self.error).encode()
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(body)}
        return {"Payload": io.BytesIO(answer_event(self._service, event).as_json())}

    def get_provisioned_concurrency_config(self, **request: str) -> dict[str, Any]:
        assert request == {"FunctionName": "endpoint", "Qualifier": "7"}
        status = self.provisioned.pop(0) if len(self.provisioned) > 1 else self.provisioned[0]
        if status is None:
            raise NotFound
        reason = {"StatusReason": "FUNCTION_ERROR_INIT_FAILURE"} if status == "FAILED" else {}
        return {"Status": status, **reason}

    def delete_provisioned_concurrency_config(self, **request: str) -> None:
        assert request["Qualifier"], "boto3 refuses an empty one"
        if request["Qualifier"] != "7":
            raise NotFound
        self.released.append((request["FunctionName"], request["Qualifier"]))

"""Lambda's provisioned concurrency: the calls that moto lacks, and environments that are started ahead."""

import json
import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from werkzeug.wrappers import Request, Response

from emulator import settings
from emulator.clock import CLOCK
from emulator.environments import CannotStart, Environments
from emulator.functions import FunctionNotFound, FunctionVersion, has_weights, resolve
from emulator.images import InvalidImage

_log = logging.getLogger(__name__)
PATH = re.compile(r"/2019-09-30/functions/([^/]+)/provisioned-concurrency/?")

Key = tuple[str, str, str]  # region, function, qualifier


@dataclass
class _Config:
    """What was asked for, and what came of it."""

    requested: int
    function: FunctionVersion
    modified: str
    status: str = "IN_PROGRESS"
    reason: str = ""


class Refused(Exception):
    """An error of Lambda's: its code, status and message."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class ProvisionedConcurrency:
    """All configurations of one emulator; its methods may be called from any thread."""

    def __init__(self, environments: Environments) -> None:
        self._environments = environments
        self._configs: dict[Key, _Config] = {}
        self._lock = threading.Lock()
        # A slow initialisation must not keep others waiting; the same version's come one after another.
        self._workers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="provision")
        self._provisioning = threading.Lock()

    def put(self, key: Key, requested: int) -> _Config:
        """PutProvisionedConcurrencyConfig.

        Raises:
            Refused: as Lambda does.
        """
        region, name, qualifier = key
        function = self._resolve(key)
        if requested < 1:
            raise Refused(
                "InvalidParameterValueException", 400, "ProvisionedConcurrentExecutions is below 1."
            )
        if qualifier in ("", "$LATEST"):
            message = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
            raise Refused("InvalidParameterValueException", 400, message)
        if has_weights(name, qualifier, region):
            message = "Alias with weights can not be used with Provisioned Concurrency"
            raise Refused("InvalidParameterValueException", 400, message)
        with self._lock:
            for other, config in self._configs.items():
                if other != key and config.function == function:
                    message = f"{name}:{other[2]} has provisioned concurrency for the same version already."
                    raise Refused("InvalidParameterValueException", 400, message)
            config = _Config(requested, function, f"{CLOCK.utc().isoformat(timespec='seconds')}+0000")
            self._configs[key] = config
        self._workers.submit(self._provide, config)
        return config

    def get(self, key: Key) -> _Config | None:
        """The configuration of a version or an alias."""
        return self._configs.get(key)

    def delete(self, key: Key) -> None:
        """DeleteProvisionedConcurrencyConfig: what is running may end its request."""
        with self._lock:
            config = self._configs.pop(key, None)
        if config is not None:
            self._workers.submit(self._environments.provision, config.function, 0)

    def follow(self) -> None:
        """Go after what changed: aliases that moved, functions that are gone, environments that died."""
        for key, config in list(self._configs.items()):
            try:
                function = self._resolve(key)
            except Refused:
                self.delete(key)
                continue
            if function != config.function:
                self._workers.submit(self._environments.provision, config.function, 0)
                config.function, config.status = function, "IN_PROGRESS"
                self._workers.submit(self._provide, config)
            elif config.status == "READY" and self._environments.provisioned(function) != config.requested:
                self._workers.submit(self._provide, config)

    def close(self) -> None:
        """Start no more."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    def answer(self, request: Request, name: str, region: str) -> Response:
        """The calls over HTTP."""
        name = unquote(name)
        name = name.split(":")[6] if name.startswith("arn:") else name.partition(":")[0]
        key = (region, name, request.args.get("Qualifier", ""))
        try:
            if request.method == "PUT":
                count = int(json.loads(request.get_data())["ProvisionedConcurrentExecutions"])
                return _json(self._describe(self.put(key, count)), 202)
            if request.args.get("List") == "ALL":
                return _json({"ProvisionedConcurrencyConfigs": self._list(region, name)})
            config = self.get(key)
            if request.method == "DELETE":
                self.delete(key)
                return Response(status=204)
            if config is None:
                message = "No Provisioned Concurrency Config found for this function"
                raise Refused("ProvisionedConcurrencyConfigNotFoundException", 404, message)
            return _json(self._describe(config))
        except Refused as error:
            response = _json({"Type": "User", "Message": str(error), "message": str(error)}, error.status)
            response.headers["x-amzn-ErrorType"] = error.code
            return response

    def _provide(self, config: _Config) -> None:
        with self._provisioning:
            if config not in self._configs.values():
                return  # deleted or put anew meanwhile
            try:
                self._environments.provision(config.function, config.requested)
            except (CannotStart, InvalidImage) as error:
                _log.warning("%s:%s: %s", config.function.name, config.function.version, error)
                config.status, config.reason = "FAILED", "FUNCTION_ERROR_INIT_FAILURE"
            else:
                config.status, config.reason = "READY", ""

    def _list(self, region: str, name: str) -> list[dict[str, Any]]:
        return [
            {"FunctionArn": f"arn:aws:lambda:{region}:{settings.ACCOUNT}:function:{name}:{key[2]}"}
            | self._describe(config)
            for key, config in self._configs.items()
            if key[:2] == (region, name)
        ]

    def _describe(self, config: _Config) -> dict[str, Any]:
        there = self._environments.provisioned(config.function)
        return {
            "RequestedProvisionedConcurrentExecutions": config.requested,
            "AvailableProvisionedConcurrentExecutions": there,
            "AllocatedProvisionedConcurrentExecutions": there,
            "Status": config.status,
            "LastModified": config.modified,
            **({"StatusReason": config.reason} if config.reason else {}),
        }

    @staticmethod
    def _resolve(key: Key) -> FunctionVersion:
        region, name, qualifier = key
        try:
            return resolve(name, qualifier, region)
        except FunctionNotFound as error:
            raise Refused("ResourceNotFoundException", 404, str(error)) from None


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(content), status=status, content_type="application/json")

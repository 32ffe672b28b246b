"""One version against its bundle, on the hardware that will serve it."""

import json
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from bundle.errors import BundleError
from bundle.layout import MANIFEST_FILE
from bundle.served import read_manifest
from handlers import direct
from handlers.inference.routes import CPU_HEADER
from handlers.pretraffic.requests import NoAnswer, fits, read_answer, to_event
from handlers.pretraffic.samples import Sample, read_samples
from handlers.tolerance import allowed_difference, difference

GOLDEN_FILE = "golden.npz"
_ROUNDS = 5
# What a call costs beside the model's run: the network, Lambda, JSON and base64.
_OVERHEAD_MS = 100.0
# Provisioned concurrency: Application Auto Scaling asks for it within a minute or two, and Lambda may take
# some minutes. Who waits longer delays a deployment that serves on demand meanwhile.
_UNTIL_ASKED_S, _UNTIL_READY_S, _POLL_S = 180.0, 600.0, 2.0


class Settings(NamedTuple):
    """What to check, as the environment says.

    ``latency_factor``: how many times slower than measured a warm answer may be. ``is_provisioned``: whether
    the version is to have provisioned concurrency.
    """

    function: str
    version: str
    model: str
    digest: str
    bucket: str
    latency_factor: float
    is_provisioned: bool


class Golden(NamedTuple):
    """What the bundle says of the answers to expect."""

    samples: list[Sample]
    errors: dict[str, float]
    latency_ms: float


class Failed(Exception):
    """The version must not serve; one sentence says why."""


def settings_from(environ: Mapping[str, str]) -> Settings:
    """The check that the function's variables describe (docs/architecture.md)."""
    return Settings(
        function=environ["COLDPRESS_FUNCTION"],
        version=environ["COLDPRESS_FUNCTION_VERSION"],
        model=environ["COLDPRESS_MODEL"],
        digest=environ["COLDPRESS_DIGEST"],
        bucket=environ["COLDPRESS_BUCKET"],
        latency_factor=float(environ["COLDPRESS_LATENCY_FACTOR"]),
        is_provisioned=environ.get("COLDPRESS_PROVISIONED") == "1",
    )


class Check:
    """The check of one version.

    Args:
        settings: what to check.
        s3: boto3's client, which reads the bundle.
        client: boto3's client of Lambda, which invokes the version by its number, never by the alias.
        clock, sleep: how time passes.

    Attributes:
        record: what was seen so far, for the log.
    """

    def __init__(
        self,
        settings: Settings,
        s3: Any,
        client: Any,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._s3 = s3
        self._lambda = client
        self._clock = clock
        self._sleep = sleep
        self.record: dict[str, Any] = {"version": settings.version, "digest": settings.digest}

    def run(self) -> None:
        """Check all there is to check.

        Raises:
            Failed: the version must not serve.
        """
        golden = self._read_bundle()
        if self._settings.is_provisioned:
            self.record["provisioned"] = self._wait_until_provisioned()
        sent = [sample for sample in golden.samples if fits(sample.inputs) and fits(sample.outputs)]
        self.record |= {"samples": len(sent), "left_out": len(golden.samples) - len(sent)}
        for sample in sent:
            self._compare(sample, golden)
        if sent:
            self._check_latency(sent[0], golden.latency_ms)
        else:
            # Models whose every body is an upload: at least the version starts and has loaded its model.
            self._invoke(to_event(self._settings.model, {}))

    def _read_bundle(self) -> Golden:
        content = self._read(MANIFEST_FILE)
        try:
            files = read_manifest(content, self._settings.digest).files
        except BundleError as error:
            raise Failed(str(error)) from None
        archive = self._read(GOLDEN_FILE)
        if sha256(archive).hexdigest() != files[GOLDEN_FILE].sha256:
            raise Failed(f"{GOLDEN_FILE} is not the file that was pushed: push the bundle again.")
        manifest = json.loads(content)
        return Golden(read_samples(archive), manifest["golden_error"], manifest["after"]["latency_ms"])

    def _read(self, name: str) -> bytes:
        key = f"models/{self._settings.model}/{self._settings.digest}/{name}"
        content: bytes = self._s3.get_object(Bucket=self._settings.bucket, Key=key)["Body"].read()
        return content

    def _wait_until_provisioned(self) -> str:
        """READY, or what it is when it is not worth waiting any longer."""
        began = self._clock()
        while True:
            status, reason = self._provisioned()
            if status == "FAILED":
                raise Failed(f"provisioned concurrency failed: {reason}")
            limit = _UNTIL_ASKED_S if status == "NONE" else _UNTIL_READY_S
            if status == "READY" or self._clock() - began > limit:
                return status
            self._sleep(_POLL_S)

    def _provisioned(self) -> tuple[str, str]:
        try:
            found = self._lambda.get_provisioned_concurrency_config(
                FunctionName=self._settings.function, Qualifier=self._settings.version
            )
        except self._lambda.exceptions.ProvisionedConcurrencyConfigNotFoundException:
            return "NONE", ""
        return found["Status"], found.get("StatusReason", "Lambda gives no reason")

    def _compare(self, sample: Sample, golden: Golden) -> None:
        try:
            answers = read_answer(self._invoke(to_event(self._settings.model, sample.inputs)))
        except NoAnswer as problem:
            raise Failed(f"the answer to golden sample {sample.number} is wrong: {problem}.") from None
        for name, wanted in sample.outputs.items():
            if name not in answers:
                raise Failed(f"the answer to golden sample {sample.number} lacks the output '{name}'.")
            found = difference(answers[name], wanted)
            allowed = allowed_difference(wanted, golden.errors.get(name, 0.0))
            seen = self.record.setdefault("differences", {})
            seen[name] = max(seen.get(name, 0.0), found)
            if found > allowed:
                raise Failed(
                    f"output '{name}' of golden sample {sample.number} differs by {found:.6g} from the "
                    f"original model's, and {allowed:.6g} is allowed: this is another model, or other "
                    "hardware than it was pressed for."
                )

    def _check_latency(self, sample: Sample, measured_ms: float) -> None:
        event = to_event(self._settings.model, sample.inputs)
        fastest = min(self._timed(event) for _ in range(_ROUNDS))
        allowed = measured_ms * self._settings.latency_factor + _OVERHEAD_MS
        self.record |= {"fastest_ms": round(fastest, 1), "allowed_ms": round(allowed, 1)}
        if fastest > allowed:
            raise Failed(
                f"the fastest of {_ROUNDS} warm answers took {fastest:.1f} ms of {allowed:.1f} allowed "
                f"({measured_ms:.1f} ms were measured when the bundle was made): give the function more "
                "memory, or raise rollout.latency_factor."
            )

    def _timed(self, event: dict[str, Any]) -> float:
        began = self._clock()
        self._invoke(event)
        return (self._clock() - began) * 1e3

    def _invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        settings = self._settings
        try:
            reply: dict[str, Any] = direct.invoke(self._lambda, settings.function, settings.version, event)
        except direct.FunctionFailed as failed:
            raise Failed(f"the version fails: {failed} (see the endpoint's log).") from None
        self._keep_cpu((reply.get("headers") or {}).get(CPU_HEADER))
        return reply

    def _keep_cpu(self, described: str | None) -> None:
        """Environments of one version may be on hosts with other CPUs, and give other answers."""
        seen = self.record.setdefault("cpus", [])
        if described is not None and json.loads(described) not in seen:
            seen.append(json.loads(described))

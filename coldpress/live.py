"""Measuring what is deployed: every memory size that a retained version of the serving model has."""

import base64
import json
import re
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bundle.folder import verify
from bundle.registry import Registry
from coldpress import aws
from coldpress.deployed import Deployed, Version, open_one
from coldpress.errors import CommandError
from coldpress.prices import prices_of
from coldpress.samples import golden_event
from coldpress.sizing import Row, usd_per_million, vcpus

_REPORT = re.compile(r"\tDuration: ([0-9.]+) ms.*?(?:Init Duration: ([0-9.]+) ms|$)", re.DOTALL)


@aws.one_sentence()
def measure_live(
    stack: str, model: str | None, bundle: Path | None, requests: int, region: str
) -> tuple[list[Row], list[str]]:
    """Invoke one version of each memory size by its number; neither the alias nor ``$LATEST`` is touched."""
    deployed = open_one(stack, model)
    newest: dict[int, Version] = {}
    for version in deployed.versions:
        if version.digest == deployed.serving.digest:
            newest.setdefault(version.memory_mb, version)
    with tempfile.TemporaryDirectory(prefix="coldpress-size-") as folder:
        event = _event(deployed, bundle, Path(folder))
    rows = [_row(deployed, version, event, requests, region) for _, version in sorted(newest.items())]
    notes = []
    if len(rows) == 1:
        notes.append(
            "Only one memory size of this model is deployed: deploy another memory_mb to compare, or measure "
            "a BUNDLE here."
        )
    return rows, notes


def _event(deployed: Deployed, bundle: Path | None, folder: Path) -> bytes:
    if bundle is None:
        serving = deployed.serving
        registry = Registry(serving.bucket, aws.s3_client())
        bundle = registry.fetch(serving.model, serving.digest, folder)
    return golden_event(bundle, verify(bundle).name)


def _row(deployed: Deployed, version: Version, event: bytes, requests: int, region: str) -> Row:
    client, durations, cold_ms = aws.client("lambda"), [], None
    for number in range(requests + 1):
        began = time.perf_counter()
        answer = client.invoke(
            FunctionName=deployed.function, Qualifier=str(version.number), Payload=event, LogType="Tail"
        )
        content = json.load(answer["Payload"])
        wall_ms = (time.perf_counter() - began) * 1e3
        if "FunctionError" in answer or content.get("statusCode") != 200:
            raise CommandError(f"version {version.number} does not answer the golden sample: {content}")
        duration_ms, init_ms = _reported(answer, wall_ms)
        cold_ms = init_ms or cold_ms
        if number:  # the first may have met a cold start
            durations.append(duration_ms)
    latency_ms = statistics.fmean(durations)
    return Row(
        memory_mb=version.memory_mb,
        vcpus=round(vcpus(version.memory_mb), 2),
        threads=max(1, int(vcpus(version.memory_mb))),
        latency_ms=latency_ms,
        cold_start_ms=cold_ms,
        usd_per_million=usd_per_million(
            version.memory_mb, latency_ms, version.architecture, prices_of(region)
        ),
    )


def _reported(answer: Any, wall_ms: float) -> tuple[float, float | None]:
    """Duration and init duration of Lambda's REPORT line; where there is none, the clock's."""
    log = base64.b64decode(answer.get("LogResult") or "").decode(errors="replace")
    found = _REPORT.search(log)
    if found is None:
        return wall_ms, None
    return float(found[1]), float(found[2]) if found[2] else None

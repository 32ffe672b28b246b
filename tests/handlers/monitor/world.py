"""A model that is watched: captures and labels in moto's S3, and runs of the monitor over them."""

import gzip
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from bundle.manifest import Metric, Source
from bundle.registry import Registry
from handlers.monitor.cursor import folder_at
from handlers.monitor.job import Job, Settings
from handlers.monitor.scope import Scope
from handlers.monitor.status import Status, decode
from handlers.monitor.store import STATUS
from monitoring.baseline import encode
from monitoring.build import build
from tests.handlers.bundles import write_bundle
from tests.handlers.models import build_model

NAME, REGISTRY, CAPTURES = "credit", "registry", "captures"
NOON = 1_795_953_600.0  # 2026-11-29 12:00 UTC
WEIGHTS = np.float32([[2, -2, 0], [0, 2, -2], [1, 0, 1], [0, 0, 0]])


def model(weights: np.ndarray = WEIGHTS) -> onnx.ModelProto:
    """p = softmax(x w): three classes of four numbers."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["p"]),
    ]
    tensors = {"x": ("float32", ["rows", 4])}, {"p": ("float32", ["rows", 3])}
    return build_model(nodes, *tensors, {"w": np.float32(weights)})


def answers(x: np.ndarray, weights: np.ndarray = WEIGHTS) -> np.ndarray:
    scores = x @ weights
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.float32(shares / shares.sum(axis=1, keepdims=True))


def draw(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.normal(size=(count, 4)).astype(np.float32)


class World:
    """One model of one stage, and the emulated time of its schedule."""

    def __init__(self, client: Any, folder: Path) -> None:
        self.client, self._folder = client, folder
        for bucket in (REGISTRY, CAPTURES):
            client.create_bucket(Bucket=bucket)
        self.rng = np.random.default_rng(7)
        self.now = NOON
        self._objects = 0
        self.trouble = ""
        self.settings = Settings(NAME, "1", "", REGISTRY, CAPTURES, 1.0, Scope(), 0.0, 0.0, 1024)

    def push(self, version: str = "1", *, original: bool = False, **told: Any) -> str:
        """Press nothing, push a bundle, and watch it from now on."""
        x = draw(np.random.default_rng(0), 2000)
        trained = model().SerializeToString()
        sha256 = hashlib.sha256(trained).hexdigest()
        told = {
            "baseline": encode(build({"x": x}, {"p": answers(x)})),
            "metric": Metric(
                name="accuracy",
                before=0.9,
                after=0.9,
                drop=0.0,
                interval=(0.0, 0.0),
                bound=0.01,
                samples=5000,
            ),
            "source": Source(file="toy.onnx", sha256=sha256, size=len(trained), opset=17),
            "tools": {"version": version},
            **told,
        }
        bundle = write_bundle(self._folder, model(), name=NAME, **told)
        digest = Registry(REGISTRY, self.client).push(bundle).digest
        if original:
            self.client.put_object(Bucket=REGISTRY, Key=f"models/{NAME}/originals/{sha256}", Body=trained)
        self.settings = self.settings._replace(version=version, digest=digest)
        return digest

    def lines(
        self,
        x: np.ndarray,
        p: np.ndarray | None = None,
        *,
        prefix: str = "r",
        digest: str = "",
        at: float = 0.0,
    ) -> list[bytes]:
        """Captured requests of one row each."""
        p = answers(x) if p is None else p
        return [
            json.dumps(
                {
                    "schema": 1,
                    "inference_id": f"{prefix}-{number}",
                    "request_id": "q",
                    "time_ms": int(((at or self.now) + number / 100) * 1000),
                    "digest": digest or self.settings.digest,
                    "inputs": [_tensor("x", x[number : number + 1])],
                    "outputs": [_tensor("p", p[number : number + 1])],
                }
            ).encode()
            for number in range(len(x))
        ]

    def put(self, lines: list[bytes], *, hour: float | None = None, name: str = "") -> str:
        """An object as Firehose writes it, in the folder of an hour."""
        self._objects += 1
        key = (
            f"{folder_at(f'captures/model={NAME}/', hour or self.now)}{name or f'object-{self._objects:05}'}"
        )
        self.client.put_object(Bucket=CAPTURES, Key=key, Body=gzip.compress(b"\n".join(lines) + b"\n"))
        return key

    def label(self, labels: dict[str, Any]) -> None:
        lines = [json.dumps({"inferenceId": name, "label": label}).encode() for name, label in labels.items()]
        content = b"\n".join(lines)
        key = f"labels/model={NAME}/{hashlib.sha256(content).hexdigest()}.jsonl"
        self.client.put_object(Bucket=CAPTURES, Key=key, Body=content)

    def run(self, *, seconds: float = 100.0, pass_s: float = 300.0, **settings: Any) -> list[dict[str, Any]]:
        """One run of the schedule, and what it says to the log."""
        self.now += pass_s
        job = Job(self.client, self.settings._replace(**settings))
        lines = [json.loads(line) for line in job.run(self.now, time.monotonic() + seconds)]
        self.trouble = job.trouble
        return lines

    def status(self, digest: str = "") -> Status:
        return decode(self.read(STATUS, digest))

    def read(self, name: str, digest: str = "") -> bytes:
        key = f"monitor/model={NAME}/{digest or self.settings.digest}/{name}"
        return self.client.get_object(Bucket=CAPTURES, Key=key)["Body"].read()


def _tensor(name: str, values: np.ndarray) -> dict[str, Any]:
    flat = [float(value) if np.isfinite(value) else "NaN" for value in values.ravel()]
    return {"name": name, "datatype": "FP32", "shape": list(values.shape), "data": flat}

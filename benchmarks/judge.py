"""The judge: every tool's model and ours in one ONNX Runtime, on one thread, on samples unseen by all."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import onnxruntime as ort

from benchmarks.environments import BENCH
from benchmarks.models import Model
from optimizer.data import Sample, load_samples
from optimizer.evaluate import Judge, Scores
from optimizer.measure import Latency, latencies, representative
from optimizer.metrics import find_metric
from optimizer.model import load_model
from optimizer.runtime import serving_session

_SECONDS_EACH = 1.5


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One model's figures, or why it has none."""

    scores: Scores | None = None
    latency: Latency | None = None
    size: int = 0
    error: str = ""


def judge(model: Model, folder: Path, files: Mapping[str, Path]) -> dict[str, Verdict]:
    """Figures of each of ``files``, all timed in the same rounds as the original in ``folder``."""
    original = load_model(folder / "model.onnx")
    samples = load_samples(str(folder / "report"), original.signature)
    outputs = [model.output] if model.output else original.outputs
    metric = Judge(find_metric(model.metric), original.session, outputs, seed=0)
    sessions: dict[str, ort.InferenceSession] = {}
    verdicts: dict[str, Verdict] = {}
    for name, path in files.items():
        try:
            session = serving_session(path)
            scores = metric.score(session, samples)
        except Exception as error:  # noqa: BLE001 - whatever stops a tool's model is its row
            verdicts[name] = Verdict(error=_sentence(error))
            continue
        sessions[name] = session
        verdicts[name] = Verdict(scores=scores, size=_size(path))
    times = _times(original.session, sessions, samples)
    return {
        name: msgspec.structs.replace(verdict, latency=times.get(name)) for name, verdict in verdicts.items()
    }


def _times(
    original: ort.InferenceSession, sessions: Mapping[str, ort.InferenceSession], samples: list[Sample]
) -> dict[str, Latency]:
    feeds = representative([sample.feeds for sample in samples])
    return latencies(original, sessions, feeds, _SECONDS_EACH * (len(sessions) + 1))


def _size(path: Path) -> int:
    """With the data that lies beside it, if a tool wrote any."""
    return sum(file.stat().st_size for file in [path, *path.parent.glob("*.data")])


def _sentence(error: Exception) -> str:
    line = " ".join(f"{type(error).__name__}: {error}".split())
    return f"its model does not run: {line}".replace(f"{BENCH}/", "")[:200]

"""Data and models of the streams, made when first needed: build/bench/monitor."""

import subprocess

import numpy as np
import onnxruntime

from benchmarks.environments import ROOT, python_of
from benchmarks.monitors.subjects import DATA


def prepare() -> None:
    """Make what is not there yet."""
    DATA.mkdir(parents=True, exist_ok=True)
    if not (DATA / "sentences.json").exists():
        _run("monitor-data", "data")
    if not (DATA / "texts.npz").exists():
        _run("minilm", "texts")
        _embed()


def _run(environment: str, script: str) -> None:
    command = [str(python_of(environment)), "-m", f"benchmarks.monitors.{script}", str(DATA)]
    subprocess.run(command, check=True, cwd=ROOT)


def _embed() -> None:
    with np.load(DATA / "tokens.npz") as archive:  # noqa: TID251 - written by texts.py
        found = dict(archive)
    session = onnxruntime.InferenceSession(ROOT / "build" / "minilm" / "model.onnx")
    for language in ("en", "de"):
        vectors = []
        for ids, length in zip(found[f"{language}_ids"], found[f"{language}_lengths"], strict=True):
            tokens = ids[None, :length]
            feeds = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
            vectors.append(session.run(None, feeds)[0][0])
        found[f"{language}_vectors"] = np.array(vectors)
    np.savez(DATA / "texts.npz", allow_pickle=False, **found)

"""A head on all-MiniLM-L6-v2 that tells which package a docstring is from: token ids in, logits out.

Usage: train.py MINILM.onnx FOLDER (FOLDER as data.py wrote it; writes FOLDER/model.onnx)
"""

import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import helper, numpy_helper
from torch.nn.functional import cross_entropy

HIDDEN, EPOCHS, BATCH, RATE = 256, 15, 128, 1e-3
SCALE = 10.0  # an embedding has length 1: its 384 numbers are small
PACKAGES = 10


def embeddings(minilm: Path, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """float32 [texts, 384] and their labels."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(minilm, options)
    rows, labels = [], []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:  # noqa: TID251 - our own files, and pickle is off
            feeds = {name: arrays[name] for name in ("input_ids", "attention_mask")}
            labels.append(int(arrays["labels"][0]))
        rows.append(session.run(None, feeds)[0][0])
    return torch.from_numpy(np.array(rows)), torch.tensor(labels)


def head_for(rows: torch.Tensor, labels: torch.Tensor) -> torch.nn.Sequential:
    """One hidden layer; nothing is chosen by looking at the evaluation set."""
    torch.manual_seed(0)
    head = torch.nn.Sequential(
        torch.nn.Linear(rows.shape[1], HIDDEN),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.3),
        torch.nn.Linear(HIDDEN, PACKAGES),
    )
    optimiser = torch.optim.AdamW(head.parameters(), RATE, weight_decay=1e-3)
    for _ in range(EPOCHS):
        for part in torch.randperm(len(rows)).split(BATCH):
            loss = cross_entropy(head(SCALE * rows[part]), labels[part])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return head.eval()


def with_head(minilm: onnx.ModelProto, head: torch.nn.Sequential) -> onnx.ModelProto:
    """The graph, its embedding going through the head."""
    graph = minilm.graph
    weights = {
        "head_in": head[0].weight.T * SCALE,
        "head_in_bias": head[0].bias,
        "head_out": head[3].weight.T,
        "head_out_bias": head[3].bias,
    }
    graph.initializer.extend(
        numpy_helper.from_array(tensor.detach().numpy(), name) for name, tensor in weights.items()
    )
    graph.node.extend(
        [
            helper.make_node("Gemm", [graph.output[0].name, "head_in", "head_in_bias"], ["head_a"]),
            helper.make_node("Relu", ["head_a"], ["head_b"]),
            helper.make_node("Gemm", ["head_b", "head_out", "head_out_bias"], ["logits"]),
        ]
    )
    del graph.output[:]
    shape = ["batch", head[3].out_features]
    graph.output.append(helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, shape))
    return minilm


def main(minilm: str, folder: str) -> None:
    """Embed, train, write."""
    began = time.process_time()
    rows, labels = embeddings(Path(minilm), Path(folder, "training"))
    head = head_for(rows, labels)
    right = float((head(SCALE * rows).argmax(1) == labels).float().mean())
    target = Path(folder, "model.onnx")
    onnx.save(with_head(onnx.load(minilm), head), target)
    spent = (time.process_time() - began) / 60
    print(f"{target}: {right:.3f} of {len(rows)} training texts are right, {spent:.1f} CPU minutes")


if __name__ == "__main__":
    main(*sys.argv[1:])

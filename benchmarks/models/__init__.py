"""The models of `make bench-optimize`, one file each: where it comes from, its data and its metric.

Each file is a script that writes ``model.onnx`` and the sets of samples into the folder that it is given.
"""

from dataclasses import dataclass, replace

# Peers' files are proved only where VNNI is, so the first is like for like; the second is what Lambda has.
_TARGETS = ("x86_64-vnni", "x86_64")


@dataclass(frozen=True)
class Case:
    """One thing to ask of `optimize`."""

    bound: float
    objective: str = "latency"
    target: str = _TARGETS[0]


@dataclass(frozen=True)
class Model:
    """``environment`` is the virtual environment (environments.py) that its script needs."""

    name: str
    title: str
    metric: str
    questions: tuple[Case, ...]
    environment: str = "project"
    output: str | None = None
    transformer: bool = False

    @property
    def cases(self) -> tuple[Case, ...]:
        """What is asked, of each target."""
        return tuple(replace(case, target=target) for target in _TARGETS for case in self.questions)


MODELS = (
    Model("rec", "PP-OCRv4 rec", "agreement", (Case(0.01), Case(0.016), Case(0.01, "size"))),
    Model(
        "minilm",
        "all-MiniLM-L6-v2",
        "cosine",
        (Case(0.001), Case(0.005), Case(0.005, "size")),
        environment="minilm",
        transformer=True,
    ),
    Model("det", "PP-OCRv4 det", "iou", (Case(0.02),)),
    Model("vad", "Silero VAD (LSTM)", "mae", (Case(0.01),), environment="models", output="speech_probs"),
    Model("magika", "Magika file types", "agreement", (Case(0.01),)),
    Model(
        "tabular",
        "scikit-learn MLP, digits",
        "agreement",
        (Case(0.01),),
        environment="models",
        output="probabilities",
    ),
    Model(
        "recommender",
        "NeuMF recommender",
        "benchmarks.models.recommender:overlap",
        (Case(0.02),),
        environment="minilm",
    ),
)

# Too small for the table of `make bench-optimize`; what is served by those of `make bench-cold` and others.
CLS = Model("cls", "PP-OCRv4 cls", "agreement", (Case(0.01),))

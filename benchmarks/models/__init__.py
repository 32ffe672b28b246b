"""The models of `make bench-optimize`, one file each: where it comes from, its data and its metric.

Each file is a script that writes ``model.onnx`` and the sets of samples into the folder that it is given.
"""

from dataclasses import dataclass, replace

# Peers' files are proved only where VNNI is, so the first is like for like; the second is what Lambda has.
_TARGETS = ("x86_64-vnni", "x86_64")


@dataclass(frozen=True)
class Case:
    """One thing to ask of `optimize`.

    ``train``: seconds, for which it gets the set ``training`` to calibrate on; ``student``: of which kind.
    """

    bound: float
    objective: str = "latency"
    target: str = _TARGETS[0]
    train: int = 0
    student: str = ""

    @property
    def title(self) -> str:
        """As the tables name it."""
        parts = [self.objective, str(self.bound), self.target]
        parts += [f"{self.student} student"] if self.student else []
        return ", ".join([*parts, *([f"trained {self.train} s"] if self.train else [])])


@dataclass(frozen=True)
class Model:
    """``environment`` is the virtual environment (environments.py) that its script needs.

    ``questions`` are asked of each target, ``also`` of its own one. ``script``: one that several share.
    Other tools get what ``is_network``; those that train also ``torch``, a ``module:factory`` of the same,
    beside which ``smaller`` makes a student for those that want one.
    """

    name: str
    title: str
    metric: str
    questions: tuple[Case, ...]
    environment: str = "project"
    output: str | None = None
    transformer: bool = False
    also: tuple[Case, ...] = ()
    script: str = ""
    is_network: bool = True
    torch: str = ""

    @property
    def cases(self) -> tuple[Case, ...]:
        """All that is asked; what trains last."""
        asked = (replace(case, target=target) for target in _TARGETS for case in self.questions)
        return (*asked, *self.also)

    @property
    def seconds(self) -> int:
        """The longest that training may take, ours and others'."""
        return max((case.train for case in self.cases), default=0)


MODELS = (
    Model(
        "rec",
        "PP-OCRv4 rec",
        "agreement",
        (Case(0.01), Case(0.016), Case(0.01, "size")),
        also=(Case(0.01, train=600),),
    ),
    Model(
        "minilm",
        "all-MiniLM-L6-v2",
        "cosine",
        (Case(0.001), Case(0.005), Case(0.005, "size")),
        environment="minilm",
        transformer=True,
        # The wider bounds are what a quarter of the feed-forward neurons, and half of them, cost.
        also=(Case(0.015), Case(0.035), Case(0.015, train=1800), Case(0.035, train=1800)),
        torch="benchmarks.models.minilm:make",
    ),
    Model(
        "packages",
        "MiniLM and a head, docstrings",
        "accuracy",
        (Case(0.01),),
        transformer=True,
        also=(
            Case(0.01, target=_TARGETS[1], train=900),
            Case(0.01, target=_TARGETS[1], train=900, student="shallower"),
            Case(0.01, target=_TARGETS[1], train=600, student="static"),
            Case(0.01, "size", target=_TARGETS[1], train=600, student="static"),
        ),
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
    Model(
        "digits",
        "convolutions, digits",
        "accuracy",
        (Case(0.01),),
        also=(Case(0.01, train=120),),
        torch="benchmarks.models.digits:make",
    ),
    *(
        Model(
            f"{kind}-{rows}",
            f"{title}, {rows} {'row' if rows == 1 else 'rows'}",
            metric,
            (),
            environment="trees",
            output=output,
            also=(Case(bound, target=_TARGETS[1]),),
            script="trees",
            is_network=False,
        )
        for kind, title, metric, output, bound in (
            ("boosting", "gradient boosting, diamonds", "rmse", "variable", 0.005),
            ("forest", "random forest, diamonds", "accuracy", "probabilities", 0.01),
        )
        for rows in (1, 100)
    ),
)

# Too small for the table of `make bench-optimize`; what is served by those of `make bench-cold` and others.
CLS = Model("cls", "PP-OCRv4 cls", "agreement", (Case(0.01),))

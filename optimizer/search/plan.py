"""A plan: which float graph it starts from, what is done to it as a whole, and to each of its layers."""

import hashlib
from collections import Counter
from typing import Literal

import msgspec

Change = Literal["float", "attention", "gelu", "compact trees", "smooth", "smooth some"]
"""What may be done to the cleaned graph before layers are treated, in this order."""

Treatment = Literal[
    "pointwise",
    "unfolded",
    "unfolded16",
    "static",
    "dynamic",
    "nbits4",
    "nbits",
    "embedding4",
    "embedding",
    "clustered",
    "storage",
    "half",
]
WORDS: dict[Treatment, str] = {
    "pointwise": "int8 1x1",
    "unfolded": "int8 unfolded",
    "unfolded16": "int8 unfolded twice",
    "static": "static int8",
    "dynamic": "dynamic int8",
    "nbits4": "4-bit by blocks",
    "nbits": "int8 by blocks",
    "embedding4": "4-bit embeddings",
    "embedding": "int8 embeddings",
    "clustered": "16 values",
    "storage": "int8 storage",
    "half": "float16 storage",
}
TREATMENTS = tuple(WORDS)
"""In the order in which their passes are applied."""


ORIGINAL_BASE = "original"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A model as it might be served.

    ``base`` names the float graph: the original, or a ``Form`` that stands in its place. ``layers`` holds
    treatments by layer; a layer is named by the first output of its node in the cleaned graph, and what is
    not named stays float.
    """

    base: str = ORIGINAL_BASE
    graph: Literal["original", "clean"] = "clean"
    changes: tuple[Change, ...] = ()
    layers: dict[str, Treatment] = {}
    corrected: bool = False  # whether biases make up for the layers' mean errors
    trained: int = 0  # for how many seconds
    labels_weight: float = 0.0  # of labels while it is trained

    @property
    def name(self) -> str:
        """The same for equal plans, on every machine: what results are kept under."""
        if not self.layers and not self.changes:
            return self.graph if self.base == ORIGINAL_BASE else self.base
        return hashlib.sha256(msgspec.msgpack.encode(self, order="deterministic")).hexdigest()[:16]

    def by_treatment(self) -> dict[Treatment, frozenset[str]]:
        """The layers that get each treatment, in the order of the passes."""
        return {
            treatment: frozenset(name for name, chosen in self.layers.items() if chosen == treatment)
            for treatment in TREATMENTS
            if treatment in self.layers.values()
        }

    def title(self, treatable: int) -> str:
        """What a person calls it; ``treatable`` layers could be treated in all."""
        if self.graph == "original":
            return "the original, optimised by ONNX Runtime"
        if self.base != ORIGINAL_BASE:
            return f"{self.base}: {self._treatments(treatable)}"
        if not self.layers:
            return "cleaned graph" + (f", {', '.join(self.changes)}" if self.changes else " (lossless)")
        return self._treatments(treatable)

    def _treatments(self, treatable: int) -> str:
        if not self.layers:
            return ", ".join(["float", *self.changes])
        counts = Counter(self.layers.values())
        parts = [f"{WORDS[treatment]} {counts[treatment]}" for treatment in WORDS if counts[treatment]]
        left = treatable - len(self.layers)
        if left:
            parts.append(f"float {left}")
        further = {"biases corrected": self.corrected, "trained": self.trained}
        return ", ".join([*parts, *(what for what, done in further.items() if done)])


ORIGINAL, CLEAN = Plan(graph="original"), Plan()

"""Static embeddings: a vector for each token, their mean, and a small head. No token sees another one.

Model2Vec (Minish Lab, 2024): vectors from the teacher's answers to each token alone, and here from its own
table as well, reduced by PCA and weighted by how rare the token is (SIF: Arora, Liang, Ma, "A Simple but
Tough-to-Beat Baseline for Sentence Embeddings", 2017). Then, as in Tokenlearn, they learn from its answers to
whole texts. The whole vocabulary is kept: a token that no calibration text has stays where that put it.
"""

import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from torch import Tensor, nn

from bundle.manifest import TensorSpec
from optimizer.external import parse
from optimizer.passes._graph import constant
from optimizer.runtime import Array
from optimizer.train.errors import CannotTrain
from optimizer.train.students.answers import Answers
from optimizer.train.students.lessons import Lesson, Teacher

_WIDTH, _HIDDEN = 256, 256
_RARE = 1e-3  # SIF's a
_DROPPED = 0.1  # of the tokens of a text, while learning
_TOKENS_AT_ONCE = 128
_THROUGH = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten")

Floats = npt.NDArray[np.float32]


class Static(nn.Module):
    """Token ids [texts, length], and a mask of the same shape if there is one, to all outputs."""

    def __init__(self, teacher: Teacher, lessons: Sequence[Lesson], until: float) -> None:
        """``until``: a monotonic time, at which the teacher is asked for no more tokens.

        Raises:
            CannotTrain: the original is no model of token ids, or has an output that is no row of scores.
        """
        super().__init__()
        self.ids, table = _look_up(teacher.model, teacher.signature.inputs)
        self.mask = _mask(teacher.signature.inputs, self.ids)
        texts = [_tokens(lesson, self.ids, self.mask) for lesson in lessons]
        counts = Counter(token for text in texts for token in text.tolist())
        alone = _answers_alone(teacher, self.ids, texts, [token for token, _ in counts.most_common()], until)
        rows = _reduced([table, *alone.values()])
        share = np.zeros(len(rows))
        share[list(counts)] = list(counts.values())
        weights = _RARE / (_RARE + share / max(share.sum(), 1))
        vectors = torch.from_numpy(rows * weights[:, None].astype(np.float32))
        # A batch holds few of the tokens: only their rows are moved.
        self.table = nn.Embedding.from_pretrained(vectors, freeze=False, sparse=True)
        self.answers = Answers(teacher.signature.outputs, lessons, vectors.shape[1], _HIDDEN)
        means = torch.stack([vectors[torch.from_numpy(text)].mean(0) for text in texts])
        self.answers.start(means, lessons)

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """All outputs; tokens without a mask all count."""
        ids = inputs[self.ids]
        kept = (inputs[self.mask] != 0).float() if self.mask else torch.ones_like(ids, dtype=torch.float32)
        if self.training:
            kept = kept * (torch.rand_like(kept) >= _DROPPED)
        total = (self.table(ids) * kept.unsqueeze(-1)).sum(1)
        return self.answers(total / kept.sum(1, keepdim=True).clamp_min(1))


def _look_up(model: bytes, inputs: Sequence[TensorSpec]) -> tuple[str, Floats]:
    """The input that holds token ids, and the table whose rows they name: the largest one."""
    texts = {spec.name for spec in inputs if spec.dtype in ("int32", "int64") and len(spec.shape) == 2}
    found: tuple[str, Array] | None = None
    for node in parse(model).graph:
        if node.op_type != "Gather" or node.attributes.get_int("axis", 0) != 0:
            continue
        table, name = constant(node.inputs[0]), _origin(node.inputs[1])
        if table is None or table.ndim != 2 or table.dtype.kind != "f" or name not in texts:
            continue
        if found is None or len(table) > len(found[1]):
            found = name, table
    if found is None:
        raise CannotTrain(
            "static embeddings are for models that look up a row for each token id "
            "[texts, length], and this one has no such input."
        )
    return found[0], found[1].astype(np.float32)


def _origin(value: ir.Value | None) -> str | None:
    while value is not None and (node := value.producer()) is not None:
        if node.op_type not in _THROUGH:
            return None
        value = node.inputs[0]
    return None if value is None else value.name


def _mask(inputs: Sequence[TensorSpec], ids: str) -> str | None:
    """The input beside the ids that says which tokens are there, by its name."""
    shape = next(spec.shape for spec in inputs if spec.name == ids)
    named = [spec.name for spec in inputs if "mask" in spec.name.lower() and spec.name != ids]
    return next((spec.name for spec in inputs if spec.name in named and len(spec.shape) == len(shape)), None)


def _tokens(lesson: Lesson, ids: str, mask: str | None) -> npt.NDArray[np.int64]:
    """Of one text."""
    tokens = lesson.feeds[ids]
    if len(tokens) != 1:
        raise CannotTrain("a calibration sample has to be one text.")
    kept = tokens[0] if mask is None else tokens[0][lesson.feeds[mask][0] != 0]
    return kept.astype(np.int64)


def _answers_alone(
    teacher: Teacher, ids: str, texts: Sequence[npt.NDArray[np.int64]], order: Sequence[int], until: float
) -> dict[str, Floats]:
    """By output, what the teacher answers to each token between those that begin and end all texts.

    [tokens, width], as far as time allows, the commonest first; zero for the others.
    """
    outputs = [spec for spec in teacher.signature.outputs if spec.dtype.startswith("float")]
    begin = texts[0][:1] if len({int(text[0]) for text in texts}) == 1 else texts[0][:0]
    end = texts[0][-1:] if len({int(text[-1]) for text in texts}) == 1 else texts[0][:0]
    size = _TOKENS_AT_ONCE if teacher.takes_many else 1
    known = max(order) + 1
    found: dict[str, Floats] = {}
    for at in range(0, len(order), size):
        if time.monotonic() > until:
            break
        tokens = np.array(order[at : at + size])
        rows = np.stack([np.concatenate([begin, [token], end]) for token in tokens])
        feeds = {spec.name: _like(spec, rows, ids) for spec in teacher.signature.inputs}
        try:
            answers = teacher.ask(feeds)
        except Exception:  # noqa: BLE001 - onnxruntime raises many types: a text has to be longer, say
            return {}
        for spec in outputs:
            answer = answers[spec.name].reshape(len(tokens), -1).astype(np.float32)
            mean = found.setdefault(spec.name, np.zeros((known, answer.shape[1]), np.float32))
            mean[tokens] = answer
    return found


def _like(spec: TensorSpec, rows: npt.NDArray[np.int64], ids: str) -> Array:
    """The ids, ones for a mask, zeros for what else there is."""
    if spec.name == ids:
        return rows.astype(spec.dtype)
    fill = 1 if "mask" in spec.name.lower() else 0
    return np.full(rows.shape, fill, spec.dtype)


def _reduced(parts: Sequence[Floats]) -> Floats:
    """The columns of parts of equal variance, by PCA at most ``_WIDTH`` of them: [tokens, columns]."""
    count = len(parts[0])
    columns = []
    for part in parts:
        whole = np.zeros((count, part.shape[1]), np.float32)
        known = part[:count].any(axis=1)
        rows = part[:count][known]
        whole[: len(part)][known] = rows - rows.mean(0) if len(rows) else rows
        spread = np.sqrt(np.square(whole[: len(part)][known]).sum() / max(known.sum(), 1))
        columns.append(whole / max(float(spread), 1e-6))
    joined = np.concatenate(columns, axis=1)
    _, directions = np.linalg.eigh(joined.T @ joined)
    return np.ascontiguousarray(joined @ directions[:, ::-1][:, :_WIDTH]).astype(np.float32)

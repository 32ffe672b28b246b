"""A student as an ONNX graph with the original's signature, checked against torch."""

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from bundle.manifest import Signature, TensorSpec
from optimizer.runtime import Feeds, optimised_session, run
from optimizer.train.errors import CannotTrain
from optimizer.train.students.lessons import together
from optimizer.train.students.student import Student

_OPSET = 18
_TOLERANCE, _NEXT_TO_NOTHING = 1e-3, 1e-3  # of the largest answer, which is taken to be at least so large


class _Ordered(nn.Module):
    """Inputs and outputs in the order of the signature."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        found = self.student(dict(zip(self.student.inputs, inputs, strict=True)))
        return tuple(found[name] for name in self.student.outputs)


def as_onnx(student: Student, samples: Sequence[Feeds]) -> bytes:
    """The graph; the named axes of the signature stay free.

    Raises:
        CannotTrain: it cannot be exported, or the graph answers otherwise than torch.
    """
    student.eval()
    signature = student.signature
    # An axis of length 1 would be taken for one that is always so.
    tried = together([samples[0], samples[0]] if student.takes_many else [samples[0]])
    inputs = tuple(tried[name] for name in student.inputs)
    try:
        with _silence():
            program = torch.onnx.export(
                _Ordered(student).eval(),
                inputs,
                input_names=student.inputs,
                output_names=student.outputs,
                dynamic_shapes=(tuple(_free(spec) for spec in signature.inputs),),
                dynamo=True,
                opset_version=_OPSET,
                verbose=False,
            )
    except Exception as error:  # noqa: BLE001 - exporting runs the user's own code, and may raise anything
        raise CannotTrain(f"torch cannot export it ({_line(error)}).") from None
    model = _with_names(program.model_proto, signature)
    _check(student, model, samples)
    return model


def _free(spec: TensorSpec) -> dict[int, object]:
    return {at: torch.export.Dim.DYNAMIC for at, axis in enumerate(spec.shape) if isinstance(axis, str)}


def _with_names(model: onnx.ModelProto, signature: Signature) -> bytes:
    """The axes with the signature's names; nothing of where and by whom it was exported."""
    for value, spec in zip(
        [*model.graph.input, *model.graph.output], [*signature.inputs, *signature.outputs], strict=True
    ):
        del value.type.tensor_type.shape.dim[:]
        for axis in spec.shape:
            named = {"dim_param" if isinstance(axis, str) else "dim_value": axis}
            value.type.tensor_type.shape.dim.add(**named)
        value.ClearField("metadata_props")
    del model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
    del model.graph.metadata_props[:]
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@torch.no_grad()
def _check(student: Student, model: bytes, samples: Sequence[Feeds]) -> None:
    try:
        session = optimised_session(model)
        answers = [run(session, feeds, student.outputs) for feeds in samples]
    except Exception as error:  # noqa: BLE001 - onnxruntime raises many types, all of which mean this
        raise CannotTrain(f"its ONNX graph does not run on all samples ({_line(error)}).") from None
    for feeds, found in zip(samples, answers, strict=True):
        for name, tensor in student(together([feeds])).items():
            wanted = tensor.numpy().astype(np.float64)
            largest = max(np.abs(wanted).max(initial=0), _NEXT_TO_NOTHING)
            is_same = found[name].shape == wanted.shape and np.allclose(
                found[name], wanted, rtol=0, atol=_TOLERANCE * largest
            )
            if not is_same:
                raise CannotTrain(f"as an ONNX graph its output {name} is not what torch gives.")


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].rstrip(".:")[:200]


@contextmanager
def _silence() -> Iterator[None]:
    """Without the exporter's own words, which are for its developers."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)

"""The model: validated tensors in, tensors out. Knows no HTTP and no JSON."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from bundle.manifest import Manifest, TensorSpec
from handlers.inference.errors import InitError, RequestError

Array = npt.NDArray[np.generic]
_SILENT = 4
# What exporters write for an axis that varies on its own.
_UNNAMED = frozenset({"", "?"})


class Model:
    """A loaded bundle.

    Attributes:
        name: what URLs call it.
        version: what URLs call its version.
        manifest: the bundle's manifest.
        inputs: the signature's inputs by name, in its order.
        outputs: the signature's outputs by name, in its order.
    """

    def __init__(
        self, manifest: Manifest, session: onnxruntime.InferenceSession, *, name: str, version: str
    ) -> None:
        self.name = name
        self.version = version
        self.manifest = manifest
        self.inputs = {spec.name: spec for spec in manifest.signature.inputs}
        self.outputs = {spec.name: spec for spec in manifest.signature.outputs}
        self._session = session
        specs = [*self.inputs.values(), *self.outputs.values()]
        self._is_dynamic = any(is_dynamic(axis) for spec in specs for axis in spec.shape)
        # A failed run says why in its exception; ONNX Runtime's own log line would quote the client's data.
        self._run_options = onnxruntime.RunOptions()
        self._run_options.log_severity_level = _SILENT
        _compare_names("inputs", self.inputs, [node.name for node in session.get_inputs()])
        _compare_names("outputs", self.outputs, [node.name for node in session.get_outputs()])

    def infer(self, inputs: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Run the model once.

        Args:
            inputs: one array for each input; ``string`` tensors are object arrays of ``str``.
            outputs: which outputs to compute, all by default.

        Raises:
            RequestError: names, dtypes or shapes are not the signature's, or the graph cannot take them.
        """
        names = list(self.outputs) if outputs is None else list(outputs)
        for name in names:
            if name not in self.outputs:
                raise RequestError(f"the model has no output '{name}': it gives {_listed(self.outputs)}.")
        self._check(inputs)
        try:
            arrays = self._session.run(names, dict(inputs), self._run_options)
        except ort_errors.InvalidArgument as error:
            raise _unsuitable(error) from None
        except (ort_errors.Fail, ort_errors.RuntimeException) as error:
            # With every axis fixed, inputs that passed the checks must run: not the client's fault.
            if not self._is_dynamic:
                raise
            raise _unsuitable(error) from None
        return dict(zip(names, arrays, strict=True))

    def _check(self, inputs: Mapping[str, Array]) -> None:
        for name in inputs:
            if name not in self.inputs:
                raise RequestError(f"the model has no input '{name}': it takes {_listed(self.inputs)}.")
        lengths: dict[str, tuple[int, str]] = {}
        for name, spec in self.inputs.items():
            if name not in inputs:
                raise RequestError(f"input '{name}' is missing: the model takes {_listed(self.inputs)}.")
            array = inputs[name]
            if array.dtype != numpy_dtype(spec):
                raise RequestError(
                    f"input '{name}' has dtype {array.dtype}, but the model takes {spec.dtype}."
                )
            _check_shape(spec, array.shape, lengths)


def numpy_dtype(spec: TensorSpec) -> np.dtype[np.generic]:
    """The dtype of the arrays that carry a tensor; strings travel as objects."""
    return np.dtype(object) if spec.dtype == "string" else np.dtype(spec.dtype)


def is_dynamic(axis: int | str) -> bool:
    """Whether an axis of the signature varies."""
    return isinstance(axis, str) or axis < 0


def show_shape(shape: Sequence[int | str]) -> str:
    """A shape as sentences write it: ``[batch, 3, 48]``."""
    return f"[{', '.join(map(str, shape))}]"


def _check_shape(spec: TensorSpec, shape: tuple[int, ...], lengths: dict[str, tuple[int, str]]) -> None:
    """Compare with the signature; ``lengths`` remembers each named axis and the input that fixed it."""
    fits = len(shape) == len(spec.shape) and all(
        is_dynamic(axis) or axis == length for axis, length in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        raise RequestError(
            f"input '{spec.name}' has shape {show_shape(shape)}, but the model takes "
            f"{show_shape(spec.shape)}."
        )
    for axis, length in zip(spec.shape, shape, strict=True):
        if not isinstance(axis, str) or axis in _UNNAMED:
            continue
        known, owner = lengths.setdefault(axis, (length, spec.name))
        if known != length:
            raise RequestError(
                f"axis '{axis}' is {length} in input '{spec.name}' but {known} in input '{owner}': "
                "axes of one name must be equal."
            )


def _compare_names(what: str, signature: Mapping[str, TensorSpec], graph: list[str]) -> None:
    if sorted(signature) != sorted(graph):
        raise InitError(
            f"the manifest names the {what} {_listed(signature)}, but the model has {', '.join(graph)}: "
            "make the bundle anew."
        )


def _listed(names: Mapping[str, TensorSpec]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _unsuitable(error: Exception) -> RequestError:
    """The reason without ONNX Runtime's code paths: its last clause, which says what did not fit."""
    reason = str(error).partition("\n")[0].rpartition("Status Message: ")[2]
    reason = reason.rpartition(" was false. ")[2] if " was false. " in reason else reason
    reason = reason if "/onnxruntime" not in reason and len(reason) < 300 else "a node refused their values"
    return RequestError(f"the model cannot run on these inputs: {reason.rstrip('. ')}.")

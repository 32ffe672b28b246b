"""The model: validated tensors in, tensors out. Knows no HTTP and no JSON."""

from handlers.inference.errors import InitError, Late, RequestError
from handlers.inference.ort import FAIL, INVALID_ARGUMENT, RUNTIME_EXCEPTION, OrtError

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bundle.served import Manifest, TensorSpec
    from handlers.inference.ort import Buffer, Session
    from handlers.inference.tensor import Tensor

# What exporters write for an axis that varies on its own.
_UNNAMED = frozenset({"", "?"})
# rows.LEAST_ROWS, which is not imported for so few.
_FEW_ROWS = 2


class Model:
    """A loaded bundle.

    Attributes:
        name: what URLs call it.
        version: what URLs call its version.
        manifest: the bundle's manifest.
        inputs: the signature's inputs by name, in its order.
        outputs: the signature's outputs by name, in its order.
        golden: reads the bundle's golden samples, ``golden.npz``, verified. None: they are out of reach.
        keeps: whether ``kept`` is. Not where several threads ask.
        kept: inputs and outputs of the last run that was asked for, as they were handed over.
    """

    def __init__(
        self,
        manifest: "Manifest",
        session: "Session",
        *,
        name: str,
        version: str,
        file: "Callable[[str], Buffer] | None" = None,
    ) -> None:
        self.name = name
        self.version = version
        self.manifest = manifest
        self.file = file
        self.keeps = False
        self.kept: tuple[Mapping[str, Tensor], Mapping[str, Tensor]] | None = None
        self.inputs = {spec.name: spec for spec in manifest.signature.inputs}
        self.outputs = {spec.name: spec for spec in manifest.signature.outputs}
        self._session = session
        specs = [*self.inputs.values(), *self.outputs.values()]
        self._is_dynamic = any(is_dynamic(axis) for spec in specs for axis in spec.shape)
        # Whether rows may run in pieces: found out with the first request of more than one.
        self._in_pieces: bool | None = None if takes_batches(self) else False
        _compare("inputs", self.inputs, session.inputs)
        _compare("outputs", self.outputs, session.outputs)

    def infer(
        self, inputs: "Mapping[str, Tensor]", outputs: "Sequence[str] | None" = None
    ) -> "dict[str, Tensor]":
        """Run the model, on many rows piece by piece (rows.py); several threads may at once.

        Args:
            inputs: one tensor for each input.
            outputs: which outputs to compute, all by default.

        Raises:
            RequestError: names, dtypes or shapes are not the signature's, or the graph cannot take them.
            Late: the run was given up.
        """
        names = list(self.outputs if outputs is None else dict.fromkeys(outputs))
        if not names:
            raise RequestError(f"the request asks for no output: the model gives {_listed(self.outputs)}.")
        for name in names:
            if name not in self.outputs:
                raise RequestError(f"the model has no output '{name}': it gives {_listed(self.outputs)}.")
        self.check(inputs)
        answers = None
        if self._in_pieces is not False and next(iter(inputs.values())).shape[0] > _FEW_ROWS:
            answers = self._piece_by_piece(names, inputs)
        if answers is None:
            answers = self._run_once(names, inputs)
        if self.keeps:
            self.kept = inputs, answers
        return answers

    def _piece_by_piece(
        self, names: "Sequence[str]", inputs: "Mapping[str, Tensor]"
    ) -> "dict[str, Tensor] | None":
        """All rows' outputs; None where one run is better."""
        from handlers.inference import rows  # noqa: PLC0415 - no start pays for it, nor a request of few rows

        if len({tensor.shape[0] for tensor in inputs.values()}) != 1:
            return None
        sizes = rows.piece_sizes(inputs)
        if len(sizes) == 1:
            return None
        if self._in_pieces is None:
            self._in_pieces = rows.answers_rows_alone(
                self, lambda sample: self._run_once(list(self.outputs), sample)
            )
        if not self._in_pieces:
            return None
        return rows.join([self._run_once(names, part) for part in rows.split(inputs, sizes)])

    def _run_once(self, names: "Sequence[str]", inputs: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
        try:
            tensors = self._session.run(names, inputs)
        except OrtError as error:
            if self._session.is_terminated:
                raise Late from None
            # With every axis fixed, inputs that passed the checks must run: not the client's fault.
            refusals = (
                (INVALID_ARGUMENT, FAIL, RUNTIME_EXCEPTION) if self._is_dynamic else (INVALID_ARGUMENT,)
            )
            if error.code not in refusals:
                raise
            raise _unsuitable(error) from None
        return dict(zip(names, tensors, strict=True))

    def give_up(self) -> None:
        """From another thread: end the run that is under way, or the next one, and all until ``go_on``."""
        self._session.terminate()

    def go_on(self) -> None:
        """Let runs succeed again."""
        self._session.resume()

    def check(self, inputs: "Mapping[str, Tensor]") -> None:
        """Hold inputs against the signature, without a run.

        Raises:
            RequestError: names, dtypes or shapes are not the signature's.
        """
        for name in inputs:
            if name not in self.inputs:
                raise RequestError(f"the model has no input '{name}': it takes {_listed(self.inputs)}.")
        lengths: dict[str, tuple[int, str]] = {}
        for name, spec in self.inputs.items():
            tensor = inputs.get(name)
            if tensor is None:
                raise RequestError(f"input '{name}' is missing: the model takes {_listed(self.inputs)}.")
            if tensor.dtype != spec.dtype:
                raise RequestError(
                    f"input '{name}' has dtype {tensor.dtype}, but the model takes {spec.dtype}."
                )
            _check_shape(spec, tensor.shape, lengths)


def is_dynamic(axis: int | str) -> bool:
    """Whether an axis of the signature varies."""
    return isinstance(axis, str) or axis < 0


def takes_batches(model: Model) -> bool:
    """Whether the first axis of every input and output varies."""
    shapes = [spec.shape for spec in [*model.inputs.values(), *model.outputs.values()]]
    return all(shape and is_dynamic(shape[0]) for shape in shapes)


def show_shape(shape: "Sequence[int | str]") -> str:
    """A shape as sentences write it: ``[batch, 3, 48]``."""
    return f"[{', '.join(map(str, shape))}]"


def _check_shape(spec: "TensorSpec", shape: tuple[int, ...], lengths: dict[str, tuple[int, str]]) -> None:
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


def _compare(what: str, signature: "Mapping[str, TensorSpec]", graph: "Mapping[str, str]") -> None:
    """Hold the manifest's names and dtypes against the graph's."""
    if signature.keys() != graph.keys():
        raise InitError(
            f"the manifest names the {what} {_listed(signature)}, but the model has {', '.join(graph)}: "
            "make the bundle anew."
        )
    for name, spec in signature.items():
        if spec.dtype != graph[name]:
            raise InitError(
                f"the manifest says that '{name}' is {spec.dtype}, but in the model it is {graph[name]}: "
                "make the bundle anew."
            )


def _listed(names: "Mapping[str, TensorSpec]") -> str:
    return ", ".join(f"'{name}'" for name in names)


def _unsuitable(error: OrtError) -> RequestError:
    """The reason without ONNX Runtime's code paths: its last clause, which says what did not fit."""
    reason = str(error).partition("\n")[0].rpartition("Status Message: ")[2]
    reason = reason.rpartition(" was false. ")[2] if " was false. " in reason else reason
    reason = reason if "/onnxruntime" not in reason and len(reason) < 300 else "a node refused their values"
    return RequestError(f"the model cannot run on these inputs: {reason.rstrip('. ')}.")

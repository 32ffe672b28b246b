"""SavedModels: of TensorFlow Serving, of Keras' ``model.export``, of TensorFlow Hub (TF1 modules, too)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.protobuf import saved_model_pb2

from optimizer.errors import InputError
from optimizer.sources.tensorflow.loaded import Function, Loaded, from_function

_SERVING, _TF1_HUB = "serving_default", "default"
# They reach files, or Python, when the model runs.
_REACHING_OUT = {"EagerPyFunc", "MatchingFiles", "PyFunc", "PyFuncStateless", "ReadFile", "WriteFile"}


def load(title: str, folder: Path, *, trust_pickle: bool) -> Loaded:
    """Read the folder: its ``serving_default`` signature, the only one, or what calling the model does.

    Raises:
        InputError: it is damaged, has no such function, or operators that reach files.
    """
    operators = set(_operators(title, folder))
    if (found := operators & _REACHING_OUT) and not trust_pickle:
        raise InputError(
            f"{title} reads or writes files or runs Python when it runs ({', '.join(sorted(found))}): "
            "save it without, or say --trust-pickle if it is yours."
        )
    is_hub_1 = (folder / "tfhub_module.pb").exists()
    try:
        model = tf.saved_model.load(str(folder), tags=[] if is_hub_1 else None)
    except Exception as error:  # noqa: BLE001 - TensorFlow raises many types
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"TensorFlow cannot read {title} ({reason}): save it anew.") from None
    loaded = _of_signature(title, model) or _of_call(title, model)
    if loaded is None:
        held = ", ".join(sorted(model.signatures)) or "none"
        raise InputError(
            f"{title} has no signature serving_default (it has: {held}), and cannot be called: save it with "
            "one (tf.saved_model.save(model, folder, signatures=...))."
        )
    return Loaded(proto=loaded.proto, run=loaded.run, class_labels=_labels(folder / "assets"))


def _operators(title: str, folder: Path) -> Iterator[str]:
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    except DecodeError:
        raise InputError(f"{title} is not a SavedModel, or is damaged: save it anew.") from None
    for graph in saved.meta_graphs:
        yield from (node.op for node in graph.graph_def.node)
        yield from (node.op for function in graph.graph_def.library.function for node in function.node_def)


def _of_signature(title: str, model: Any) -> Loaded | None:
    known = dict(model.signatures)
    name = next((one for one in (_SERVING, _TF1_HUB) if one in known), next(iter(known), None))
    if name is None or (name not in (_SERVING, _TF1_HUB) and len(known) > 1):
        return None
    signature = known[name]
    arguments = signature.structured_input_signature[1]
    specs = [tf.TensorSpec(spec.shape, spec.dtype, key) for key, spec in sorted(arguments.items())]

    def function(*tensors: Any) -> dict[str, Any]:
        return dict(signature(**{spec.name: tensor for spec, tensor in zip(specs, tensors, strict=True)}))

    return from_function(title, function, specs)


def _of_call(title: str, model: Any) -> Loaded | None:
    """What a module of TensorFlow Hub does where it has no signature; not as it is while it is trained."""
    traced = getattr(model.__call__, "concrete_functions", ()) if callable(model) else ()
    for concrete in traced:
        positional, named = concrete.structured_input_signature
        arguments = tf.nest.flatten(positional)
        specs = [one for one in arguments if isinstance(one, tf.TensorSpec)]
        if specs and not any(one is True for one in (*arguments, *named.values())):
            return from_function(title, _calling(model, positional, named), specs)
    return None


def _calling(model: Any, positional: Any, named: dict[str, Any]) -> Function:
    """A call with tensors where ``positional`` has specs of them, and the other arguments as they are."""

    def function(*tensors: Any) -> dict[str, Any]:
        left = iter(tensors)
        arguments = [
            next(left) if isinstance(one, tf.TensorSpec) else one for one in tf.nest.flatten(positional)
        ]
        return _named(model(*tf.nest.pack_sequence_as(positional, arguments), **named))

    return function


def _named(answers: Any) -> dict[str, Any]:
    if isinstance(answers, dict):
        return dict(answers)
    flat = tf.nest.flatten(answers)
    return {"output": flat[0]} if len(flat) == 1 else {f"output_{i}": one for i, one in enumerate(flat)}


def _labels(assets: Path) -> list[str]:
    """Lines of the asset that is called so."""
    for file in sorted(assets.glob("*label*.txt")):
        return file.read_text(encoding="utf-8").splitlines()
    return []

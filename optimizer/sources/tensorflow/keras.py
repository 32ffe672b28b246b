"""Keras files, of Keras 3 and of tf_keras, read without running code in them; TFMOT's wrappers go."""

import importlib
import json
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import tensorflow as tf

from optimizer.errors import InputError
from optimizer.sources.base import need
from optimizer.sources.tensorflow.loaded import Loaded, from_function

_PRUNED, _CLUSTERED = "PruneLowMagnitude", "ClusterWeights"
_QUANTISED = {"QuantizeLayer", "QuantizeWrapper", "QuantizeWrapperV2"}
_CODE = {"Lambda", "__lambda__"}
_FROM_TFMOT = {_PRUNED, _CLUSTERED, *_QUANTISED}


def load(title: str, path: Path, *, trust_pickle: bool) -> Loaded:
    """Read a ``.keras`` or ``.h5`` file.

    What TFMOT put around layers to prune or cluster them goes; its fake quantisation stays in the graph.

    Raises:
        InputError: it is damaged, holds weights only, code that is not trusted, or layers that nobody knows.
    """
    version, config = _read(title, path)
    classes = set(_classes(config))
    if classes & _CODE and not trust_pickle:
        raise InputError(
            f"{title} has a Lambda layer or function, which is code that runs when the file is read: "
            "replace it by a layer, export the model as a SavedModel (model.export), or say --trust-pickle "
            "if it is yours."
        )
    is_keras_3 = not version.startswith(("1.", "2."))
    if not is_keras_3:
        need(("tf_keras",), "tensorflow", f"{title}, which Keras {version} wrote,")
    if classes & _QUANTISED and path.suffix == ".keras":
        raise InputError(
            f"{title} has TFMOT's fake quantisation, whose variables a .keras file keeps twice and "
            "does not give back: save it as .h5, or as a SavedModel."
        )
    if classes & _FROM_TFMOT:
        need(("tensorflow_model_optimization",), "tensorflow", f"{title}, which TFMOT made,")
    keras = importlib.import_module("keras" if is_keras_3 else "tf_keras")
    model = _load(title, keras, path, classes, trust_pickle=trust_pickle)
    return _converted(title, model, f"{keras.__name__.replace('_', '-')}")


def _read(title: str, path: Path) -> tuple[str, Any]:
    """Which Keras wrote it, and its layers."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                return json.loads(file.read("metadata.json"))["keras_version"], json.loads(
                    file.read("config.json")
                )
        with h5py.File(path) as file:
            config, version = file.attrs.get("model_config"), file.attrs.get("keras_version", "2.")
    except (OSError, KeyError, ValueError):
        raise InputError(f"{title} is not a Keras file, or is damaged: save it anew.") from None
    if config is None:
        raise InputError(f"{title} holds weights without their layers: save the whole model (model.save).")
    return str(version), json.loads(config)


def _classes(config: Any) -> Iterator[str]:
    """The classes of all layers, and of all that these hold."""
    if isinstance(config, dict):
        name = config.get("class_name")
        if isinstance(name, str):
            yield name.rpartition(">")[2]
    children = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    for child in children:
        yield from _classes(child)


def _load(title: str, keras: Any, path: Path, classes: set[str], *, trust_pickle: bool) -> Any:
    with ExitStack() as scopes:
        tfmot: Any = None
        if classes & _FROM_TFMOT:
            tfmot = importlib.import_module("tensorflow_model_optimization")
            scopes.enter_context(tfmot.sparsity.keras.prune_scope())
            scopes.enter_context(tfmot.clustering.keras.cluster_scope())
            scopes.enter_context(tfmot.quantization.keras.quantize_scope())
        try:
            model = keras.models.load_model(path, compile=False, safe_mode=not trust_pickle)
            if _PRUNED in classes:
                model = tfmot.sparsity.keras.strip_pruning(model)
            if _CLUSTERED in classes:
                model = tfmot.clustering.keras.strip_clustering(model)
        except Exception as error:  # noqa: BLE001 - Keras raises many types, and its sentences are long
            reason = " ".join(str(error).split())[:300]
            raise InputError(
                f"Keras cannot read {title} ({reason}): if it has layers of your own, export it as a "
                "SavedModel (model.export) where they are known."
            ) from None
    return model


def _converted(title: str, model: Any, framework: str) -> Loaded:
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise InputError(
            f"{title} does not know the shapes of its inputs: export it as a SavedModel (model.export)."
        )
    names = _names(outputs)

    def function(*tensors: Any) -> dict[str, Any]:
        answers = model(tensors[0] if len(tensors) == 1 else list(tensors), training=False)
        return dict(zip(names, tf.nest.flatten(answers), strict=True))

    specs = [
        tf.TensorSpec(tensor.shape, tensor.dtype, name)
        for tensor, name in zip(inputs, _names(inputs), strict=True)
    ]
    loaded = from_function(title, function, specs)
    return Loaded(proto=loaded.proto, run=loaded.run, framework=framework)


def _names(tensors: Any) -> list[str]:
    """Of the layers that give them; a second output of a layer gets a number."""
    names: list[str] = []
    for tensor in tensors:
        history = tensor._keras_history  # both Keras have it, and neither has another way
        name = getattr(history, "operation", None) or history.layer
        names.append(name.name if name.name not in names else f"{name.name}_{len(names)}")
    return names

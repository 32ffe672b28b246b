"""TFMOT's tutorial convolution in the forms that TFMOT makes of it, as Keras and as TFLite files.

The layers, the schedules and the order are those of its tutorials on pruning, clustering, quantisation-aware
training and PCQAT (https://www.tensorflow.org/model_optimization). They train on 54,000 digits for 4 epochs
and tune for 1 or 2; with 3,100 digits it takes more epochs.

Usage: python -m examples.tensorflow.mnist FOLDER
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

from examples.tensorflow.data import Floats, Labels, digits, moved, write

EPOCHS, TUNING_EPOCHS = 30, 15
_BATCH, _CLUSTERS = 32, 16


def main(folder: Path, epochs: int = EPOCHS, tuning_epochs: int = TUNING_EPOCHS) -> None:
    """Write ``<form>.h5`` (of PCQAT a SavedModel), ``.tflite`` in float32 and int8, and the data.

    ``train.npz`` is what they are trained on, ``moved.npz`` the same and each picture a pixel aside: for what
    `optimize` trains, without labels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    write(folder, "image")
    sets = digits(folder)
    forms = train(*sets["train"], epochs, tuning_epochs)
    for name, model in forms.items():
        if name == "pcqat":  # Keras does not read from a file what TFMOT adds to these layers
            model.export(folder / name)
        else:
            model.save(folder / f"{name}.h5")
        is_aware = name in ("aware", "pcqat")
        if not is_aware:
            (folder / f"{name}.tflite").write_bytes(tflite(model))
        int8 = tflite(model, calibration=None if is_aware else sets["calibration"][0], is_int8=True)
        (folder / f"{name}-int8.tflite").write_bytes(int8)
    images, _ = sets["train"]
    np.savez(folder / "train.npz", allow_pickle=False, image=images)
    np.savez(folder / "moved.npz", allow_pickle=False, image=moved(images))


def train(images: Floats, labels: Labels, epochs: int, tuning_epochs: int) -> dict[str, Any]:
    """The forms by name, without what TFMOT puts around layers while it trains."""
    fit = Fit(images, labels, tuning_epochs)
    plain = convolution()
    fit(plain, 1e-3, epochs=epochs)
    pruned = _pruned(plain, fit)
    clustered = _clustered(plain, fit)
    aware = tfmot.quantization.keras.quantize_model(_copy(plain))
    fit(aware, 1e-4)
    return {
        "plain": plain,
        "pruned": pruned,
        "clustered": clustered,
        "aware": aware,
        "pcqat": _pcqat(pruned, fit),
    }


class Fit:
    """Training as the tutorials do it: Adam on the cross-entropy of logits."""

    def __init__(self, images: Floats, labels: Labels, epochs: int) -> None:
        self._data = (images, labels)
        self._epochs = epochs

    @property
    def steps(self) -> int:
        """Of one tuning."""
        return -(-len(self._data[0]) // _BATCH) * self._epochs

    def __call__(self, model: Any, rate: float, epochs: int | None = None, callbacks: Any = ()) -> None:
        """Train ``model`` at this learning rate."""
        model.compile(
            keras.optimizers.legacy.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        model.fit(*self._data, _BATCH, epochs=epochs or self._epochs, verbose=0, callbacks=list(callbacks))


def convolution() -> Any:
    """The tutorial's layers: 20,410 parameters."""
    return keras.Sequential([
        keras.layers.InputLayer(input_shape=(28, 28), name="image"),
        keras.layers.Reshape((28, 28, 1)),
        keras.layers.Conv2D(12, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(10, name="digit"),
    ])  # fmt: skip


def _copy(model: Any) -> Any:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def _pruned(model: Any, fit: Fit) -> Any:
    sparsity = tfmot.sparsity.keras
    schedule = sparsity.PolynomialDecay(0.5, 0.8, 0, fit.steps)
    wrapped = sparsity.prune_low_magnitude(_copy(model), pruning_schedule=schedule)
    fit(wrapped, 1e-3, callbacks=[sparsity.UpdatePruningStep()])
    return sparsity.strip_pruning(wrapped)


def _clustered(model: Any, fit: Fit, *, preserve_sparsity: bool = False) -> Any:
    start = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS
    wrapped = cluster.cluster_weights(_copy(model), _CLUSTERS, start, preserve_sparsity=preserve_sparsity)
    fit(wrapped, 1e-4)
    return tfmot.clustering.keras.strip_clustering(wrapped)


def _pcqat(pruned: Any, fit: Fit) -> Any:
    """Pruned, clustered with its zeros kept, then aware of int8 with both kept."""
    both = _clustered(pruned, fit, preserve_sparsity=True)
    annotated = tfmot.quantization.keras.quantize_annotate_model(both)
    scheme = tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=True)
    aware = tfmot.quantization.keras.quantize_apply(annotated, scheme)
    fit(aware, 1e-4)
    return aware


def tflite(model: Any, calibration: Floats | None = None, *, is_int8: bool = False) -> bytes:
    """As TFLite: float32, or int8 with ranges of ``calibration`` where the model has none of its own."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if is_int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if calibration is not None:
        converter.representative_dataset = lambda: ([image[None]] for image in calibration)
    return bytes(converter.convert())


if __name__ == "__main__":
    main(Path(sys.argv[1]))

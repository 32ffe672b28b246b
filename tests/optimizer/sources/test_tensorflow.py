"""Models that TensorFlow, Keras and TFMOT wrote here, converted, and their answers compared."""

import hashlib
import importlib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from optimizer.errors import InputError
from optimizer.model import load_model
from optimizer.passes import RemoveRounding
from optimizer.sources.base import Asked
from optimizer.sources.tensorflow import hub, source
from optimizer.sources.tensorflow.request import Request

needs_tensorflow = pytest.mark.skipif(
    find_spec("tensorflow") is None or find_spec("tf2onnx") is None, reason="make setup-sources"
)
slow = [needs_tensorflow, pytest.mark.slow]
IMAGES = np.random.default_rng(0).random((40, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def tf():
    """Imported by the tests that need it only: it takes seconds, as do the others."""
    return importlib.import_module("tensorflow")


@pytest.fixture(scope="module")
def keras():
    return importlib.import_module("keras")


@pytest.fixture(scope="module")
def keras_2():
    return importlib.import_module("tf_keras")


@pytest.fixture(scope="module")
def tfmot():
    return importlib.import_module("tensorflow_model_optimization")


@pytest.fixture
def convert(tmp_path):
    """The ONNX file of a model, or the sentence, in this process: TensorFlow takes seconds to start."""
    process = pytest.importorskip("optimizer.sources.tensorflow.process")

    def converted(kind, model, trust_pickle=False, **samples):
        np.savez(tmp_path / "calibration.npz", **samples)
        (tmp_path / "out.onnx").unlink(missing_ok=True)
        answer = process.convert(
            Request(
                kind=kind,
                model=str(model),
                title=Path(model).name,
                target=str(tmp_path / "out.onnx"),
                calibration=str(tmp_path / "calibration.npz"),
                trust_pickle=trust_pickle,
            )
        )
        assert bool(answer.error) != (tmp_path / "out.onnx").exists()
        return answer.error or tmp_path / "out.onnx"

    return converted


def signature(path):
    assert isinstance(path, Path), path
    got = load_model(path).signature
    return [{spec.name: tuple(spec.shape) for spec in specs} for specs in (got.inputs, got.outputs)]


def answers(path, **feeds):
    return ort.InferenceSession(path).run(None, feeds)


def cnn(keras):
    keras.utils.set_random_seed(0)
    return keras.Sequential([
        keras.layers.InputLayer(input_shape=(8, 8), name="image"),
        keras.layers.Reshape((8, 8, 1)),
        keras.layers.Conv2D(6, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(10, name="classes"),
    ])  # fmt: skip


def fitted(keras, model, callbacks=()):
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(IMAGES, np.arange(len(IMAGES)) % 10, verbose=0, callbacks=list(callbacks))
    return model


class TestSaved:
    pytestmark = slow

    def test_a_keras_3_model_of_two_inputs_keeps_names_and_preprocessing(self, tmp_path, convert, keras):
        image, age = keras.Input((8, 8, 3), name="image", dtype="uint8"), keras.Input((1,), name="age")
        scaled = keras.layers.Rescaling(1 / 127.5, offset=-1)(image)
        features = keras.layers.Concatenate()([
            keras.layers.Flatten()(scaled), keras.layers.Normalization(mean=40.0, variance=90.0)(age)
        ])  # fmt: skip
        outputs = [keras.layers.Dense(n, name=name)(features) for n, name in ((2, "risk"), (3, "kind"))]
        model = keras.Model([image, age], outputs)
        model.save(tmp_path / "two.keras")
        rng = np.random.default_rng(1)
        images = rng.integers(0, 255, (5, 8, 8, 3), np.uint8)
        ages = rng.uniform(20, 60, (5, 1)).astype(np.float32)
        path = convert("keras", tmp_path / "two.keras", image=images, age=ages)
        assert signature(path) == [
            {"image": ("batch", 8, 8, 3), "age": ("batch", 1)}, {"risk": ("batch", 2), "kind": ("batch", 3)}
        ]  # fmt: skip
        for own, other in zip(
            answers(path, image=images, age=ages), model.predict([images, ages]), strict=True
        ):
            np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-4)

    def test_what_pruning_and_clustering_put_around_layers_goes(self, tmp_path, convert, tfmot, keras_2):
        sparsity, clustering = tfmot.sparsity.keras, tfmot.clustering.keras
        schedule = sparsity.PolynomialDecay(0.5, 0.8, 0, 2, frequency=1)
        pruned = sparsity.prune_low_magnitude(cnn(keras_2), pruning_schedule=schedule)
        fitted(keras_2, pruned, [sparsity.UpdatePruningStep()])
        clustered = clustering.cluster_weights(
            cnn(keras_2), 4, clustering.CentroidInitialization.KMEANS_PLUS_PLUS
        )
        fitted(keras_2, clustered)
        for model, name, is_as_made in (
            (pruned, "pruned.h5", lambda kernel: np.isclose((kernel == 0).mean(), 0.8, atol=0.02)),
            (clustered, "clustered.h5", lambda kernel: np.unique(kernel).size <= 4),
        ):
            model.save(tmp_path / name)
            path = convert("keras", tmp_path / name, image=IMAGES)
            assert signature(path) == [{"image": ("batch", 8, 8)}, {"classes": ("batch", 10)}]
            np.testing.assert_allclose(
                answers(path, image=IMAGES)[0], model.predict(IMAGES, verbose=0), rtol=1e-3, atol=1e-4
            )
            arrays = [onnx.numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer]
            (kernel,) = (array for array in arrays if array.ndim == 2)
            assert is_as_made(kernel)

    def test_fake_quantisation_stays_and_can_be_taken_out(self, tmp_path, convert, apply, tfmot, keras_2):
        model = fitted(keras_2, tfmot.quantization.keras.quantize_model(cnn(keras_2)))
        model.save(tmp_path / "aware.h5")
        path = convert("keras", tmp_path / "aware.h5", image=IMAGES)
        differences = np.abs(answers(path, image=IMAGES)[0] - model.predict(IMAGES, verbose=0))
        assert (differences < 1e-4).mean() > 0.8  # the others are a step away, as sums at the edge of one are
        after = apply(RemoveRounding(), onnx.load(path))
        assert "QuantizeLinear" not in after.operators
        model.save(tmp_path / "aware.keras")
        assert ".keras file keeps twice" in convert("keras", tmp_path / "aware.keras", image=IMAGES)

    def test_int8_tflite_answers_to_the_bit_and_knows_its_labels(self, tmp_path, convert, tf, tfmot, keras_2):
        model = fitted(keras_2, tfmot.quantization.keras.quantize_model(cnn(keras_2)))
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        file = tmp_path / "int8.tflite"
        file.write_bytes(converter.convert())
        path = convert("tflite", file, image=IMAGES)
        assert signature(path)[0] == {"image": ("batch", 8, 8)}
        interpreter = tf.lite.Interpreter(str(file))
        runner = interpreter.get_signature_runner()
        (expected,) = runner(image=IMAGES[:1]).values()
        np.testing.assert_array_equal(answers(path, image=IMAGES[:1])[0], expected)
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr("labels.txt", "\n".join(f"digit {n}" for n in range(10)))
        converted = source.convert(asked(file, tmp_path))
        assert converted.class_labels == tuple(f"digit {n}" for n in range(10))
        assert (converted.origin.framework, converted.origin.file) == ("tflite", "int8.tflite")

    def test_the_serving_tutorials_saved_model(self, tmp_path, tf):
        for version in (9, 123):
            save_half_plus(tf, tmp_path / "half_plus_two" / str(version), 2.0 if version == 123 else 1.0)
        np.savez(tmp_path / "calibration.npz", x=np.array([[1.0], [5.0]], np.float32))
        converted = source.convert(asked(tmp_path / "half_plus_two", tmp_path))
        assert converted.path.name == "half_plus_two.onnx"
        assert signature(converted.path) == [{"x": ("batch",)}, {"y": ("batch",)}]
        assert "StatefulPartitionedCall" not in str(onnx.load(converted.path).graph)
        np.testing.assert_allclose(
            answers(converted.path, x=np.array([1.0, 2.0, 5.0], np.float32))[0], [2.5, 3.0, 4.5]
        )

    def test_a_hub_module_by_its_handle(self, tmp_path, monkeypatch, tf):
        class Embedding(tf.Module):
            def __init__(self):
                self.table = tf.Variable(tf.random.stateless_uniform((50, 8), (1, 2)))

            @tf.function
            def __call__(self, tokens, training=True):
                return tf.reduce_mean(tf.gather(self.table, tokens), 1) * (0.0 if training else 1.0)

        handle, module = "https://tfhub.dev/someone/mean-dim8/1", Embedding()
        for training in (True, False):
            module.__call__.get_concrete_function(tf.TensorSpec((None, 6), tf.int32, "tokens"), training)
        tf.saved_model.save(module, str(tmp_path / "hub" / hashlib.sha1(handle.encode()).hexdigest()))
        monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub"))
        tokens = np.arange(24, dtype=np.int32).reshape(4, 6)
        np.savez(tmp_path / "calibration.npz", tokens=tokens)
        converted = source.convert(asked(handle, tmp_path))
        assert signature(converted.path) == [{"tokens": ("batch", 6)}, {"output": ("batch", 8)}]
        np.testing.assert_allclose(
            answers(converted.path, tokens=tokens)[0], module(tokens, False), rtol=1e-5
        )
        assert converted.origin.file == handle

    def test_strings_are_refused(self, tmp_path, convert, tf):
        model = tf.Module()
        spec = [tf.TensorSpec((None,), tf.string, "text")]
        model.f = tf.function(lambda text: {"n": tf.strings.length(text)}, input_signature=spec)
        tf.saved_model.save(model, str(tmp_path / "m"), signatures={"serving_default": model.f})
        assert "takes strings ('text')" in convert("saved_model", tmp_path / "m", text=np.array(["a"]))

    def test_what_reaches_files_is_refused(self, tmp_path, convert, tf):
        model = tf.Module()
        spec = [tf.TensorSpec((), tf.float32, "x")]
        model.f = tf.function(
            lambda x: {"y": x + tf.cast(tf.strings.length(tf.io.read_file("/etc/passwd")), tf.float32)},
            input_signature=spec,
        )
        tf.saved_model.save(model, str(tmp_path / "m"), signatures={"serving_default": model.f})
        assert "reads or writes files" in convert("saved_model", tmp_path / "m", x=np.zeros(2, np.float32))

    def test_an_operator_that_onnx_lacks_is_named(self, tmp_path, convert, tf):
        model = tf.Module()
        spec = [tf.TensorSpec((None, 3), tf.float32, "x")]
        model.f = tf.function(lambda x: {"y": tf.math.igamma(x, x)}, input_signature=spec)
        tf.saved_model.save(model, str(tmp_path / "m"), signatures={"serving_default": model.f})
        assert "operators that ONNX lacks (Igamma)" in convert(
            "saved_model", tmp_path / "m", x=np.ones((2, 3), np.float32)
        )

    @pytest.mark.parametrize("suffix", ["keras", "h5"])
    def test_code_in_a_keras_file_runs_only_if_it_is_trusted(self, tmp_path, convert, suffix, keras):
        file = tmp_path / f"lambda.{suffix}"
        layers = [keras.Input((4,), name="x"), keras.layers.Lambda(lambda x: x * 2, name="twice")]
        keras.Sequential(layers).save(file)
        x = np.ones((2, 4), np.float32)
        assert "--trust-pickle" in convert("keras", file, x=x)
        assert answers(convert("keras", file, trust_pickle=True, x=x), x=x)[0].tolist() == [[2.0] * 4] * 2

    @pytest.mark.parametrize("kind", ["keras", "tflite", "saved_model"])
    def test_damaged_files(self, tmp_path, convert, kind):
        (tmp_path / "saved_model.pb").write_bytes(b"\x0a\xff" * 40)
        model = tmp_path if kind == "saved_model" else tmp_path / "saved_model.pb"
        assert "is damaged" in convert(kind, model, x=np.zeros(2, np.float32))

    def test_weights_alone(self, tmp_path, convert, keras):
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(tmp_path / "m.weights.h5")
        assert "weights without their layers" in convert(
            "keras", tmp_path / "m.weights.h5", x=np.zeros((2, 4), np.float32)
        )


def save_half_plus(tf, folder, addend):
    model = tf.Module()
    model.a, model.b = tf.Variable(0.5), tf.Variable(addend)
    spec = [tf.TensorSpec((None,), tf.float32, "x")]
    model.f = tf.function(lambda x: {"y": model.a * x + model.b}, input_signature=spec)
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.f})


def asked(model, folder):
    return Asked(text=str(model), folder=folder / "originals", calibration=str(folder / "calibration.npz"))


@pytest.mark.parametrize(
    ("handle", "name"),
    [
        ("https://tfhub.dev/google/nnlm-en-dim50/2", "nnlm-en-dim50"),
        ("https://www.kaggle.com/models/google/nnlm/TensorFlow2/en-dim50/1", "nnlm-en-dim50"),
    ],
)
def test_a_handle_that_is_not_here_says_what_goes_where(monkeypatch, tmp_path, handle, name):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    assert hub.name_of(handle) == name
    with pytest.raises(InputError, match="is not on this machine, and nothing is fetched") as raised:
        source.convert(asked(handle, tmp_path))
    place = str(raised.value).partition("unpack it into ")[2].partition(", and say")[0]
    Path(place).mkdir(parents=True)
    assert hub.folder_of(handle) == Path(place)


def test_what_is_tensorflows(tmp_path):
    (tmp_path / "serving" / "7").mkdir(parents=True)
    (tmp_path / "serving" / "7" / "saved_model.pb").touch()
    for model, is_mine in (("m.keras", True), ("m.h5", True), ("m.tflite", True), ("m.onnx", False)):
        assert source.is_mine(asked(model, tmp_path)) == is_mine
    assert source.is_mine(asked(tmp_path / "serving", tmp_path))
    assert not source.is_mine(asked(tmp_path, tmp_path))


def test_without_tensorflow(monkeypatch, tmp_path):
    (tmp_path / "m.keras").touch()
    monkeypatch.setattr("optimizer.sources.base.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'coldpress\[tensorflow\]', or make setup-sources"):
        source.convert(asked(tmp_path / "m.keras", tmp_path))

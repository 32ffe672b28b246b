"""SavedModels as TensorFlow Serving and TensorFlow Hub have them.

- ``half_plus_two/123``: the model of TensorFlow Serving's tutorial, x / 2 + 2.
- ``digits/1``: a Keras model that gives probabilities, exported for serving.
- a module like the text embeddings on TensorFlow Hub, from word numbers to an embedding, in a cache of
  ``tensorflow_hub``: trained on docstrings of Python's standard library, to tell modules apart.

Each with ``calibration.npz`` and ``evaluation.npz``.

Usage: python -m examples.tensorflow.serving FOLDER
"""

import ast
import hashlib
import re
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from examples.tensorflow.data import digits, write

HANDLE = "https://tfhub.dev/coldpress/docstrings-dim64/1"
WORDS, VOCABULARY, DIMENSIONS = 24, 8000, 64
_MODULES = ("argparse", "asyncio", "collections", "email", "http", "logging", "tkinter", "unittest", "xml")
_BATCH = 64


def main(folder: Path, epochs: int = 12) -> None:
    """Write all three."""
    keras.utils.set_random_seed(0)
    half_plus_two(folder / "half_plus_two")
    classifier(folder / "digits", epochs)
    embedding(folder, epochs)


def half_plus_two(folder: Path) -> None:
    """The tutorial's, as its script writes it with variables, for numbers [batch]."""
    model = tf.Module()
    model.a, model.b = tf.Variable(0.5), tf.Variable(2.0)
    spec = [tf.TensorSpec((None,), tf.float32, "x")]
    model.predict = tf.function(lambda x: {"y": model.a * x + model.b}, input_signature=spec)
    tf.saved_model.save(model, str(folder / "123"), signatures={"serving_default": model.predict})
    for name, seed in (("calibration", 0), ("evaluation", 1)):
        x = np.random.default_rng(seed).uniform(-10, 10, (100, 1)).astype(np.float32)
        np.savez(folder / f"{name}.npz", x=x)


def classifier(folder: Path, epochs: int) -> None:
    """Pictures [batch, 28, 28, 1] to probabilities; what brings them to -1 to 1 is in the model."""
    folder.mkdir(parents=True, exist_ok=True)
    model = keras.Sequential([
        keras.Input((28, 28, 1), name="image"),
        keras.layers.Rescaling(2.0, offset=-1.0),
        *(keras.layers.Conv2D(16, 3, activation="relu", padding="same"), keras.layers.BatchNormalization()),
        keras.layers.MaxPooling2D(),
        *(keras.layers.Conv2D(32, 3, activation="relu", padding="same"), keras.layers.BatchNormalization()),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    images, labels = digits(folder)["train"]
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images[..., None], labels, _BATCH, epochs, verbose=0)
    model.export(str(folder / "1"), verbose=False)
    write(folder, "image", shape=(28, 28, 1))


def embedding(folder: Path, epochs: int) -> None:
    """A deep averaging network, trained under a layer that names the module a paragraph is from."""
    numbers, modules = _paragraphs()
    text = keras.Input((WORDS,), dtype="int32", name="words")
    vectors = keras.layers.Embedding(VOCABULARY, DIMENSIONS, mask_zero=True)(text)
    mean = keras.layers.GlobalAveragePooling1D()(vectors)
    hidden = keras.layers.Dense(512, activation="relu")(mean)
    meaning = keras.layers.Dense(DIMENSIONS)(keras.layers.Dense(512, activation="relu")(hidden))
    named = keras.layers.Dense(len(_MODULES), activation="softmax")(meaning)
    model = keras.Model(text, named)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(numbers[200:], modules[200:], _BATCH, epochs, verbose=0)

    module = keras.Model(text, meaning)
    cache = folder / "hub" / hashlib.sha1(HANDLE.encode(), usedforsecurity=False).hexdigest()
    module.export(str(cache), verbose=False)
    name = module.inputs[0].name
    np.savez(folder / "hub" / "calibration.npz", **{name: numbers[200:300]})
    np.savez(folder / "hub" / "evaluation.npz", **{name: numbers[:200]})


def _paragraphs() -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Numbers of words [paragraphs, WORDS], padded by 0; and which module each paragraph is from."""
    texts, modules = [], []
    for number, module in enumerate(_MODULES):
        for path in sorted(Path(sysconfig.get_path("stdlib")).glob(f"{module}*/**/*.py")) or [
            Path(sysconfig.get_path("stdlib")) / f"{module}.py"
        ]:
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                    for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                        if len(words := re.findall(r"[a-z]+", paragraph.lower())) > 4:
                            texts.append(words)
                            modules.append(number)
    common = Counter(word for words in texts for word in words).most_common(VOCABULARY - 1)
    known = {word: index for index, (word, _) in enumerate(common, 1)}
    numbers = np.zeros((len(texts), WORDS), np.int32)
    for row, words in zip(numbers, texts, strict=True):
        kept = [known[word] for word in words[:WORDS] if word in known]
        row[: len(kept)] = kept
    order = np.random.default_rng(0).permutation(len(texts))
    return numbers[order], np.array(modules)[order]


if __name__ == "__main__":
    main(Path(sys.argv[1]))

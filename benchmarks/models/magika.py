"""Google's Magika: what type of file some bytes are, of 214 types; a text classifier, 3.2 MB, opset 15.

From the package magika. Data: files of many kinds that are installed with the project. Metric: the share of
files of which the best type is the original model's. A file is right or wrong, so it takes many to tell 1 %.

Usage: python -m benchmarks.models.magika FOLDER
"""

import hashlib
import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.samples import Array, write_sets
from scripts.from_wheel import take

ROOT = Path(__file__).parents[2]
_ENDS, _BLOCK, _PADDING = 1024, 4096, 256
_OF_ONE_KIND = 240  # or most would be Python


def main(folder: Path) -> None:
    """Write the model and the sets."""
    take("magika", "magika/models/standard_v3_3/model.onnx", folder / "model.onnx")
    write_sets(folder, _files(), {"calibration": 64, "evaluation": 1600, "report": 500})


def _files() -> Iterator[dict[str, Array]]:
    """Different contents only, so many of each suffix, in an order by chance."""
    kinds: dict[str, list[Path]] = defaultdict(list)
    for folder in (".venv/lib", "node_modules", "docs", "emulator", "infra", "scripts"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and not path.is_symlink() and path.suffix != ".pyc":
                kinds[path.suffix].append(path)
    dice = random.Random(13)
    chosen = [path for paths in kinds.values() for path in dice.sample(paths, min(_OF_ONE_KIND, len(paths)))]
    dice.shuffle(chosen)
    seen = set()
    for path in chosen:
        content = path.read_bytes()
        ends = _ends(content)
        name = hashlib.sha256(ends.tobytes()).digest()
        if len(content) >= 16 and name not in seen:
            seen.add(name)
            yield {"bytes": ends}


def _ends(content: bytes) -> Array:
    """int32 [1, 2048] as Magika cuts it: first and last bytes without white space, padded with 256."""
    first = content[:_BLOCK].lstrip()[:_ENDS]
    last = content[-_BLOCK:].rstrip()[-_ENDS:]
    cut = np.full((1, 2 * _ENDS), _PADDING, np.int32)
    cut[0, : len(first)] = np.frombuffer(first, np.uint8)
    cut[0, cut.size - len(last) :] = np.frombuffer(last, np.uint8)
    return cut


if __name__ == "__main__":
    main(Path(sys.argv[1]))

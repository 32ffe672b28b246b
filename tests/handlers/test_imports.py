"""What a cold start does not pay for: the modules that no ordinary request imports."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
# Each costs a cold start between 2 ms (dataclasses) and 290 ms (boto3) of CPU time.
FORBIDDEN = [
    *(
        "array",
        "asyncio",
        "base64",
        "boto3",
        "collections",
        "dataclasses",
        "email",
        "enum",
        "http",
        "inspect",
        "json",
        "logging",
    ),
    *("msgspec", "numpy", "onnxruntime", "pathlib", "re", "socket", "tempfile", "typing", "urllib", "zlib"),
]
SCRIPT = """
import sys
sys.path[:0] = {paths!r}
from bundle.served import read_manifest
from handlers.inference.dataplane import Model
from handlers.inference.messages import Request
from handlers.inference.service import Service
from handlers.inference.session import open_session
with open({folder!r} + "/manifest.json", "rb") as file:
    manifest = read_manifest(file.read())
session = open_session({folder!r} + "/" + manifest.serve, 1)
service = Service(Model(manifest, session, name="toy", version="1"))
for path, headers, body in {requests!r}:
    response = service.answer(Request("POST", path, headers=headers, body=body))
    assert response.status == 200, response.body
    print(response.body)
print(*sorted(sys.modules), sep=chr(10), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def modules(affine_bundle):
    """The modules of a process that answered one request of JSON and one of binary tensors."""
    blob = np.float32([1, 2, 3]).tobytes()
    x = {"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": len(blob)}}
    header = json.dumps({"inputs": [x], "parameters": {"binary_data_output": True}}).encode()
    requests = [
        ("/v1/models/toy:predict", {"content-type": "application/json"}, b'{"instances": [[1, 2.5, 3]]}'),
        ("/v2/models/toy/infer", {"inference-header-content-length": str(len(header))}, header + blob),
    ]
    paths = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    script = SCRIPT.format(paths=paths, folder=str(affine_bundle), requests=requests)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"predictions":[[3.0,6.0,7.0]]' in done.stdout
    return done.stderr.split()


def test_answers_import_nothing_that_slows_a_cold_start(modules):
    assert "handlers.inference.protocols.oip" in modules
    assert not set(FORBIDDEN).intersection(modules)


def test_answers_do_not_import_what_takes_uploads(modules):
    assert "handlers.inference.uploads" not in modules


def test_nothing_of_what_follows_answers_is_imported_without_any(affine_bundle):
    script = f"""
import sys
sys.path[:0] = {[str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]!r}
from handlers.inference.function import Function
event = {{"version": "2.0", "rawPath": "/v1/models/toy:predict", "body": '{{"instances": [[1, 2, 3]]}}'}}
event["requestContext"] = {{"http": {{"method": "POST"}}}}
function = Function({{"COLDPRESS_BUNDLE_DIR": {str(affine_bundle)!r}}})
assert function.after is None
assert function.answer(event, "1").status == 200
print(*sorted(sys.modules), sep=chr(10), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    )
    modules = set(done.stderr.split())
    assert "handlers.inference.function" in modules
    follows = {f"handlers.inference.{name}" for name in ("after", "capture", "shadow", "fetch")}
    assert not modules & follows
    assert not modules.intersection(FORBIDDEN)


def test_answers_do_not_import_the_description(modules):
    assert not [name for name in modules if name.startswith("handlers.inference.description")]

"""Memory over many requests: an environment may live for hours."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.handlers.conftest import BundleMaker

REQUESTS, WARM = 100_000, 1_000
# What a leak of ten bytes in each request would come to.
ALLOWED_KIB = 1_000

PROGRAM = """
import json, resource, sys
from pathlib import Path
from handlers.inference.events import answer_event
from handlers.inference.service import Service

service = Service.from_folder(Path(sys.argv[1]))
warm, requests = map(int, sys.argv[2:])

def event(path, body):
    return {
        "version": "2.0", "rawPath": path, "rawQueryString": "", "isBase64Encoded": False, "body": body,
        "headers": {"content-type": "application/json"}, "requestContext": {"http": {"method": "POST"}},
    }

tensor = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [0.5, 2, 3]}
events = [
    event("/v2/models/toy/infer", json.dumps({"id": "7", "inputs": [tensor]})),
    event("/v1/models/toy:predict", '{"instances": [[1, 2, 3], [4, 5, 6.5]]}'),
    event("/v1/models/toy:predict", '{"instances": [[NaN, 2, 3]]}'),
    event("/v1/models/toy:predict", '{"instances": [[1, 2]]}'),
    event("/v1/models/toy:predict", '{"instances'),
    event("/v9", "{}"),
]

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024

statuses = []
for number in range(requests):
    status = answer_event(service, events[number % len(events)]).status
    if number < len(events):
        statuses.append(status)
    if number == warm:
        before = resident()
print(json.dumps([statuses, before, resident()]))
"""


@pytest.mark.slow
def test_a_hundred_thousand_requests_leave_memory_where_a_thousand_left_it(make_bundle: BundleMaker) -> None:
    """Answered and refused ones, through Lambda's events, in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, str(make_bundle("affine")), str(WARM), str(REQUESTS)]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=600
    )
    statuses, before, after = json.loads(done.stdout)
    assert statuses == [200, 200, 200, 400, 400, 404]
    assert after - before < ALLOWED_KIB, f"{before} KiB after {WARM} requests, {after} after {REQUESTS}"

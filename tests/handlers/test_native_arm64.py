"""The native library for arm64 gives, to the bit, what the one for x86-64 gives."""

import shutil
import subprocess
import sys

import pytest

from tests.optimizer import cpus

PROGRAM = """
import hashlib, json, random, struct, sys
sys.path.insert(0, sys.argv[1])
from handlers.inference.documents import Numbers, read_event, read_json
from handlers.inference.native import READ, read_numbers, write_numbers

random.seed(0)
results = hashlib.sha256()
digits = lambda count: "".join(random.choice("0123456789") for _ in range(count))
def number():
    text = random.choice(["", "-"]) + str(int(digits(random.choice([1, 1, 1, 2, 5, 16, 19, 24]))))
    if random.random() < 0.8:
        text += "." + digits(random.choice([1, 3, 7, 9, 14, 17, 30]))
    if random.random() < 0.2:
        text += random.choice("eE") + random.choice(["", "-", "+"]) + digits(1)
    return text
for _ in range(300):
    rows = [[number() for _ in range(8)] for _ in range(12)]
    space = random.choice(["", " ", "\\n  "])
    text = "[" + ("," + space).join("[" + ("," + space).join(row) + "]" for row in rows) + "]"
    content = read_json(text.encode())
    assert type(content) is Numbers
    for code in "fdeqB":
        status, data, shape = read_numbers(content, code, struct.calcsize(code))
        results.update(b"%d" % status)
        if status == READ:
            results.update(bytes(data) + repr(shape).encode())
            results.update(write_numbers(data, code, shape).encode())
    status, data, shape = read_numbers(content, "d", 8)
    flat = [text for row in rows for text in row]
    if status == READ:
        values = [float(one) if set(one) & set(".eE") else int(one) for one in flat]
        assert bytes(data) == struct.pack(f"<{len(values)}d", *values), text
for code, size in (("f", 4), ("d", 8), ("e", 2), ("q", 8), ("B", 1)):
    data = random.randbytes(size * 6000)
    written = write_numbers(memoryview(data), code, (10, 20, 30))
    results.update(written.encode())
    if code != "e":
        values = json.loads(written.replace("-Infinity", "0").replace("Infinity", "0").replace("NaN", "0"))
        assert len(values) == 10 and len(values[9][19]) == 30
body = "".join(random.choice('\\\\"\\n\\u00e9\\U0001f600ab') for _ in range(5000))
found = read_event(json.dumps({"body": body}).encode())["body"].read()
assert found == body.encode()
print(results.hexdigest())
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="needs qemu-aarch64: install qemu-user")
@pytest.mark.skipif(shutil.which("debootstrap") is None, reason="needs debootstrap")
def test_arm64_reads_and_writes_alike():
    arguments = ["-c", PROGRAM, str(cpus.ROOT)]
    commands = [[sys.executable, *arguments], [*cpus.graviton2().python, *arguments]]
    here, there = (
        subprocess.run(command, check=True, capture_output=True, text=True).stdout for command in commands
    )
    assert here == there

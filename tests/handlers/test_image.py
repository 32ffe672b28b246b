"""The image, built by podman on a Debian base, answers a request under the Runtime Interface Emulator.

The machine's own pip configuration goes into the build as files and variables of the test, never of the
Dockerfile.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
BASE, IMAGE = "localhost/coldpress-test-base:1", "localhost/coldpress-test-inference:1"
TRANSFORM_IMAGE = "localhost/coldpress-test-transform:1"
ULIMITS = ["--ulimit", "nofile=1024:1024"]
RUN = ["--cgroup-manager", "cgroupfs", "--runtime", "runc", "run", "--rm", "--network", "host", *ULIMITS]
RUN += ["--ulimit", "nproc=4096:4096"]
RIE = shutil.which("aws-lambda-rie", path=str(Path(sys.executable).parent))

ENTRIES = {
    "own loop": ["python3", "-I", "-S", "/var/task/handlers/inference/bootstrap.py"],
    "awslambdaric": ["python3", "-m", "awslambdaric", "handlers.inference.app.handler"],
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("podman") is None, reason="needs podman"),
    pytest.mark.skipif(shutil.which("debootstrap") is None, reason="needs debootstrap"),
    pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap needs root"),
]


def podman(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(["podman", *arguments], check=True, **options)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Debian with Python and pip; kept between runs, for it takes a minute."""
    if subprocess.run(["podman", "image", "exists", BASE], check=False).returncode:
        root = tmp_path_factory.mktemp("debian") / "root"
        include = "--include=python3,python3-pip,ca-certificates"
        subprocess.run(["debootstrap", "--variant=minbase", include, "bookworm", str(root)], check=True)
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            podman("import", "-", BASE, stdin=tar.stdout)
        shutil.rmtree(root)
    return BASE


@pytest.fixture(scope="module")
def image(base: str) -> str:
    build(IMAGE, base, REPOSITORY)
    return IMAGE


@pytest.fixture(scope="module")
def transform_image(base: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """As docs/transforms.md says, with its own example, in a copy of what the image is built from."""
    context = tmp_path_factory.mktemp("context")
    for folder in ("bundle", "handlers", "monitoring"):
        shutil.copytree(REPOSITORY / folder, context / folder)
    (context / "transforms").mkdir()
    example = (REPOSITORY / "docs/transforms.md").read_text().partition("```python\n")[2].partition("```")[0]
    (context / "transforms/numbers.py").write_text(example)
    (context / "transforms/requirements.txt").write_text("numpy>=2\n")
    build(TRANSFORM_IMAGE, base, context)
    return TRANSFORM_IMAGE


def build(image: str, base: str, context: Path) -> None:
    arguments = ["--isolation", "chroot", "--network", "host", *ULIMITS, "--build-arg", f"BASE_IMAGE={base}"]
    for name, value in os.environ.items():
        if name.startswith("PIP_") or name.lower().endswith("_proxy"):
            arguments += ["--env", f"{name}={value}"]
    for path in machine_files():
        arguments += ["--volume", f"{path}:{path}:ro"]
    podman("build", *arguments, "-f", "handlers/inference/Dockerfile", "-t", image, ".", cwd=context)


def machine_files() -> list[Path]:
    """This machine's pip configuration, and the folders of what it names: certificates, local indexes."""
    configuration = Path("/etc/pip.conf")
    words = configuration.read_text().split() if configuration.exists() else []
    words += [value for name, value in os.environ.items() if name.startswith("PIP_")]
    named = {Path(word.removeprefix("file://")) for word in words}
    folders = {path.parent for path in named if path.is_absolute() and path.exists()} - {Path("/")}
    outermost = [folder for folder in folders if not folders.intersection(folder.parents)]
    return [path for path in (configuration, *sorted(outermost)) if path.exists()]


@contextlib.contextmanager
def running(image: str, bundle: Path, entry: str, **variables: str) -> Iterator[tuple[str, int]]:
    """The address of the image's environment under the Runtime Interface Emulator."""
    port, name = 9180, "coldpress-test"
    options = ["--name", name, "--user", "1000:1000", "--read-only", "--entrypoint", "/rie"]
    volumes = ["--volume", f"{bundle}:/bundle:ro", "--volume", f"{RIE}:/rie:ro"]
    ports = ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    ports += ["--runtime-api-address", "127.0.0.1:9181"]
    for variable in ("COLDPRESS_BUNDLE_DIR=/bundle", *map("=".join, variables.items())):
        options += ["--env", variable]
    process = subprocess.Popen(["podman", *RUN, *options, *volumes, image, *ports, *ENTRIES[entry]])
    try:
        yield "127.0.0.1", port
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            podman("rm", "--force", "--time", "1", name)
        process.wait(60)


def ask(address: tuple[str, int], path: str, body: str) -> dict:
    event = {
        "version": "2.0",
        "rawPath": path,
        "headers": {},
        "requestContext": {"stage": "$default", "http": {"method": "POST"}},
        "body": body,
        "isBase64Encoded": False,
    }
    deadline = time.monotonic() + 60
    while True:
        try:
            connection = HTTPConnection(*address, timeout=60)
            connection.request("POST", "/2015-03-31/functions/function/invocations", json.dumps(event))
            return json.loads(connection.getresponse().read())
        except (OSError, HTTPException):
            assert time.monotonic() < deadline, "the container never answered"
            time.sleep(0.1)


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_image_answers(image, affine_bundle, entry):
    with running(image, affine_bundle, entry) as address:
        reply = ask(address, "/v1/models/toy:predict", '{"instances": [[1, 2, 3]]}')
    assert reply["statusCode"] == 200, reply
    assert reply["body"] == '{"predictions":[[3.0,5.0,7.0]]}'


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_transform_and_its_requirements_are_in_the_image(transform_image, affine_bundle, entry):
    named = {"COLDPRESS_TRANSFORM": "transforms.numbers:Transform"}
    with running(transform_image, affine_bundle, entry, **named) as address:
        replies = [ask(address, "/v1/models/toy:transform", body) for body in ("1 2 3", "one")]
        predicted = ask(address, "/v1/models/toy:predict", '{"instances": [[1, 2, 3]]}')
    assert [(reply["statusCode"], json.loads(reply["body"])) for reply in replies] == [
        (200, {"answer": [[3.0, 5.0, 7.0]]}),
        (400, {"error": "these are no numbers: send them with spaces between."}),
    ]
    assert predicted["body"] == '{"predictions":[[3.0,5.0,7.0]]}'


def test_the_image_starts_our_own_loop(image):
    result = podman("image", "inspect", "--format", "{{json .Config}}", image, capture_output=True)
    configuration = json.loads(result.stdout)
    assert configuration["Entrypoint"] == ENTRIES["own loop"]
    assert not configuration.get("Cmd")


def test_the_image_holds_bytecode_and_only_what_runs(image):
    code = (
        "import importlib.util, pathlib, sys\n"
        "task = pathlib.Path('/var/task')\n"
        "absent = [p for p in task.rglob('*.py') if p.parent.name != 'tests' and\n"
        "    not pathlib.Path(importlib.util.cache_from_source(str(p))).exists()]\n"
        "names = ('boto3', 'botocore', 'onnx', 'numpy', 'msgspec')\n"
        "libraries = len(list(task.rglob('*onnxruntime*.so*')))\n"
        "size = lambda folder: sum(p.stat().st_size for p in folder.rglob('*') if p.is_file())\n"
        "found = [n for n in names if importlib.util.find_spec(n)]\n"
        "monitor = task / 'handlers/monitor/packages'\n"
        "sys.path.insert(0, str(monitor))\n"
        "import monitoring.monitor\n"
        "print(len(absent), found, libraries, size(task) - size(monitor), size(monitor))\n"
    )
    result = podman(*RUN, "--entrypoint", "python3", image, "-c", code, capture_output=True)
    absent, found, libraries, size, of_monitor = result.stdout.decode().split()
    assert (absent, found, libraries) == ("0", "[]", "1")
    assert int(size) < 50e6
    assert int(of_monitor) < 60e6

"""Other CPUs than this one, emulated by qemu-user: right for answers, useless for timings."""

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from bundle.arrays import load_npz

ROOT = Path(__file__).parents[2]
ARM64 = ROOT / "build" / "test-arm64"
_PROGRAM = """
import sys
sys.path[:0] = sys.argv[1].split(":")
import numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = 1
if sys.argv[2].endswith(".ort"):
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
session = ort.InferenceSession(sys.argv[2], options)
with np.load(sys.argv[3]) as archive:
    samples = {}
    for key in archive.files:
        index, _, name = key.partition("/")
        samples.setdefault(int(index), {})[name] = archive[key]
np.savez(sys.argv[4], *(session.run(None, samples[index])[0] for index in sorted(samples)))
"""
# qemu-user shows the host's /proc/cpuinfo, on which ONNX Runtime's own detection stumbles. Files below its
# prefix come first. This is a Graviton2 (Neoverse N1).
_CPUINFO = """processor : {index}
Features : fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer : 0x41
CPU architecture: 8
CPU variant : 0x3
CPU part : 0xd0c
CPU revision : 1

"""


class Cpu:
    """A CPU that runs models: the command that starts a Python on it, and where that one's packages are."""

    def __init__(self, python: list[str], packages: str) -> None:
        self.python, self._packages = python, packages

    def run(self, model: Path, samples: list[dict[str, np.ndarray]], work: Path) -> list[np.ndarray]:
        """The first output of the model for every sample."""
        feeds = {f"{index}/{name}": array for index, one in enumerate(samples) for name, array in one.items()}
        np.savez(work / "in.npz", **feeds)
        command = [*self.python, "-c", _PROGRAM, self._packages, str(model)]
        subprocess.run([*command, str(work / "in.npz"), str(work / "out.npz")], check=True, timeout=900)
        outputs = load_npz(work / "out.npz")
        return [outputs[f"arr_{index}"] for index in range(len(samples))]


def native() -> Cpu:
    """This machine."""
    return Cpu([sys.executable], sysconfig.get_path("purelib"))


def haswell() -> Cpu:
    """AVX2 without AVX-512 and without VNNI: what Lambda promises for x86_64."""
    interpreter = str(Path(sys.executable).resolve())
    return Cpu([_found("qemu-x86_64"), "-cpu", "Haswell", interpreter], sysconfig.get_path("purelib"))


def graviton2() -> Cpu:
    """arm64 with the dot product, Debian's Python and the arm64 wheels, fetched once into build/.

    The CPU must be named: by default qemu has all extensions that there are, and runs ONNX Runtime's kernels
    for some of them wrongly, so that DynamicQuantizeMatMul answers nonsense.
    """
    qemu = _found("qemu-aarch64")
    if not (ARM64 / "packages").exists():
        shutil.rmtree(ARM64, ignore_errors=True)
        _fetch(ARM64.with_name("test-arm64.partial"))
        ARM64.with_name("test-arm64.partial").rename(ARM64)
    python = ARM64 / "root" / "usr" / "bin" / "python3.11"
    command = [qemu, "-cpu", "neoverse-n1", "-L", str(ARM64 / "root"), str(python)]
    return Cpu(command, str(ARM64 / "packages"))


def _found(program: str, package: str = "qemu-user") -> str:
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}: install {package}")
    return program


def last_bits_moved(model: Path, work: Path) -> Path:
    """The model with every float constant moved by its last bit: what another rounding may do to it."""
    proto = onnx.load(model)
    rng = np.random.default_rng(0)
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            value = numpy_helper.to_array(tensor)
            moved = np.nextafter(value, rng.choice(np.float32([-np.inf, np.inf]), value.shape))
            tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))
    onnx.save(proto, work / "moved.onnx")
    return work / "moved.onnx"


def _fetch(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    root = folder / "root"
    bootstrap = [
        _found("debootstrap", "debootstrap"),
        "--foreign",
        "--arch=arm64",
        "--variant=minbase",
        "--include=python3",
    ]
    subprocess.run([*bootstrap, "bookworm", str(root)], check=True, stdout=subprocess.DEVNULL)
    for package in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cpuinfo").write_text("".join(_CPUINFO.format(index=index) for index in range(2)))
    (root / "sys/devices/system/cpu").mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (root / "sys/devices/system/cpu" / name).write_text("0-1\n")
    wheels = [
        f"{name}=={version(name)}"
        for name in ("onnxruntime", "numpy", "flatbuffers", "packaging", "protobuf")
    ]
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in (17, 26, 27, 28)]
    platforms.append("--platform=manylinux2014_aarch64")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    install += [*platforms, "--python-version=3.11", "--target", str(folder / "packages")]
    subprocess.run([*install, *wheels], check=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})

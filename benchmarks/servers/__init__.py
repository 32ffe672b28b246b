"""The other servers of `make bench-serve`, a file each, set up as their own documentation does it.

Each is started as a module with MODEL, PORT and WORKERS in its environment. Every worker holds one
ONNX Runtime session on one thread, and there is a worker for each core.
"""

_ORT = "onnxruntime==1.32.0"
PACKAGES = {
    "fastapi": ("fastapi[standard]==0.165.0", _ORT, "numpy"),
    # uvloop 0.22 makes no event loop by itself, which its worker processes ask for.
    "mlserver": ("mlserver==1.7.1", "uvloop==0.21.0", _ORT),
    "bentoml": ("bentoml==1.4.40", _ORT, "numpy"),
    "kserve": ("kserve==0.21.0", _ORT),
    "litserve": ("litserve==0.2.19", _ORT, "numpy"),
}

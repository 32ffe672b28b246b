"""The machine that trains: its GPU, its memory, and what to say where either fails."""

import ctypes
import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from optimizer.train.errors import CannotTrain

T = TypeVar("T")

# glibc's mallopt: large tensors come from a heap that is kept, not from the kernel each time.
_MMAP_THRESHOLD, _TRIM_THRESHOLD, _LARGEST_MMAP, _NEVER = -3, -1, 32 * 1024**2, 2**31 - 1


def on_this_machine(work: Callable[[], T]) -> T:
    """Do ``work``, which makes and frees large tensors all the time.

    Raises:
        CannotTrain: the machine is to blame, not the model.
    """
    _keep_memory()
    try:
        return work()
    except (MemoryError, RuntimeError) as problem:
        reason = _reason(problem)
        if reason is None:
            raise
    _give_back_memory()  # now that no traceback holds any of it
    raise CannotTrain(reason)


def device() -> torch.device:
    """A GPU where torch has one; as a context, what tensors are made on."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _reason(problem: MemoryError | RuntimeError) -> str | None:
    """What to say; nothing where the machine is not to blame."""
    text = str(problem)
    if isinstance(problem, MemoryError) or "memory" in text:
        return "this machine has too little memory for it."
    if "CUDA" in text or "cuDNN" in text:
        failure = text.splitlines()[0]
        return f"the GPU failed ({failure}). Set CUDA_VISIBLE_DEVICES to nothing to train on the CPU."
    return None


def _keep_memory() -> None:
    """Keep what was freed for the next tensor. Other C libraries than glibc are left as they are."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP)
        mallopt(_TRIM_THRESHOLD, _NEVER)


def _give_back_memory() -> None:
    """Undo what is kept, for whoever comes next."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

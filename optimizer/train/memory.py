"""What training does to this process's heap, for it makes and frees large tensors all the time."""

import ctypes
import gc

# glibc's mallopt: large tensors come from a heap that is kept, not from the kernel each time.
_MMAP_THRESHOLD, _TRIM_THRESHOLD, _LARGEST_MMAP, _NEVER = -3, -1, 32 * 1024**2, 2**31 - 1


def keep_memory() -> None:
    """Keep what was freed for the next tensor. Other C libraries than glibc are left as they are."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP)
        mallopt(_TRIM_THRESHOLD, _NEVER)


def give_back_memory() -> None:
    """Undo what ``keep_memory`` keeps, for whoever comes next."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

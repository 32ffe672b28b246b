"""Memory whose neighbours cannot be touched: a byte read or written beside it ends the process."""

import ctypes
import mmap

_PROT_NONE = 0
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class Guarded:
    """Room for ``capacity`` bytes between two pages that nobody may touch."""

    def __init__(self, capacity: int) -> None:
        page = mmap.PAGESIZE
        self._size = -(-capacity // page) * page
        self._map = mmap.mmap(-1, self._size + 2 * page)
        first = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self._start = first + page
        for address in (first, self._start + self._size):
            if _libc.mprotect(address, page, _PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect failed")

    def hold(self, content: bytes, *, at_end: bool) -> int:
        """Put ``content`` at one end, zeros everywhere else; its address."""
        if len(content) > self._size:
            raise ValueError(f"{len(content)} bytes are more than the {self._size} that there are.")
        ctypes.memset(self._start, 0, self._size)
        address = self._start + (self._size - len(content) if at_end else 0)
        ctypes.memmove(address, content, len(content))
        return address

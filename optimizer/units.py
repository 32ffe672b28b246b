"""Sizes and times as people read them."""


def size(count: float) -> str:
    """Bytes, in the unit that gives one to three digits before the point."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.2f} {unit}"
    return f"{count:.0f} B"


def duration(ms: float) -> str:
    """Milliseconds, or microseconds where there is less than a tenth of one."""
    if ms < 0.1:
        return f"{ms * 1e3:.1f} µs"
    return f"{ms:.1f} ms" if ms >= 10 else f"{ms:.2f} ms"

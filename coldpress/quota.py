"""A share of the CPU, as Lambda gives by memory size: 1,769 MB buy one vCPU."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_PERIOD_US = 20_000
_V1, _V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


class NotAllowed(Exception):
    """This machine lets nobody limit CPU here; the sentence says why."""


@contextlib.contextmanager
def cpu_share(vcpus: float) -> Iterator[Path]:
    """The file that a process's id is written into; those in it share ``vcpus`` CPUs.

    Raises:
        NotAllowed: control groups are not writable.
    """
    is_v2 = (_V2 / "cgroup.controllers").exists()
    folder = (_V2 if is_v2 else _V1) / f"coldpress-{os.getpid()}-{vcpus:g}"
    quota_us = round(vcpus * _PERIOD_US)
    try:
        folder.mkdir()
        if is_v2:
            (folder / "cpu.max").write_text(f"{quota_us} {_PERIOD_US}")
        else:
            (folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (folder / "cpu.cfs_quota_us").write_text(str(quota_us))
    except OSError as error:
        raise NotAllowed(f"no CPU quotas here: {error}") from None
    try:
        yield folder / "cgroup.procs"
    finally:
        folder.rmdir()  # empty by then: what was started has been waited for

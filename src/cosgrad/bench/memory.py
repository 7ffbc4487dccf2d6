"""The peak memory of a piece of work in this process."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from pathlib import Path

from cosgrad.bench.timing import Work

STATUS = Path("/proc/self/status")


def _status(field: str) -> int:
    """A field of /proc/self/status in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def reset_peak() -> int:
    """Forget the peak so far; returns what is in use now.

    Linux keeps in `ru_maxrss` what the parent had in use when it started this process, and its own high-water
    mark can be reset: it is what counts there. Elsewhere the peak so far stands in for what is in use.
    """
    if not STATUS.exists():
        return peak()
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak() -> int:
    """The high-water mark of this process in bytes."""
    if STATUS.exists():
        return _status("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def in_use() -> int:
    """Bytes in use when the allocator has given back what it kept; elsewhere than on Linux the peak."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)
    return _status("VmRSS") if STATUS.exists() else peak()


def extra(work: Work) -> int:
    """Bytes by which the peak of doing the work stands above what is in use before, its inputs included.

    The work should have been done before: the first time compiles and warms up.
    """
    in_use()
    before = reset_peak()
    result = work()
    most = peak() - before
    del result
    return max(most, 0)

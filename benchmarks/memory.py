"""Peak memory of one way of doing one piece of work, in a process of its own.

`python benchmarks/memory.py WORKLOAD WAY` prints the bytes by which the peak stood above what
the inputs take.
"""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_of(workload: str, way: str) -> int | None:
    """Bytes, or None where the child failed."""
    child = subprocess.run(
        [sys.executable, __file__, workload, way], capture_output=True, text=True, check=False
    )
    return int(child.stdout.split()[-1]) if child.returncode == 0 else None


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


def measure(workload: str, way: str) -> int:
    """The peak of doing the work a second time: the first one compiles and warms up."""
    from registry import REGISTRY

    work = REGISTRY[workload].prepare().everyone()[way]
    work()
    gc.collect()
    before = reset_peak()
    result = work()
    most = peak() - before
    del result
    return max(most, 0)


if __name__ == "__main__":
    print(measure(*sys.argv[1:]))

"""Peak memory of one way to do one piece of work, measured in a separate process.

`python benchmarks/memory.py WORKLOAD WAY` prints the peak in bytes above the memory of the inputs.
"""

from __future__ import annotations

import subprocess
import sys

from cosgrad.bench.memory import extra


def peak_of(workload: str, way: str) -> int | None:
    """Return the bytes, or None if the child process failed."""
    child = subprocess.run(
        [sys.executable, __file__, workload, way], capture_output=True, text=True, check=False
    )
    return int(child.stdout.split()[-1]) if child.returncode == 0 else None


def measure(workload: str, way: str) -> int:
    """Return the peak of the second time that the work is done. The first time compiles and warms up."""
    from registry import REGISTRY

    work = REGISTRY[workload].prepare().everyone()[way]
    work()
    return extra(work)


if __name__ == "__main__":
    print(measure(*sys.argv[1:]))

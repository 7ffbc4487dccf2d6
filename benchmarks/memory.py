"""Peak memory of one way of doing one piece of work, in a process of its own.

`python benchmarks/memory.py WORKLOAD WAY` prints the bytes by which the peak stood above what
the inputs take.
"""

from __future__ import annotations

import subprocess
import sys

from cosgrad.bench.memory import extra


def peak_of(workload: str, way: str) -> int | None:
    """Bytes, or None where the child failed."""
    child = subprocess.run(
        [sys.executable, __file__, workload, way], capture_output=True, text=True, check=False
    )
    return int(child.stdout.split()[-1]) if child.returncode == 0 else None


def measure(workload: str, way: str) -> int:
    """The peak of doing the work a second time: the first one compiles and warms up."""
    from registry import REGISTRY

    work = REGISTRY[workload].prepare().everyone()[way]
    work()
    return extra(work)


if __name__ == "__main__":
    print(measure(*sys.argv[1:]))

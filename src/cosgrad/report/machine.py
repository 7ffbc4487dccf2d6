"""The machine and the versions that the figures of a report depend on."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from cosgrad import _native

BUSY = 0.5
"""Above this load, times are affected by other work."""


def machine() -> dict[str, Any]:
    """Return the processor, the number of usable cores, the instruction set in use, and Python's version."""
    return {
        "machine": platform.machine(),
        "processor": processor(),
        "cpus": cores(),
        "isa": _native.isa,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def cores() -> int | None:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()


def processor() -> str:
    """Return the processor's name, or an empty string if the system does not have it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        return platform.processor()


def version(distribution: str) -> str | None:
    """Return the installed version, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    return {name: found for name in distributions if (found := version(name)) is not None}

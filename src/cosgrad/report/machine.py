"""What the figures of a report depend on."""

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
"""The load from which on the times are somebody else's too."""


def machine() -> dict[str, Any]:
    """The processor, how many cores this process may use, what the kernel uses of them, Python."""
    return {
        "machine": platform.machine(),
        "processor": processor(),
        "cpus": cores(),
        "isa": _native.isa,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def cores() -> int | None:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        return platform.processor()


def version(distribution: str) -> str | None:
    """The installed version, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """The versions of those that are installed."""
    return {name: found for name in distributions if (found := version(name)) is not None}

"""Benchmark results written by hand, not measured: every kind of entry, with known numbers."""

from math import inf

from cosgrad.bench.entries import Entry, Figure, Protocol

PROTOCOL = Protocol(
    angles=(1.0, 1e-3, 1e-7), scales=(1e-30, 1.0), pairs=1, forward=(32, 4096), loss=(32, 4096), length=8
)


def errors(*ulps: float) -> dict:
    return {q: {"angle": list(ulps[:3]), "scale": list(ulps[3:])} for q in ("similarity", "distance")}


def figure(ratio: float | None, peak: int, seconds: float = 1e-3) -> Figure:
    return Figure(seconds, ratio, ratio and 0.9 * ratio, ratio and 1.1 * ratio, peak)


def entries() -> list[Entry]:
    """Return entries of cosgrad, of three competitors, and of two libraries that gave no result.

    The competitors are a slow and inaccurate one, a fast one that needs little memory, and one that fails in
    part.
    """
    own = {kind: {32: figure(None, 0), 4096: figure(None, 90_000_000)} for kind in ("forward", "loss")}
    slow = {kind: {32: figure(2.0, 10), 4096: figure(25.0, 300_000_000)} for kind in ("forward", "loss")}
    fast = {"forward": {32: figure(0.25, 0), 4096: figure(0.95, 20_000_000)}}
    return [
        Entry(
            "cosgrad.torch", "torch", "f", True, "1", errors=errors(0.4, 0.5, 0.4996, 0.1, 0.2), figures=own
        ),
        Entry("slow", "torch", "<f>", False, "2", errors=errors(1, 1e3, 5e9, inf, 2), figures=slow),
        Entry("fast", "torch", "g", False, "3", errors=errors(1, 10, 1e6, 3, 2), figures=fast),
        Entry("partial", "torch", "h", False, "4", failed={"loss": "ValueError: <no> gradient"}),
        Entry("absent", "jax", "i", False, None, "missing", "ModuleNotFoundError: No module named 'absent'"),
        Entry("broken", "jax", "j", False, "5", "failed", "it crashed: its process was killed by SIGSEGV"),
    ]

"""Formatting of numbers for people."""

from __future__ import annotations

import math


def ulps(ulp: float | None) -> str:
    """Format an error in ulp with few digits, but never round 0.5005 up to 0.501.

    Example:
        >>> ulps(0.50049), ulps(1234.5), ulps(3.2e7), ulps(float("inf"))
        ('0.5005', '1234', '3e7', 'inf')
    """
    if ulp is None:
        return ""
    if math.isinf(ulp):
        return "inf"
    if ulp < 10:
        return f"{ulp:.4f}"
    return f"{ulp:.0f}" if ulp < 1e5 else f"{ulp:.0e}".replace("e+0", "e").replace("e+", "e")


def duration(seconds: float | None) -> str:
    """Format seconds in a suitable unit.

    Example:
        >>> duration(0.0123), duration(1.234e-5), duration(2.5)
        ('12.3 ms', '12.3 µs', '2.5 s')
    """
    if seconds is None:
        return ""
    unit, name = next(((u, n) for u, n in ((1.0, "s"), (1e-3, "ms")) if seconds >= 0.9995 * u), (1e-6, "µs"))
    return f"{seconds / unit:.3g} {name}"


def size(count: float | None) -> str:
    """Format bytes as megabytes.

    Example:
        >>> size(123456789), size(40_000), size(None)
        ('123 MB', '0.04 MB', '-')
    """
    if count is None:
        return "-"
    return f"{count / 1e6:.0f} MB" if count >= 9.5e6 or not count else f"{count / 1e6:.1g} MB"


def times(ratio: float | None) -> str:
    """Format a ratio of times.

    Example:
        >>> times(21.44), times(1.5), times(0.5234)
        ('21x', '1.5x', '0.52x')
    """
    if ratio is None:
        return ""
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.2g}x"

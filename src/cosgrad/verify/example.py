"""A worked example: S, its derivatives and a loss, computed by a frontend and by finite differences."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from cosgrad.verify import adapters, differences, oracle

X, Y = (1.0, 2.0, 2.0), (2.0, -1.0, 2.0)
LABELS = np.array([[1.0, 4.0, 5.0], [5.0, 5.0, 7.0]])
PREDICTIONS = np.array([[3.0, 2.0, 5.0], [3.0, 2.0, 7.0]])
U, V = (1.0, 0.0, -1.0), (1.0, 0.0, 1.0)


@dataclass(frozen=True)
class Worked:
    """S, dS/dx, dS/dy and dS.(u, v) at (X, Y), and the mean distance of LABELS and PREDICTIONS."""

    similarity: float
    grad_x: list[float]
    grad_y: list[float]
    total: float
    loss: float

    def as_dict(self) -> dict[str, float | list[float]]:
        """Return a dict that can be sent between processes."""
        return asdict(self)


def by_frontend(framework: str) -> Worked:
    """Return the values that the package computes in float64."""
    f = adapters.frontend(framework, "similarity")
    x, y, u, v = (np.array([t]) for t in (X, Y, U, V))
    gx, gy = f.vjp(x, y, np.ones(1), "float64")
    return Worked(
        float(f.value(x, y, "float64").values[0]),
        gx[0].tolist(),
        gy[0].tolist(),
        float(f.jvp(x, y, u, v, "float64")[0]),
        f.distance_loss(LABELS, PREDICTIONS, "float64", None, "mean"),
    )


def by_differences() -> Worked:
    """Return the values by finite differences of the definition."""
    gx, gy = differences.gradient(X, Y)
    rows = [
        (differences.numbers(a), differences.numbers(b)) for a, b in zip(LABELS, PREDICTIONS, strict=True)
    ]
    similarities = [differences.definition(a, b) for a, b in rows]
    return Worked(
        float(differences.definition(differences.numbers(X), differences.numbers(Y))),
        [float(t) for t in gx],
        [float(t) for t in gy],
        float(differences.directional(X, Y, U, V)),
        float(oracle.reduce([1 - s for s in similarities])),
    )


def departures(worked: Worked, true: Worked) -> list[float]:
    """Return the largest difference of each quantity."""
    pairs = zip(worked.as_dict().values(), true.as_dict().values(), strict=True)
    return [float(np.max(np.abs(np.subtract(a, b)))) for a, b in pairs]

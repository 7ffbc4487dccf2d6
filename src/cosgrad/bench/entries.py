"""The protocol of the benchmark, and the results of each library."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from cosgrad.bench.rivals.base import Quantity
from cosgrad.bench.worker import Kind

QUANTITIES: tuple[Quantity, ...] = ("similarity", "distance")
KINDS: tuple[Kind, ...] = ("forward", "loss")


@dataclass(frozen=True)
class Protocol:
    """The inputs of the benchmark, and the number of repetitions.

    Attributes:
        angles: Angles in radians between vectors with norms around 1.
        scales: Norms of vectors at ordinary angles.
        pairs: Number of pairs of vectors for every angle and every scale.
        forward: Numbers of rows for which the similarity is timed.
        loss: Numbers of rows for which the mean distance with both gradients is timed.
        length: Length of every vector.
        rounds: Largest number of rounds. Every library has one turn in a round.
        fewest: Smallest number of rounds.
        budget: Seconds after which a comparison ends early.
        seed: Seed of all inputs.
    """

    angles: tuple[float, ...] = (
        *(3.0, 2.0, 1.5707, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4),
        *(3e-5, 1e-5, 3e-6, 1e-6, 3e-7, 1e-7),
    )
    scales: tuple[float, ...] = tuple(float(f"1e{k}") for k in range(-30, 31, 5))
    pairs: int = 16
    forward: tuple[int, ...] = (32, 512, 4096, 32768)
    loss: tuple[int, ...] = (32, 512, 8192)
    length: int = 768
    rounds: int = 5
    fewest: int = 3
    budget: float = 1.0
    seed: int = 0

    @classmethod
    def quick(cls, seed: int) -> Protocol:
        """Return a shorter protocol for a first look."""
        whole = cls()
        return cls(
            angles=whole.angles[::3] + whole.angles[-1:],
            scales=whole.scales[::3],
            pairs=4,
            forward=(32, 2048),
            loss=(32, 2048),
            rounds=3,
            budget=0.5,
            seed=seed,
        )


@dataclass
class Figure:
    """The result of one library for one task. `ratio` is its time divided by that of cosgrad's frontend."""

    seconds: float
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    peak_bytes: int | None = None


@dataclass
class Entry:
    """The results of one library.

    Attributes:
        status: "measured", or, if nothing could be measured, "missing" or "failed". `why` has the reason.
        errors: The worst error in ulp at each point, by quantity and "angle" or "scale". inf is NaN or Inf.
        figures: Time and memory, by kind of work and number of rows.
        failed: The parts that could not be measured, with the reasons.
    """

    name: str
    frontend: str
    how: str
    ours: bool
    version: str | None = None
    status: str = "measured"
    why: str = ""
    errors: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    figures: dict[str, dict[int, Figure]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return a dict for JSON. Inf becomes a string, because JSON does not have it."""
        d = asdict(self)
        d["errors"] = {
            quantity: {
                against: ["inf" if math.isinf(e) else e for e in errors] for against, errors in by.items()
            }
            for quantity, by in self.errors.items()
        }
        return d

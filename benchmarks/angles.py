"""Draw the plot of the README: the error of the distance against the angle, for widely used libraries.

cosgrad bench --json bench.json
python benchmarks/angles.py bench.json docs/error-against-angle.svg
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

LIBRARIES = {  # name in the report: label, colour, marker
    "torch": ("PyTorch", "#cf222e", "o"),
    "optax": ("optax", "#8250df", "s"),
    "keras": ("Keras", "#bf8700", "^"),
    "scipy": ("SciPy", "#116329", "D"),
    "simsimd": ("SimSIMD", "#6e7781", "v"),
    "numkong": ("NumKong", "#0969da", "P"),
    "cosgrad.torch": ("cosgrad", "#0a3069", "*"),
}
QUANTITY = "distance"


def draw(report: Path, out: Path) -> None:
    """Draw the errors in a report of `cosgrad bench --json`."""
    content = json.loads(report.read_text())
    angles = content["protocol"]["angles"]
    measured = {library["name"]: library["errors"] for library in content["libraries"]}
    style: dict[Any, Any] = {
        "svg.hashsalt": "cosgrad",
        "svg.fonttype": "none",
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with plt.rc_context(style):
        figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
        axes.axhspan(1e-1, 0.5, color="#0a3069", alpha=0.08, linewidth=0)
        for name, (label, colour, marker) in LIBRARIES.items():
            if name not in measured:
                raise SystemExit(
                    f"{report} has no {name}: install what `make bench` installs, and run bench again"
                )
            errors = [float(e) for e in measured[name][QUANTITY]["angle"]]
            if not all(map(math.isfinite, errors)):
                raise SystemExit(f"{name} is not finite at an angle: this plot cannot show it")
            ours = name.startswith("cosgrad")
            axes.loglog(
                angles,
                [max(error, 0.1) for error in errors],
                color=colour,
                marker=marker,
                markersize=10 if ours else 5,
                linewidth=3 if ours else 1.4,
                label=label,
            )
        note = "up to 0.5 ulp: the nearest float32"
        axes.annotate(note, (min(angles), 0.5), (0, 4), textcoords="offset points")
        axes.set(
            xlabel="angle between the vectors, rad", ylabel=f"largest error of the {QUANTITY}, ulp of float32"
        )
        axes.grid(alpha=0.2)
        axes.legend(frameon=False, ncols=2)
        figure.savefig(out, metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    draw(*map(Path, sys.argv[1:]))

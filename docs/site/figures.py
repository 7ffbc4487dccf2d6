"""The figures of the numerics page: errors of float32, measured when the site is built."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from torch.nn import functional as F

import cosgrad.torch as C
from cosgrad.verify import inputs
from cosgrad.verify.ulp import errors

mpl.use("svg")
from matplotlib import pyplot as plt

SEED, LENGTH, ROWS, PLACES = 20261121, 768, 5, 30
FUNCTIONS = {  # similarity and distance
    "PyTorch": (F.cosine_similarity, lambda x, y: 1 - F.cosine_similarity(x, y)),
    "cosgrad": (lambda x, y: C.cosine_similarity(x, y, eps=0.0), C.cosine_distance),
}
DASHES = {"PyTorch": "--", "cosgrad": "-"}
THEMES = {
    "light": {"ink": "#333333", "PyTorch": "#cf222e", "cosgrad": "#0550ae"},
    "dark": {"ink": "#cccccc", "PyTorch": "#ff7b72", "cosgrad": "#79c0ff"},
}
INK = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
ULP, RELATIVE = "worst error, ulp", "worst relative error"


def draw(folder: Path) -> None:
    """Write every figure, for light and dark backgrounds."""
    folder.mkdir(parents=True)
    angles, scales = np.geomspace(1e-6, 3, PLACES), np.geomspace(1e-37, 1e37, PLACES)
    by_angle = [batch(angle, 1.0) for angle in angles]
    by_scale = [batch(0.5, scale) for scale in scales]
    length, angle = "length of both vectors", "angle, rad"
    plot(folder, "similarity-scale", scales, [similarity(b) for b in by_scale], (length, ULP), 0.5)
    plot(folder, "distance-angle", angles, [distance(b) for b in by_angle], (angle, ULP), 0.5)
    plot(folder, "gradient-angle", angles, [gradient(b) for b in by_angle], (angle, RELATIVE), 2.0**-24)


def batch(angle: float, scale: float) -> inputs.Batch:
    """Return pairs of rows with this angle between them. Both vectors of a pair have the length `scale`."""
    rng = np.random.default_rng(SEED)
    rows = inputs.at_angles(rng, LENGTH, *([value] * ROWS for value in (angle, scale, scale)))
    return inputs.batch(*rows, "float32", "figure", SEED).unit()


def tensors(batch: inputs.Batch) -> list[torch.Tensor]:
    """Return x and y as tensors."""
    return [torch.tensor(t, dtype=torch.float32) for t in (batch.x, batch.y)]


def similarity(batch: inputs.Batch) -> dict[str, float]:
    """Return the largest error of S of each library, in ulp."""
    return {who: worst(f(*tensors(batch)), batch.similarities) for who, (f, _) in FUNCTIONS.items()}


def distance(batch: inputs.Batch) -> dict[str, float]:
    """Return the largest error of D of each library, in ulp."""
    return {who: worst(f(*tensors(batch)), batch.distances) for who, (_, f) in FUNCTIONS.items()}


def gradient(batch: inputs.Batch) -> dict[str, float]:
    """Return the largest error of dS/dx of each library: its length, divided by the length of dS/dx."""
    true = np.array([float(t) for t in batch.gradients.true[0]]).reshape(batch.x.shape)
    found = {}
    for who, (function, _) in FUNCTIONS.items():
        x, y = tensors(batch)
        (got,) = torch.autograd.grad(function(x.requires_grad_(), y).sum(), x)
        error = np.linalg.norm(got.double().numpy() - true, axis=1) / np.linalg.norm(true, axis=1)
        found[who] = float(error.max())
    return found


def worst(got: torch.Tensor, true: inputs.Numbers) -> float:
    """Return the largest error in ulp."""
    return float(errors(got.double().numpy(), true, "float32").ulp.max())


def plot(
    folder: Path,
    name: str,
    places: np.ndarray,
    curves: Sequence[dict[str, float]],
    labels: tuple[str, str],
    rounding: float,
) -> None:
    """Write a figure for light and dark backgrounds."""
    for theme, colours in THEMES.items():
        style = {"svg.hashsalt": name, "font.size": 11, "axes.spines.top": False, "axes.spines.right": False}
        with plt.rc_context({**style, **dict.fromkeys(INK, colours["ink"])}):
            figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
            axes.axhline(rounding, color=colours["ink"], linewidth=0.8, linestyle=":")
            for who, dashes in DASHES.items():
                errors_of = [curve[who] for curve in curves]
                axes.loglog(places, errors_of, dashes, color=colours[who], label=who, linewidth=2)
            axes.set(xlabel=labels[0], ylabel=labels[1])
            axes.grid(alpha=0.2)
            axes.legend(frameon=False)
            figure.savefig(folder / f"{name}-{theme}.svg", transparent=True, metadata={"Date": None})
            plt.close(figure)

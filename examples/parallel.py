"""Drive two float32 vectors parallel by gradient descent on their distance: `python examples/parallel.py`.

A step is taken if it decreases the loss. Otherwise it is halved, as in a line search. Schedules and stopping
rules also compare losses. `1 - F.cosine_similarity` cannot distinguish distances below 1e-7, so the descent
stalls there. cosgrad's distance is right to the last bit. With it, the distance decreases until float32
vectors cannot be closer to parallel.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import torch
from torch.nn import functional as F
from tqdm import tqdm

from cosgrad.torch import cosine_distance

mpl.use("Agg")
from matplotlib import pyplot as plt

Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
DISTANCES: dict[str, Distance] = {
    "1 - F.cosine_similarity": lambda x, y: 1 - F.cosine_similarity(x, y, dim=0),
    "cosgrad": lambda x, y: cosine_distance(x, y, dim=0, eps=0.0),
}
RATE, HALVINGS, FLOOR = 0.3, 10, 1e-16


def true_distance(x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the distance, computed from the residual in float64, which is accurate enough here."""
    x, y = x.double(), y.double()
    r = y - (x @ y) / (x @ x) * x
    S = (x @ y) / (x.norm() * y.norm())
    return float((r @ r) / ((y @ y) * (1 + S)))


def descend(name: str, distance: Distance, steps: int) -> tuple[list[float], list[float]]:
    """Return the distances that the function computes during the descent, and the true distances."""
    generator = torch.Generator().manual_seed(0)
    y = F.normalize(torch.randn(768, generator=generator), dim=0)
    x = F.normalize(y + 0.5 * F.normalize(torch.randn(768, generator=generator), dim=0), dim=0)
    said, true = [], []
    with tqdm(range(steps), desc=name, unit="step") as progress:
        for _ in progress:
            x.requires_grad_()
            D = distance(x, y)
            (gradient,) = torch.autograd.grad(D, x)
            x, D = x.detach(), D.detach()
            said.append(D.item())
            true.append(true_distance(x, y))
            progress.set_postfix(distance=f"{said[-1]:.2e}")
            tries = (x - RATE / 2**k * gradient for k in range(HALVINGS))
            x = next((t for t in tries if distance(t, y) < D), x)
    return said, true


def draw(curves: dict[str, tuple[list[float], list[float]]], path: Path) -> None:
    """Draw the true distances and those that each function computes, on a logarithmic axis."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for (name, (said, true)), colour in zip(curves.items(), ("#b5443a", "#1f6f8b"), strict=True):
        axes.semilogy(true, color=colour, linewidth=2, label=f"{name}, in truth")
        points = [max(d, FLOOR) for d in said]
        axes.semilogy(points, ".", color=colour, markersize=6, label=f"{name}, as it says")
    axes.set(
        xlabel="step of gradient descent",
        ylabel=r"distance $1 - \cos$ (0 and below: at the bottom)",
        title="Two float32 vectors driven parallel",
        ylim=(FLOOR / 2, 1),
    )
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Descend with both functions, print their last distances, and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=60, help="steps of descent (60)")
    parser.add_argument(
        "--plot", type=Path, default=Path("parallel.png"), help="where to draw (parallel.png)"
    )
    options = parser.parse_args()
    curves = {name: descend(name, distance, options.steps) for name, distance in DISTANCES.items()}
    for name, (said, true) in curves.items():
        print(f"{name:24} says {said[-1]:9.2e}, in truth {true[-1]:9.2e}")
    draw(curves, options.plot)
    print(f"drawn: {options.plot}")


if __name__ == "__main__":
    main()

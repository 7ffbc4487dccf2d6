"""One batch under a limit of memory: `python examples/contrastive_memory.py --limit 2`.

1500 digits, each shifted to 15 positions, are one batch of 22500 pairs. The same towers are trained on it
with the dense formula and with cosgrad's loss. Each runs in a process whose address space is limited, as by
`ulimit -v`. One matrix of logits has 2 GB, and the dense formula keeps several. This example needs Linux,
because other systems do not enforce the limit.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from contrastive_digits import HALF, RATE, TRAINED, Towers, halves
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from cosgrad.torch import contrastive_loss


def dense(x: Tensor, y: Tensor, temperature: Tensor) -> Tensor:
    """Return CLIP's loss by the usual dense formula."""
    logits = F.normalize(x, dim=1) @ F.normalize(y, dim=1).mT / temperature
    own = torch.arange(len(x))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.mT, own)) / 2


def cosgrad(x: Tensor, y: Tensor, temperature: Tensor) -> Tensor:
    """Return CLIP's loss by cosgrad."""
    return contrastive_loss(x, y, temperature=temperature)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"dense": dense, "cosgrad": cosgrad}


def batch(rows: int) -> tuple[Tensor, Tensor]:
    """Return the halves of the images, shifted by up to one row and two columns in each direction."""
    images = torch.cat(halves(), 1)[:TRAINED].view(-1, 8, 8)
    places = [(i, j) for i in (0, 1, -1) for j in (0, 1, -1, 2, -2)]
    shifted = torch.cat([images.roll(place, (1, 2)) for place in places])[:rows].flatten(1)
    return shifted[:, :HALF], shifted[:, HALF:]


def status(name: str) -> float:
    """Return an entry of Linux's status file of this process, in GB."""
    with Path("/proc/self/status").open() as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 2**20


def train(name: str, options: argparse.Namespace) -> dict[str, object]:
    """Train within the memory limit, and return the losses, the outcome and the memory used."""
    bytes_ = int(options.limit * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_))
    towers = Towers()
    optimizer = torch.optim.AdamW(towers.parameters(), lr=RATE)
    upper, lower = batch(options.rows)
    curve: list[float] = []
    outcome = "trained"
    try:
        with tqdm(range(options.steps), desc=name, unit="step") as steps:
            for _ in steps:
                loss = LOSSES[name](towers.upper(upper), towers.lower(lower), towers.loss.temperature)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                curve.append(loss.item())
                steps.set_postfix(loss=f"{curve[-1]:.4f}")
    except RuntimeError as error:  # PyTorch's CPU allocator has no error class of its own
        if "can't allocate memory" not in str(error):
            raise
        outcome = "out of memory"
    return {
        "loss": curve,
        "outcome": outcome,
        "recall": towers.recall(),
        "resident": status("VmHWM"),
        "address space": status("VmPeak"),
    }


def report(results: dict[str, dict]) -> None:
    """Print a table of the results of each loss."""
    print(f"{'':8} {'loss':>18} {'recall@1':>9} {'resident':>9} {'address space':>14}")
    for name, result in results.items():
        curve = result["loss"]
        losses = f"{curve[0]:.4f} -> {curve[-1]:.4f}" if curve else "-"
        recall = f"{result['recall']:.1%}" if curve else "-"
        sizes = f"{result['resident']:6.2f} GB {result['address space']:11.2f} GB"
        print(f"{name:8} {losses:>18} {recall:>9} {sizes}  {result['outcome']}")


def main() -> None:
    """Start a process for each loss, and collect and print the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit", type=float, default=2.0, help="address space of each process in GB (2)")
    parser.add_argument("--rows", type=int, default=15 * TRAINED, help="pairs of the one batch (22500)")
    parser.add_argument("--steps", type=int, default=20, help="steps on that batch (20)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--only", choices=LOSSES, help=argparse.SUPPRESS)  # for the child processes
    options = parser.parse_args()
    if options.only:
        print(json.dumps(train(options.only, options)))
        return
    results = {}
    for name in LOSSES:
        command = [sys.executable, *sys.argv, "--only", name]
        results[name] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    if options.json:
        print(json.dumps(results))
    else:
        print(f"{options.rows} pairs as one batch, in {options.limit:g} GB of address space:")
        report(results)


if __name__ == "__main__":
    main()

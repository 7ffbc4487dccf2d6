"""Two towers in plain PyTorch, in one process or several: `python examples/contrastive_towers.py --ranks 2`.

Each rank has its part of every batch. With `group=` the loss is that of the whole batch, and with
`DistributedDataParallel` the gradients are too. So the loss curve is the same for any number of ranks.
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from contrastive_digits import BATCH, RATE, TRAINED, Towers, halves
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm


def train(rank: int, options: argparse.Namespace, meeting: str) -> None:
    """Run the epochs on this rank. The first rank shows the loss and writes it to a file."""
    if options.ranks > 1:
        torch.set_num_threads(1)
        dist.init_process_group(
            "gloo", init_method=f"file://{meeting}/ranks", rank=rank, world_size=options.ranks
        )
    towers = Towers(options.loss, group=dist.group.WORLD if options.ranks > 1 else None)
    model = DistributedDataParallel(towers) if options.ranks > 1 else towers
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    upper, lower = halves()
    curve = []
    with tqdm(range(options.epochs), desc=options.loss, unit="epoch", disable=rank > 0) as epochs:
        for epoch in epochs:
            order = torch.randperm(TRAINED, generator=torch.Generator().manual_seed(epoch))
            for batch in order.split(BATCH):
                part = batch.tensor_split(options.ranks)[rank]
                loss = model(upper[part], lower[part])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                curve.append(loss.item())  # of the whole batch, on every rank
            epochs.set_postfix(loss=f"{curve[-1]:.4f}")
    if rank == 0:
        if options.curve:
            options.curve.write_text(json.dumps(curve))
        print(f"loss {curve[0]:.4f} -> {curve[-1]:.4f}; of 297 new images", end=" ")
        print(f"{towers.recall():.1%} find their other half, {towers.recall(at=5):.1%} among five")
    if options.ranks > 1:
        dist.destroy_process_group()


def main() -> None:
    """Read the command line and start the ranks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=60, help="passes over the images (60)")
    parser.add_argument("--loss", choices=["softmax", "sigmoid"], default="softmax", help="as CLIP or SigLIP")
    parser.add_argument("--ranks", type=int, default=1, help="processes that share each batch (1)")
    parser.add_argument("--curve", type=Path, help="write the losses here, as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as meeting:
        if options.ranks == 1:
            train(0, options, meeting)
        else:
            torch.multiprocessing.spawn(train, (options, meeting), options.ranks)


if __name__ == "__main__":
    main()

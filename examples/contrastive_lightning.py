"""The two towers in Lightning, by default in bfloat16: `python examples/contrastive_lightning.py`."""

import argparse
import logging

import lightning
import torch
from contrastive_digits import BATCH, RATE, TRAINED, Towers, halves
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset


class Matching(lightning.LightningModule):
    """The module that Lightning trains: the towers, their loss and the optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.towers = Towers()

    def on_fit_start(self) -> None:
        """Set the process group of the loss, if the trainer has started several processes."""
        if self.trainer.world_size > 1:
            self.towers.loss.group = torch.distributed.group.WORLD

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """Return the loss of a batch. The trainer has turned autocast on."""
        loss = self.towers(*batch)
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.AdamW(self.parameters(), lr=RATE)


def main() -> None:
    """Train, and print the loss and the recall."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=60, help="passes over the images (60)")
    parser.add_argument("--precision", default="bf16-mixed", help="Lightning's name of it (bf16-mixed)")
    parser.add_argument("--ranks", type=int, default=1, help="processes that share each batch (1)")
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    lightning.seed_everything(0, verbose=False)
    data = TensorDataset(*(half[:TRAINED] for half in halves()))
    model = Matching()
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=options.ranks,
        strategy="ddp_spawn" if options.ranks > 1 else "auto",
        precision=options.precision,
        max_epochs=options.epochs,
        callbacks=[TQDMProgressBar()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.fit(model, DataLoader(data, batch_size=BATCH // options.ranks, shuffle=True))
    loss = trainer.callback_metrics["loss"]
    print(f"{options.precision}: loss {loss:.4f}, recall@1 {model.towers.recall():.1%} of 297 new images")


if __name__ == "__main__":
    main()

"""The two towers in Hugging Face's Trainer, in bfloat16: `python examples/contrastive_trainer.py`."""

import argparse
import tempfile

import torch
from contrastive_digits import BATCH, RATE, TRAINED, Towers, halves
from torch import Tensor
from transformers import Trainer, TrainingArguments


class ForTrainer(Towers):
    """The towers, whose forward returns the dictionary that the trainer needs."""

    def forward(self, upper: Tensor, lower: Tensor) -> dict[str, Tensor]:
        """Return the loss of a batch. The trainer has turned autocast on."""
        return {"loss": super().forward(upper, lower)}


def main() -> None:
    """Train, and print the mean loss and the recall."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=60, help="passes over the images (60)")
    parser.add_argument("--precision", choices=["bf16", "float32"], default="bf16", help="of products (bf16)")
    options = parser.parse_args()
    model = ForTrainer()
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output,
            use_cpu=True,
            bf16=options.precision == "bf16",
            num_train_epochs=options.epochs,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            save_strategy="no",
            logging_steps=30,
            report_to="none",
        )
        if torch.distributed.is_initialized():  # by `TrainingArguments`, if torchrun started this process
            model.loss.group = torch.distributed.group.WORLD
        upper, lower = (half[:TRAINED] for half in halves())
        data = [{"upper": u, "lower": v} for u, v in zip(upper, lower, strict=True)]
        trained = Trainer(model, arguments, train_dataset=data).train()
    loss = f"mean loss {trained.training_loss:.4f}"
    print(f"{options.precision}: {loss}, recall@1 {model.recall():.1%} of 297 new images")


if __name__ == "__main__":
    main()

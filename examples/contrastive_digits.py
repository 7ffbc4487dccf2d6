"""Shared parts of the contrastive examples: digits cut into two halves, and a tower for each half.

The upper half of each of scikit-learn's images is an anchor. Its lower half is the positive. The lower halves
of all other images of the batch are negatives. They play the roles of images and captions in CLIP.
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from cosgrad.torch import pairwise_cosine_similarity
from cosgrad.torch.nn import ContrastiveLoss, SigmoidContrastiveLoss

TRAINED, BATCH, HALF, WIDTH, CODE = 1500, 500, 32, 256, 64
RATE = 2e-3


def halves() -> tuple[Tensor, Tensor]:
    """Return the upper and the lower halves of the images, each (1797, 32) in [0, 1]."""
    images = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    return images[:, :HALF], images[:, HALF:]


def tower() -> nn.Sequential:
    """Return an encoder of halves. The loss does not need its codes to be normalised.

    Its activation is smooth. At a kink, as that of ReLU, the last bit of a sum can choose the side and so
    change the whole loss curve.
    """
    return nn.Sequential(nn.Linear(HALF, WIDTH), nn.GELU(), nn.Linear(WIDTH, CODE))


class Towers(nn.Module):
    """Two encoders and the loss between them. The temperature of the loss is learned too.

    Args:
        loss: "softmax" or "sigmoid".
        group: The ranks that share the batch.
    """

    def __init__(self, loss: str = "softmax", group: torch.distributed.ProcessGroup | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.upper, self.lower = tower(), tower()
        kind = ContrastiveLoss if loss == "softmax" else SigmoidContrastiveLoss
        self.loss = kind(learnable=True, group=group)

    def forward(self, upper: Tensor, lower: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return self.loss(self.upper(upper), self.lower(lower))

    @torch.no_grad()
    def recall(self, at: int = 1) -> float:
        """Return how often the right half is among the `at` nearest, for the 297 images of the test set."""
        upper, lower = (half[TRAINED:] for half in halves())
        S = pairwise_cosine_similarity(self.upper(upper), self.lower(lower))
        found = S.topk(at).indices == torch.arange(len(S))[:, None]
        return float(found.any(1).float().mean())

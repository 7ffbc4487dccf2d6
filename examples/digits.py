"""Shared parts of the digits examples: data, initial parameters, training loop, progress and final test.

Each digit has a code, which is a direction. An encoder of two layers is trained to minimise the mean cosine
distance between its output and the code of the image's digit. The training is plain gradient descent on
batches in a fixed order. So every framework does the same arithmetic, and the loss curves differ only by
rounding in float32.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from tqdm import tqdm

WIDTH, CODE, BATCH, RATE = 64, 16, 128, 2.0
Parameters = list[np.ndarray]


class Digits:
    """scikit-learn's 1797 images of 8x8 pixels and a random code per digit. The last 297 are the test set."""

    def __init__(self) -> None:
        images, digits = load_digits(return_X_y=True)
        rng = np.random.default_rng(0)
        self.codes = rng.standard_normal((10, CODE)).astype(np.float32)
        self.x = (images / 16).astype(np.float32)
        self.digits = digits
        self.start: Parameters = [
            (rng.standard_normal((64, WIDTH)) / 8).astype(np.float32),
            np.zeros(WIDTH, np.float32),
            (rng.standard_normal((WIDTH, CODE)) / 8).astype(np.float32),
            np.zeros(CODE, np.float32),
        ]

    def batches(self) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Yield images and the codes of their digits, the targets of the encoder."""
        for i in range(0, 1500, BATCH):
            yield self.x[i : i + BATCH], self.codes[self.digits[i : i + BATCH]]

    def accuracy(self, encode: Callable[[np.ndarray], np.ndarray]) -> float:
        """Return the fraction of test images whose code with the smallest angle is that of their digit."""
        z = np.asarray(encode(self.x[1500:]))
        units = self.codes / np.linalg.norm(self.codes, axis=1, keepdims=True)
        return float(np.mean(np.argmax(z @ units.T, axis=1) == self.digits[1500:]))


def train(
    name: str,
    step: Callable[[np.ndarray, np.ndarray], float],
    encode: Callable[[np.ndarray], np.ndarray],
    data: Digits,
) -> None:
    """Train for the number of epochs on the command line, and show the loss. `--curve` writes it to a file.

    Args:
        name: The name of the framework.
        step: Takes one step on a batch of images and codes, and returns the loss before the step.
        encode: The encoder. Its argument is a batch of images.
        data: The digits.
    """
    parser = argparse.ArgumentParser(description=f"Teach an encoder of digits the cosine, in {name}.")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the images (30)")
    parser.add_argument("--curve", type=Path, help="write the losses here, as JSON")
    options = parser.parse_args()
    curve = []
    with tqdm(range(options.epochs), desc=name, unit="epoch") as epochs:
        for _ in epochs:
            curve.append(float(np.mean([step(x, y) for x, y in data.batches()])))
            epochs.set_postfix(loss=f"{curve[-1]:.6f}")
    if options.curve:
        options.curve.write_text(json.dumps(curve))
    print(f"loss {curve[0]:.6f} -> {curve[-1]:.6f}, accuracy on new images {data.accuracy(encode):.3f}")

"""What the digits examples share: data, starting point, schedule, progress, and the test at the end.

An encoder of two layers learns to point at a code, one direction per digit: it minimises the mean cosine
distance between its output and the code of the image's digit, by plain gradient descent on batches in a fixed
order. So every framework does the same arithmetic, and the curves agree but for float32's rounding.
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
    """scikit-learn's 1797 images of 8x8, the last 297 kept for the test, and a random direction per digit."""

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
        """Yield images and the codes that their vectors should point at."""
        for i in range(0, 1500, BATCH):
            yield self.x[i : i + BATCH], self.codes[self.digits[i : i + BATCH]]

    def accuracy(self, encode: Callable[[np.ndarray], np.ndarray]) -> float:
        """Return how often the code nearest in angle is that of the digit, over images not trained on."""
        z = np.asarray(encode(self.x[1500:]))
        units = self.codes / np.linalg.norm(self.codes, axis=1, keepdims=True)
        return float(np.mean(np.argmax(z @ units.T, axis=1) == self.digits[1500:]))


def train(
    name: str,
    step: Callable[[np.ndarray, np.ndarray], float],
    encode: Callable[[np.ndarray], np.ndarray],
    data: Digits,
) -> None:
    """Run the epochs asked for on the command line, showing the loss; `--curve` writes it down.

    Args:
        name: Of the framework.
        step: One step on a batch of images and codes; returns the loss before it.
        encode: The encoder, of images.
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

"""Tests of the contrastive losses' reference implementation against central differences in long double."""

from functools import partial

import contrastive_oracle as oracle
import numpy as np
import pytest

LABELS = np.array([0, 1, 0, 2, 3, 1])
IGNORE = np.random.default_rng(5).random((6, 6)) < 0.3
CASES = {
    "symmetric": (oracle.contrastive, 2, {"temperature": 0.3}),
    "one way, wide": (oracle.contrastive, 2, {"temperature": 0.3, "symmetric": False}),
    "labels": (
        oracle.contrastive,
        2,
        {"labels_x": LABELS, "labels_y": LABELS[::-1], "temperature": 0.2},
    ),
    "ignore": (
        oracle.contrastive,
        2,
        {"labels_x": LABELS, "labels_y": LABELS[::-1], "ignore": IGNORE, "temperature": 2.0},
    ),
    "views": (oracle.nt_xent, 1, {"temperature": 0.5}),
    "supervised": (oracle.nt_xent, 1, {"labels": LABELS, "temperature": 0.5}),
    "sigmoid": (oracle.sigmoid_contrastive, 2, {"scale": 3.0, "bias": -1.0}),
}


@pytest.mark.parametrize("name", list(CASES))
def test_gradients_beside_differences(
    name: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oracle, "_as_float64", lambda *values: values)
    function, count, options = CASES[name]
    arrays = [rng.standard_normal((6 + 2 * (name == "one way, wide") * i, 4)) for i in range(count)]
    scalars = [key for key in ("temperature", "scale", "bias") if key in options]
    _, *gradients = function(*arrays, **options)
    directions = [rng.standard_normal(a.shape) for a in arrays] + [rng.standard_normal() for _ in scalars]
    # The error of the differences is about h^4 times the fifth derivative, plus a rounding error of 1e-19 /
    # h.
    h = 2.0**-14

    def along(t: float) -> float:
        moved = [a + t * d for a, d in zip(arrays, directions, strict=False)]
        steps = zip(scalars, directions[count:], strict=True)
        return partial(function, *moved)(**options | {key: options[key] + t * d for key, d in steps})[0]

    difference = (8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12 * h)
    slope = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
    assert abs(difference - slope) < 1e-10 * (1 + abs(slope))


def test_the_definition_by_hand() -> None:
    x, y = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[3.0, 0.0], [1.0, 1.0]])
    S = np.array([[1, np.sqrt(0.5)], [0, np.sqrt(0.5)]])
    rows = -np.log(np.diag(np.exp(S)) / np.exp(S).sum(1))
    columns = -np.log(np.diag(np.exp(S)) / np.exp(S).sum(0))
    assert oracle.contrastive(x, y, temperature=1.0)[0] == pytest.approx((rows.mean() + columns.mean()) / 2)
    assert oracle.contrastive(x, y, temperature=1.0, symmetric=False)[0] == pytest.approx(rows.mean())
    pairs = np.log1p(np.exp([[-S[0, 0], S[0, 1]], [S[1, 0], -S[1, 1]]]))
    assert oracle.sigmoid_contrastive(x, y, scale=1.0, bias=0.0)[0] == pytest.approx(pairs.sum() / 2)

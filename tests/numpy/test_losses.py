"""Tests of the losses: reductions, weights, targets."""

import numpy as np
import pytest

import cosgrad.numpy as C

LABELS = np.array([[1.0, 4, 5], [5, 5, 7]])
PREDICTIONS = np.array([[3.0, 2, 5], [3, 2, 7]])
# By hand these are 1 - 36/sqrt(42*38) and 1 - 74/sqrt(99*62).
D = np.array([1 - 36 / 1596**0.5, 1 - 74 / 6138**0.5])


def test_the_tutorials_tensors():
    loss = C.cosine_distance_loss(LABELS, PREDICTIONS)
    assert abs(loss - 0.0771687014521354702) < 1e-17
    assert abs(C.cosine_distance_loss(LABELS.astype(np.float32), PREDICTIONS) - loss) < 1e-17
    assert C.cosine_distance_loss(LABELS, PREDICTIONS, assume_normalized=True) == -54


@pytest.mark.parametrize(
    ("reduction", "weights", "expected"),
    [
        ("none", None, D),
        ("sum", None, D.sum()),
        ("mean", None, D.mean()),
        ("weighted_mean", None, D.mean()),
        ("nonzero_mean", None, D.mean()),
        ("none", [2.0, 0.5], D * [2, 0.5]),
        ("sum", [2.0, 0.5], 2 * D[0] + D[1] / 2),
        ("mean", [2.0, 0.5], (2 * D[0] + D[1] / 2) / 2),
        ("weighted_mean", [2.0, 0.5], (2 * D[0] + D[1] / 2) / 2.5),
        ("weighted_mean", 3.0, D.mean()),
        ("nonzero_mean", [2.0, 0.0], 2 * D[0]),
        ("weighted_mean", [0.0, 0.0], 0),
        ("nonzero_mean", 0.0, 0),
    ],
)
def test_reductions(reduction, weights, expected):
    loss = C.cosine_distance_loss(LABELS, PREDICTIONS, weights=weights, reduction=reduction)
    np.testing.assert_allclose(loss, expected, rtol=1e-14)


@pytest.mark.parametrize("reduction", ["sum", "mean", "weighted_mean", "nonzero_mean"])
def test_over_nothing_the_loss_is_zero(reduction):
    assert C.cosine_distance_loss(np.ones((0, 3)), np.ones((0, 3)), reduction=reduction) == 0


def test_a_weight_of_zero_excludes_its_row():
    labels = LABELS.copy()
    labels[0, 0] = np.nan
    loss = C.cosine_distance_loss(labels, PREDICTIONS, weights=[0, 1], reduction="sum")
    assert loss == C.cosine_distance(LABELS, PREDICTIONS)[1]
    assert np.isnan(C.cosine_distance_loss(labels, PREDICTIONS))


def test_embedding_loss():
    losses = C.cosine_embedding_loss(LABELS, PREDICTIONS, [1, -1], margin=0.5, reduction="none")
    np.testing.assert_allclose(losses, [D[0], 1 - D[1] - 0.5], rtol=1e-14)
    assert C.cosine_embedding_loss(LABELS, -PREDICTIONS, -1) == 0

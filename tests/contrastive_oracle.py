"""A reference implementation of the contrastive losses: dense matrices in long double, no tiles.

Every function takes NumPy arrays and returns the loss and its gradients in float64. The formulas are the
textbook's, with one exception: p - 1 of a likely positive is computed as minus the sum of the other
probabilities.
"""

from typing import Any

import numpy as np

Real = np.longdouble


def contrastive(
    x: np.ndarray,
    y: np.ndarray,
    *,
    labels_x: Any = None,
    labels_y: Any = None,
    ignore: Any = None,
    temperature: float = 0.07,
    symmetric: bool = True,
) -> tuple[float, np.ndarray, np.ndarray, float]:
    """Return the loss and its gradients in x, y and the temperature."""
    n, m = len(x), len(y)
    positive = np.eye(n, m, dtype=bool) if labels_x is None else _equal(labels_x, labels_y)
    allowed = np.ones((n, m), bool) if ignore is None else ~np.asarray(ignore, bool)
    (u, back_x), (v, back_y) = _units(x, allowed.any(1)), _units(y, allowed.any(0))
    z = u @ v.T / Real(temperature)
    loss, W = _rows(z, allowed, positive & allowed)
    if symmetric:
        columns, W_columns = _rows(z.T, allowed.T, positive.T & allowed.T)
        loss, W = (loss + columns) / 2, (W + W_columns.T) / 2
    gx, gy = back_x(W @ v / temperature), back_y(W.T @ u / temperature)
    return _as_float64(loss, gx, gy, _slope(W, z, temperature))


def nt_xent(
    z: np.ndarray, labels: Any = None, *, temperature: float = 0.07
) -> tuple[float, np.ndarray, float]:
    """Return the loss and its gradients in z and the temperature."""
    n = len(z)
    partner = (np.arange(n) + n // 2) % max(n, 1)
    positive = partner[:, None] == np.arange(n) if labels is None else _equal(labels, labels)
    allowed = ~np.eye(n, dtype=bool)
    u, back = _units(z, np.ones(n, bool))
    logits = u @ u.T / Real(temperature)
    loss, W = _rows(logits, allowed, positive & allowed)
    return _as_float64(loss, back((W + W.T) @ u / temperature), _slope(W, logits, temperature))


def sigmoid_contrastive(
    x: np.ndarray, y: np.ndarray, *, scale: float = 10.0, bias: float = -10.0
) -> tuple[float, np.ndarray, np.ndarray, float, float]:
    """Return the loss and its gradients in x, y, the scale and the bias."""
    n, m = len(x), len(y)
    (u, back_x), (v, back_y) = _units(x, np.ones(n, bool)), _units(y, np.ones(m, bool))
    S = u @ v.T
    sign = np.where(np.eye(n, m, dtype=bool), Real(1), Real(-1))
    # Each pair is a binary choice of probability 1 / (1 + exp(-a)).
    a = sign * (Real(scale) * S + Real(bias))
    loss = np.logaddexp(Real(0), -a).sum() / max(n, 1)
    W = -sign * np.exp(-np.logaddexp(Real(0), a)) / max(n, 1)
    return _as_float64(loss, back_x(scale * W @ v), back_y(scale * W.T @ u), (W * S).sum(), W.sum())


def _equal(a: Any, b: Any) -> np.ndarray:
    return np.asarray(a)[:, None] == np.asarray(b)[None, :]


def _units(x: np.ndarray, used: np.ndarray) -> Any:
    """Return the unit vectors, and a function that maps a gradient in them to the gradient in x.

    Rows that are not used count as zero.
    """
    x = np.where(used[:, None], np.asarray(x).astype(np.float64), 0).astype(Real)
    norm = np.sqrt((x * x).sum(1, keepdims=True))
    safe = np.where(norm == 0, 1, norm)
    u = x / safe
    return u, lambda g: np.where(norm == 0, 0, (g - (g * u).sum(1, keepdims=True) * u) / safe)


def _rows(z: np.ndarray, allowed: np.ndarray, positive: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return the mean loss of the rows that have a positive, and its gradient in z.

    The loss of a row is the mean of -log p over its positives.
    """
    count = positive.sum(1)
    rows = count > 0
    z, allowed, positive, count = z[rows], allowed[rows], positive[rows], count[rows][:, None]
    W = np.zeros((len(rows), z.shape[1]), Real)
    if not len(z):
        return Real(0), W
    z = np.where(allowed, z, -np.inf)
    top = z.max(1, keepdims=True)
    e = np.exp(z - top)
    total = e.sum(1, keepdims=True)
    minus_log = np.log(total) + top - np.where(positive, z, 0)
    loss = (np.where(positive, minus_log, 0).sum(1, keepdims=True) / count).mean()
    p = e / total
    of_positives = np.where(positive, p, 0).sum(1, keepdims=True)
    of_negatives = np.where(positive, 0, p).sum(1, keepdims=True)
    # This is p - 1 / count, because all probabilities add to 1.
    likely = (count * p - of_positives - of_negatives) / count
    W[rows] = np.where(positive, likely, p) / len(z)
    return loss, W


def _slope(W: np.ndarray, z: np.ndarray, temperature: float) -> Any:
    return -(W * z).sum() / Real(temperature)


def _as_float64(loss: Any, *gradients: Any) -> Any:
    return float(loss), *(np.asarray(g, np.float64)[()] for g in gradients)

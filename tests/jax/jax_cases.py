"""Helpers of the JAX tests: the functions under test, their inputs, and comparisons."""

from collections.abc import Callable

import held
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import cosgrad.jax as C
from cosgrad.verify import inputs
from cosgrad.verify.bounds import Bound


def _loss(**options: object) -> Callable[[Array, Array], Array]:
    return lambda x, y: C.cosine_distance_loss(x, y, **options)


WEIGHTS = np.array([0.5, 2.0, 0.0, 1.0])
TARGET = np.array([1, -1, -1, 1])

FUNCTIONS: dict[str, Callable[[Array, Array], Array]] = {
    "similarity": C.cosine_similarity,
    "similarity, eps in force": lambda x, y: C.cosine_similarity(x, y, eps=2.0),
    "distance": lambda x, y: C.cosine_distance(x, y, keepdims=True),
    "normalize": lambda x, y: C.normalize(x, axis=0) * y,
    "mean loss": _loss(),
    "weighted loss": _loss(weights=WEIGHTS, reduction="weighted_mean"),
    "unreduced loss": _loss(weights=WEIGHTS, reduction="none"),
    "loss of unit vectors": _loss(assume_normalized=True, weights=WEIGHTS, reduction="nonzero_mean"),
    "embedding loss": lambda x, y: C.cosine_embedding_loss(x, y, TARGET, margin=-0.3, reduction="sum"),
}


def matrices(rng: np.random.Generator, n: int = 5) -> tuple[Array, Array]:
    """Return two (4, n) matrices of normal random numbers in float64."""
    x, y = rng.standard_normal((2, 4, n))
    return jnp.asarray(x), jnp.asarray(y)


def plain(x: Array, y: Array) -> Array:
    """Return the similarity by its definition, in JAX's operations."""
    return (x * y).sum(-1) / jnp.sqrt((x * x).sum(-1) * (y * y).sum(-1))


def same(got: object, expected: object) -> None:
    """Check that two trees have equal bits, shapes and dtypes. Any NaN equals any other."""
    a, b = jax.tree.leaves(got), jax.tree.leaves(expected)
    assert len(a) == len(b)
    for s, t in zip(map(np.asarray, a), map(np.asarray, b), strict=True):
        assert (s.shape, s.dtype) == (t.shape, t.dtype)
        np.testing.assert_array_equal(s.astype(np.float64), t.astype(np.float64))
        np.testing.assert_array_equal(np.signbit(s) & ~np.isnan(s), np.signbit(t) & ~np.isnan(t))


def close(got: object, expected: object, rtol: float = 1e-11, atol: float = 1e-13) -> None:
    """Check that two trees are equal up to the rounding of float64."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), got, expected)


def check(batch: inputs.Batch, got: Array, true: list, scale: list, bound: Bound) -> None:
    """Call `held.check` with an array of JAX."""
    held.check(batch, np.asarray(got, np.float64).ravel(), true, scale, bound)

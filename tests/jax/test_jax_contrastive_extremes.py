"""Tests of contrastive losses at the ends of every range.

A result is NaN only if a row that counts is not finite.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cosgrad.jax as C

SAME, OTHERS = np.zeros(4, int), ~np.eye(4, dtype=bool)
COLD = {
    "symmetric": lambda x, y, t: C.contrastive_loss(x, y, temperature=t),
    "one class": lambda x, y, t: C.contrastive_loss(x, y, labels_x=SAME, labels_y=SAME, temperature=t),
    "no negatives": lambda x, y, t: C.contrastive_loss(x, y, ignore=OTHERS, temperature=t),
    "views": lambda x, y, t: C.nt_xent_loss(x, temperature=t),
}


def batches(rng):
    x, y = rng.standard_normal((2, 4, 8)).astype(np.float32)
    zero = x.copy()
    zero[0] = 0
    return [(x, y), (x, x), (x, -x), (zero, y), (np.tile(x[:1], (4, 1)), y)]


def no_nan(tree):
    assert not any(jnp.isnan(a).any() for a in jax.tree.leaves(tree))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("name", list(COLD))
def test_no_temperature_gives_nan(name, wide, rng):
    with jax.enable_x64(wide):
        f = jax.jit(jax.value_and_grad(COLD[name], (0, 1, 2)))
        for x, y in batches(rng):
            for t in (1e-3, 1e-20, 1e-38, 1e-45):
                no_nan(f(x, y, np.float32(t)))
            no_nan(f(x, y, 5e-324 if wide else np.float32(1e-45)))
        no_nan(jax.hessian(COLD[name])(x, y, 0.003))


def test_a_cold_batch_without_a_tie(rng):
    """Check the loss at a very low temperature, where one column of each row is clearly the closest.

    The loss is the missing similarity over the temperature, and 0 if the positive is the closest.
    """
    x, y = np.eye(4, dtype=np.float32), np.roll(np.eye(4, dtype=np.float32), 1, 0)
    t = np.float32(2.0**-120)
    assert COLD["symmetric"](x, x, t) == 0
    assert COLD["symmetric"](x, y, t) == 2.0**120


@pytest.mark.parametrize("wide", [False, True])
def test_no_scale_gives_nan(wide, rng):
    with jax.enable_x64(wide):
        f = jax.jit(
            jax.value_and_grad(
                lambda x, y, s, b: C.sigmoid_contrastive_loss(x, y, scale=s, bias=b), (0, 1, 2, 3)
            )
        )
        for x, y in batches(rng):
            for scale in (0.0, -5.0, 117.0, 1e30, 3e38, -3e38, *([1e300] if wide else [])):
                for bias in (0.0, -12.0, -1e30, 3e38):
                    no_nan(f(x, y, scale, bias))


def test_a_nan_row_without_a_positive_does_not_count(rng):
    (x, y), *_ = batches(rng)
    ignore = np.zeros((4, 4), bool)
    ignore[1, 1] = True
    f = jax.value_and_grad(lambda x: C.contrastive_loss(x, y, ignore=ignore, symmetric=False))
    want = f(x)
    assert not want[1][1].any()
    x[1] = np.nan
    for a, b in zip(f(x), want, strict=True):
        np.testing.assert_array_equal(a, b)

"""Tests that inputs match their description, are reproducible and exact, and that layouts keep the values."""

from __future__ import annotations

import numpy as np
import pytest

from cosgrad.verify import inputs, layouts
from cosgrad.verify.ulp import FORMATS, round_to

DTYPES = list(FORMATS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", inputs.FAMILIES)
@pytest.mark.parametrize("n", [1, 2, 17])
def test_exact_finite_and_reproducible(family, n, dtype):
    make = inputs.FAMILIES[family]
    batch = make(7, n, dtype)
    for a in (batch.x, batch.y, batch.g, batch.u, batch.v):
        np.testing.assert_array_equal(round_to(a, dtype), a)
        assert np.isfinite(a).all()
    again = make.__wrapped__(7, n, dtype)
    np.testing.assert_array_equal(batch.x, again.x)
    np.testing.assert_array_equal(batch.g, again.g)
    if n > 2:
        assert not np.array_equal(batch.y, make(8, n, dtype).y)
    assert (batch.x.any(axis=1) | (family == "extreme scales" and n == 1)).all()
    assert f"n {n} row 0" in batch.describe(0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ordinary_range(dtype):
    batch = inputs.ordinary(0, 100, dtype)
    for pair in batch.pairs:
        assert 0.99e-4 <= pair.norm_x <= 1.01e4
        assert 0.99e-4 <= pair.norm_y <= 1.01e4
        assert 0.99e-2 <= pair.angle <= 3.131
    angles = sorted(float(p.angle) for p in batch.pairs)
    assert angles[0] < 0.011
    assert angles[-1] > 3.12
    assert (batch.x < 0).any()


def test_near_parallel_is():
    angles = [float(p.angle) for p in inputs.near(0, 768, "float64").pairs]
    np.testing.assert_allclose(angles[:6], inputs.NEAR, rtol=1e-6)
    np.testing.assert_allclose(np.pi - np.array(angles[6:]), inputs.NEAR, rtol=1e-4)


def test_cancelling_cancels():
    pairs = inputs.cancelling(0, 768, "float64").pairs
    terms = [abs(float(p.d)) / float(p.norm_x * p.norm_y) for p in pairs]
    assert min(terms) < 1e-12


def test_subnormal_is():
    batch = inputs.subnormal(0, 16, "float32")
    assert np.abs(batch.x).max() < 2.0**-126


@pytest.mark.parametrize("name", layouts.NAMES)
def test_layouts_hold_the_values(name):
    a = np.random.default_rng(0).standard_normal((5, 7))
    lie = layouts.lay(a, name, "float64")
    expected = np.broadcast_to(a[0], a.shape) if name == "broadcast" else a
    np.testing.assert_array_equal(lie.view(), expected)
    if name != "offset":
        assert not np.array_equal(lie.misread(), expected)


def test_unknown_layout():
    with pytest.raises(ValueError, match="'sideways' is none of"):
        layouts.lay(np.ones((2, 2)), "sideways", "float64")

"""Tests of the oracle against values by hand, and of its closed forms against independent differences."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest

from cosgrad.verify import differences, oracle

# The differences are right to about 80 digits, and the oracle rounds to 77 digits.
DIGITS = 70


def near(got, true, scale=1):
    got, true = (t if isinstance(t, list) else [t] for t in (got, true))
    assert len(got) == len(true)
    for a, b in zip(got, true, strict=True):
        assert abs(oracle.mp.mpf(b) - a) <= oracle.mp.mpf(10) ** -DIGITS * scale, (a, b)


def exact(numerator, denominator):
    return oracle.mp.mpf(numerator) / denominator


def test_by_hand():
    x, y = [1, 2, 2], [2, -1, 2]
    assert oracle.similarity(x, y) == exact(4, 9)
    near(oracle.distance(x, y), exact(5, 9))
    gx, gy = oracle.gradient(x, y)
    near(gx, [exact(k, 81) for k in (14, -17, 10)])
    near(gy, [exact(k, 81) for k in (1, 22, 10)])
    near(oracle.gradient(x, y, -2.0)[0], [exact(-2 * k, 81) for k in (14, -17, 10)])
    near(oracle.total_derivative(x, y, [1, 0, -1], [1, 0, 1]), exact(5, 27))


def test_second_derivative_by_hand():
    # S does not change along x, so dS/dy does not either. dS/dx shrinks as 1/|x|.
    hx, hy = oracle.hessian_product([1, 0], [0, 1], [1, 0], [0, 0])
    near(hx, [0, -1])
    near(hy, [0, 0])


def test_tutorial_loss():
    rows = [([1, 4, 5], [3, 2, 5]), ([5, 5, 7], [3, 2, 7])]
    loss = oracle.reduce([oracle.distance(*r) for r in rows])
    assert mpmath.nstr(loss, 6) == "0.0771687"


@pytest.mark.parametrize("eps", [0.0, 1e-3, 3.0, 40.0], ids=lambda e: f"eps={e}")
@pytest.mark.parametrize("n", [1, 2, 5])
def test_closed_forms_against_differences(n, eps):
    x, y, u, v = np.random.default_rng([n, int(eps)]).standard_normal((4, n)) * 3
    near(oracle.similarity(x, y, eps), differences.definition(*map(differences.numbers, (x, y)), eps))
    near(oracle.distance(x, y, eps), 1 - differences.definition(*map(differences.numbers, (x, y)), eps))
    for got, true in zip(oracle.gradient(x, y, eps=eps), differences.gradient(x, y, eps), strict=True):
        near(got, true)
    near(oracle.total_derivative(x, y, u, v, eps), differences.directional(x, y, u, v, eps))
    second = differences.hessian_product(x, y, u, v, eps)
    for got, true in zip(oracle.hessian_product(x, y, u, v, eps=eps), second, strict=True):
        near(got, true)


@pytest.mark.parametrize("scale", [2.0**-1060, 1e-38, 1e38, 1e300])
def test_any_scale_against_differences(scale):
    x, y = np.random.default_rng(5).standard_normal((2, 3))
    x = x * scale
    for got, true, size in zip(
        oracle.gradient(x, y), differences.gradient(x, y), (1 / scale, 1), strict=True
    ):
        near(got, true, oracle.mp.mpf(size))


def test_distance_keeps_its_digits():
    # x = (1, t), y = (1, 0): S = 1/sqrt(1 + t^2), so D = t^2/2 - 3 t^4/8 + ...
    t = oracle.mp.mpf(2) ** -500
    assert oracle.distance([1, 2.0**-500], [1, 0]) / (t * t / 2) == 1
    assert oracle.distance([1, 2, 3], [3, 6, 9]) == 0
    assert oracle.distance([1, 2, 3], [-3, -6, -9]) == 2


def test_zero_empty_and_not_finite():
    assert oracle.similarity([0, 0], [1, 2]) == 0
    assert oracle.distance([1, 2], [0, 0]) == 1
    assert oracle.gradient([0, 0], [1, 2]) == ([0, 0], [0, 0])
    assert oracle.similarity([], []) == 0
    assert oracle.distance([], []) == 1
    assert oracle.gradient([], []) == ([], [])
    for bad in (np.nan, np.inf):
        assert oracle.mp.isnan(oracle.similarity([bad, 0], [0, 0]))
        assert all(oracle.mp.isnan(t) for t in oracle.gradient([bad, 1], [1, 2])[1])


def test_zero_with_eps():
    gx, gy = oracle.gradient([0.0, 0.0], [3.0, 4.0], eps=0.25)
    near(gx, [exact(12, 5), exact(16, 5)])
    near(gy, [0, 0])


def test_floored_norm_is_a_constant():
    # |x| = 0.5 < eps = 1: S = <x, y>/|y|, linear in x
    gx, _ = oracle.gradient([0.5, 0.0], [3.0, 4.0], eps=1.0)
    near(gx, [exact(3, 5), exact(4, 5)])


def test_normalize():
    near(oracle.normalize([3, 4]), [exact(3, 5), exact(4, 5)])
    near(oracle.normalize([3, 4], eps=10), [exact(3, 10), exact(4, 10)])
    assert oracle.normalize([0, 0]) == [0, 0]
    # The derivative of x/|x| is 0 along x and 1/|x| across it.
    near(oracle.normalize_vjp([3, 4], [3, 4]), [0, 0])
    near(oracle.normalize_vjp([3, 4], [-4, 3]), [exact(-4, 5), exact(3, 5)])
    near(oracle.normalize_vjp([0, 0], [1, 2], eps=0.5), [2, 4])
    assert oracle.normalize_vjp([0, 0], [1, 2]) == [0, 0]


def test_embedding_loss_and_reductions():
    assert oracle.embedding_loss([3, 4], [4, 3], 1) == oracle.distance([3, 4], [4, 3])
    near(oracle.embedding_loss([3, 4], [4, 3], -1, 0.5), exact(46, 100))
    assert oracle.embedding_loss([1, 0], [-1, 0], -1, 0.5) == 0
    losses = [oracle.mp.mpf(k) for k in (1, 2, 3, 4)]
    weights = [0.0, 1.0, 2.0, 1.0]
    assert oracle.reduce(losses) == oracle.mp.mpf("2.5")
    assert oracle.reduce(losses, weights, "sum") == 12
    assert oracle.reduce(losses, weights, "mean") == 3
    assert oracle.reduce(losses, weights, "weighted_mean") == 3
    assert oracle.reduce(losses, weights, "nonzero_mean") == 4
    assert oracle.reduce(losses, [0.0] * 4, "weighted_mean") == 0
    assert oracle.reduce([oracle.mp.nan, oracle.mp.mpf(2)], [0.0, 1.0], "sum") == 2


def test_long_vectors_are_exact():
    x = np.random.default_rng(1).standard_normal(100_000)
    p = oracle.Pair(x, x).p
    assert p == sum(Fraction(float(a)) ** 2 for a in x)

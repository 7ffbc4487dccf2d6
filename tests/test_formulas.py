"""Tests of the closed forms, with the operations of NumPy and PyTorch, against their published bounds."""

import math

import ml_dtypes
import numpy as np
import pytest
import ranges

from cosgrad import formulas
from cosgrad.numpy._arrays import OPS as NUMPY
from cosgrad.verify import bounds, inputs
from cosgrad.verify.ulp import FORMATS, errors

torch = pytest.importorskip("torch")
DTYPES = {name: np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name) for name in FORMATS}


class Numpy:
    """NumPy arrays. All computations are in float64."""

    ops = NUMPY

    def array(self, a, dtype):
        return np.asarray(a).astype(dtype)

    def numbers(self, a):
        return np.asarray(a, np.float64)


class Torch:
    """Tensors. Half types are computed in float32, the others in float64."""

    @property
    def ops(self):
        from cosgrad.torch._ops import OPS

        return OPS

    def array(self, a, dtype):
        return torch.tensor(np.asarray(a, np.float64)).to(getattr(torch, str(dtype)))

    def numbers(self, a):
        return a.double().numpy()


class Narrow(Torch):
    """Tensors on a device without float64."""

    @property
    def ops(self):
        from cosgrad.torch._ops import TorchOps

        class Ops(TorchOps):
            def widen(self, x):
                return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x

        return Ops()


FRAMEWORKS = {"numpy": Numpy(), "torch": Torch(), "narrow": Narrow()}


@pytest.fixture(params=list(FRAMEWORKS))
def frontend(request):
    return FRAMEWORKS[request.param]


@pytest.fixture(params=[2, 3, 16, 100, 4096])
def batch(request, dtype_name, seed):
    return inputs.ordinary(seed, request.param, dtype_name, 27)


@pytest.fixture
def xy(frontend, batch, dtype):
    return frontend.array(batch.x, dtype), frontend.array(batch.y, dtype)


def column(frontend, a, dtype):
    return frontend.array(a[:, None], dtype)


def test_similarity(frontend, batch, xy):
    """Check that S is within 8 ulp and 2^-20."""
    S = frontend.numbers(formulas.similarity(frontend.ops, *xy, 1, 0.0))[:, 0]
    true = np.array([float(t) for t in batch.similarities])
    ulp = 2 * FORMATS[batch.dtype].unit
    assert np.all(np.abs(S - true) <= 8 * ulp * np.abs(true) + 2.0**-20), f"seed {batch.seed}"


def test_distance(frontend, batch, xy):
    """Check the error bound of D.

    The relative error is at most 2^-22 over the angle, plus the rounding to the dtype.

    Without float64 the first term is twice as large. In float32 alone every arrangement of the sums that was
    tried exceeds 2^-22 by up to a half near 1.1 rad.
    """
    D = frontend.numbers(formulas.distance(frontend.ops, *xy, 1, 0.0))[:, 0]
    true = np.array([float(t) for t in batch.distances])
    angle = np.array([float(p.angle) for p in batch.pairs])
    f = FORMATS[batch.dtype]
    rounding = f.unit if f.digits < 24 else 0.0
    slack = 2 if isinstance(frontend, Narrow) else 1
    ordinary = angle > 1e-2
    excess = np.abs(D - true) - true * (slack * 2.0**-22 / angle + rounding) - f.least / 2
    assert np.all(excess[ordinary] <= 0), f"seed {batch.seed}"


@pytest.mark.parametrize("batch", [2, 3, 16, 100], indirect=True)
def test_derivatives(frontend, batch, xy, dtype):
    """Check that no derivative is less accurate than the plain formula in the dtype itself."""
    g, u, v = column(frontend, batch.g, dtype), frontend.array(batch.u, dtype), frontend.array(batch.v, dtype)
    bound = bounds.textbook(batch.dtype, batch.n)
    rows = [
        (formulas.gradient(frontend.ops, *xy, g, 1, 0.0), batch.gradients),
        (formulas.hessian_product(frontend.ops, *xy, u, v, g, 1, 0.0), batch.hessians),
    ]
    J = formulas.total_derivative(frontend.ops, *xy, u, v, 1, 0.0)
    pairs = [(got[k], truth.true[k], truth.scale[k]) for got, truth in rows for k in (0, 1)]
    ratios = [excess(frontend, batch, *p, bound) for p in (*pairs, (J, *batch.totals))]
    assert max(ratios) <= 1, f"{ratios}, seed {batch.seed}"


def excess(frontend, batch, got, true, scale, bound):
    measured = errors(frontend.numbers(got).ravel(), true, batch.dtype)
    return float(np.max(measured.ulp / bound.allowed(measured.in_ulp(scale))))


@pytest.fixture
def rows(frontend, dtype, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-5, 6, (2, 200, 17)) * 2.0 ** rng.integers(-8, 8, (2, 200, 1))
    return frontend.array(x, dtype), frontend.array(y, dtype)


def test_range(frontend, rows):
    """Check that |S| <= 1 and 0 <= D <= 2, and that parallel vectors have exactly S = 1 and D = 0."""
    x, y = rows
    similarity = lambda x, y: frontend.numbers(formulas.similarity(frontend.ops, x, y, 1, 0.0))  # noqa: E731
    distance = lambda x, y: frontend.numbers(formulas.distance(frontend.ops, x, y, 1, 0.0))  # noqa: E731
    assert np.all(np.abs(similarity(x, y)) <= 1)
    assert np.all((distance(x, y) >= 0) & (distance(x, y) <= 2))
    assert np.all(similarity(x, 3 * x) == 1)
    assert np.all(distance(x, 3 * x) == 0)
    assert np.all(similarity(x, -x / 2) == -1)
    assert np.all(distance(x, -x / 2) == 2)
    np.testing.assert_array_equal(similarity(x, y), similarity(y, x))
    np.testing.assert_array_equal(distance(x, y), distance(y, x))
    np.testing.assert_array_equal(distance(x, y), distance(x / 4, 8 * y))


@pytest.mark.parametrize("eps", [0.0, 1e-2])
@np.errstate(invalid="ignore")
def test_zero_and_non_finite_rows(frontend, dtype, eps):
    x = frontend.array([[0, 0], [0, 0], [np.nan, 0], [np.inf, 1], [1, 2]], dtype)
    y = frontend.array([[0, 0], [3, 4], [0, 0], [1, 2], [0, -np.inf]], dtype)
    S = frontend.numbers(formulas.similarity(frontend.ops, x, y, 1, eps))[:, 0]
    D = frontend.numbers(formulas.distance(frontend.ops, x, y, 1, eps))[:, 0]
    one = frontend.array(np.ones((5, 1)), dtype)
    gx, gy = (frontend.numbers(t) for t in formulas.gradient(frontend.ops, x, y, one, 1, eps))
    np.testing.assert_array_equal(S, [0, 0, math.nan, math.nan, math.nan])
    np.testing.assert_array_equal(D, [1, 1, math.nan, math.nan, math.nan])
    assert np.all(np.isnan(gx[2:]) & np.isnan(gy[2:]))
    expected = np.array([[0, 0], [0.6, 0.8]]) / eps if eps else np.zeros((2, 2))
    np.testing.assert_allclose(gx[:2], expected, rtol=2.0**-7 if eps else 0)
    assert np.all(gy[:2] == 0)
    h = formulas.hessian_product(frontend.ops, x, y, x * 0 + 1, y * 0 + 1, one, 1, eps)
    assert np.all(np.isfinite(frontend.numbers(h[0])[:2]))
    n = frontend.numbers(formulas.normalize(frontend.ops, x, 1, eps))
    np.testing.assert_array_equal(n[:2], 0)
    assert np.all(np.isnan(n[2:4]))


@pytest.mark.parametrize("scale", ["least", "largest"])
def test_extreme_scales(frontend, dtype, dtype_name, scale):
    f = FORMATS[dtype_name]
    size = f.least if scale == "least" else math.ldexp(1.0, f.emax)
    x, y = frontend.array([[size, size]], dtype), frontend.array([[size, 0]], dtype)
    S = frontend.numbers(formulas.similarity(frontend.ops, x, y, 1, 0.0))
    D = frontend.numbers(formulas.distance(frontend.ops, x, y, 1, 0.0))
    np.testing.assert_allclose(S, math.sqrt(0.5), rtol=2.0**-8)
    np.testing.assert_allclose(D, 1 - math.sqrt(0.5), rtol=2.0**-7)


@pytest.mark.parametrize("n", ranges.LENGTHS)
def test_both_ends_of_the_range(frontend, dtype, dtype_name, n):
    """Check every closed form with components from the least to the largest number, and with larger norms."""
    check_range(frontend.ops, frontend, dtype, dtype_name, n)


# The gradient of y may leave the range.
@np.errstate(over="ignore", invalid="ignore")
def check_range(ops, frontend, dtype, dtype_name, n):
    rows = ranges.rows(dtype_name, n)
    x, y, g, u, v = (frontend.array(t, dtype) for t in (rows.x, rows.y, rows.g, rows.u, rows.v))
    got = {
        "S": formulas.similarity(ops, x, y, 1, 0.0),
        "D": formulas.distance(ops, x, y, 1, 0.0),
        "unit": formulas.normalize(ops, x, 1, 0.0),
        "gx": formulas.gradient(ops, x, y, g, 1, 0.0)[0],
        "J": formulas.total_derivative(ops, x, y, u, v, 1, 0.0),
        "hx": formulas.hessian_product(ops, x, y, u, v, g, 1, 0.0)[0],
    }
    rows.check(dtype_name, isinstance(frontend, Narrow), **{k: frontend.numbers(t) for k, t in got.items()})


@pytest.mark.parametrize("n", ranges.LENGTHS)
def test_both_ends_of_the_range_in_onnx(dtype, dtype_name, n, monkeypatch):
    """Check the range with the power of two that ONNX computes, which comes from a logarithm."""
    monkeypatch.setattr("cosgrad.torch._ops.bound_for_onnx", lambda: True)
    frontend = FRAMEWORKS["torch"]
    check_range(frontend.ops, frontend, dtype, dtype_name, n)


def test_powers_of_two(frontend, dtype_name):
    """Check the two powers of two near the inverse root of m.

    Their product is a normal number that scales a normal m into the interval from 2 to 4.
    """
    ops, f = frontend.ops, FORMATS[dtype_name]
    rng = np.random.default_rng(20261121)
    m = 2.0 ** rng.integers(1 - f.emax, f.emax + 1, 200) * (1 + rng.integers(0, 4, 200) / 4)
    m_wide = ops.widen(frontend.array([*m, f.least, f.largest, 0, math.inf, math.nan], DTYPES[dtype_name]))
    first, last = (frontend.numbers(t) for t in ops.inverse_powers(m_wide))
    assert np.isnan(first[-2:]).all()
    assert np.isnan(last[-2:]).all()
    first, last, m = first[:-2], last[:-2], frontend.numbers(m_wide)[:-2]
    exponents = [np.frexp(t)[1] for t in (first, last)]
    assert np.all(np.frexp(first)[0] == 0.5)
    assert np.all(np.frexp(last)[0] == 0.5)
    assert set(exponents[0] - exponents[1]) <= {0, 1}
    g = FORMATS["float64" if isinstance(frontend, Numpy) else str(m_wide.dtype).removeprefix("torch.")]
    product = exponents[0] + exponents[1] - 2
    assert np.all((product >= 1 - g.emax) & (product <= g.emax))
    normal = m >= 2.0 ** (1 - g.emax)
    brought = np.ldexp(m, product)
    assert np.all((brought >= 2)[normal] & (brought < 4)[normal])
    assert np.all(brought < 4)


def test_empty(frontend, dtype):
    x = frontend.array(np.ones((3, 0)), dtype)
    assert np.all(frontend.numbers(formulas.similarity(frontend.ops, x, x, 1, 0.0)) == 0)
    assert np.all(frontend.numbers(formulas.distance(frontend.ops, x, x, 1, 0.0)) == 1)


def test_shared_rows_are_summed(frontend, dtype, seed):
    rng = np.random.default_rng(seed)
    a, b, w = rng.standard_normal((1, 5)), rng.standard_normal((4, 5)), rng.standard_normal((4, 1))
    x, y, g = (frontend.array(t, "float64") for t in (a, b, w))
    full = frontend.array(np.repeat(a, 4, 0), "float64")
    gx, gy = (frontend.numbers(t) for t in formulas.gradient(frontend.ops, x, y, g, 1, 0.0))
    hx, hy = (frontend.numbers(t) for t in formulas.gradient(frontend.ops, full, y, g, 1, 0.0))
    np.testing.assert_allclose(gx, hx.sum(0, keepdims=True), rtol=1e-13)
    np.testing.assert_array_equal(gy, hy)


@np.errstate(invalid="ignore")
def test_excluded_rows(frontend, dtype):
    x = frontend.array([[1, 2], [np.nan, 1], [np.nan, 1]], dtype)
    y = frontend.array([[1, 3], [1, 1], [1, 1]], dtype)
    g = frontend.array([[1], [0], [1]], dtype)
    a, b, nan = formulas.exclude(frontend.ops, x, y, g, 1)
    np.testing.assert_array_equal(frontend.numbers(a), [[1, 2], [0, 0], [0, 0]])
    np.testing.assert_array_equal(frontend.numbers(b), frontend.numbers(y))
    np.testing.assert_array_equal(frontend.numbers(nan)[:, 0], [0, 0, math.nan])

"""Tests of the closed forms of the primitives, which other platforms use, against their published bounds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import ranges
from jax_cases import close, matrices

import cosgrad.numpy as N
from cosgrad import closed as closed_forms
from cosgrad.closed import BOTH, DISTANCE, SIMILARITY, Rule
from cosgrad.jax import _normalize, _rules
from cosgrad.jax._ops import OPS
from cosgrad.verify import bounds, inputs, oracle
from cosgrad.verify.ulp import FORMATS, errors


@pytest.fixture(params=[2, 17, 4096])
def batch(request, dtype_name, seed):
    return inputs.ordinary(seed, request.param, dtype_name, 27)


@pytest.fixture
def arrays(batch, dtype):
    return [jnp.asarray(getattr(batch, k), dtype) for k in "xyuvg"]


@pytest.fixture(params=[1, 2], ids=["x64", "narrow"])
def slack(request, batch):
    """Yield the factor of the tolerance: without float64 the rounding of float32 doubles the error."""
    if request.param == 2 and batch.dtype == "float64":
        pytest.skip("there is no float64")
    with jax.enable_x64(request.param == 1):
        yield request.param


def closed(form, *arrays, **params):
    """Run the closed form of a primitive, compiled as on other platforms."""
    return jax.jit(partial(form, **params))(*arrays)


def test_values(batch, arrays, slack):
    """Check the error bounds of S and D.

    S is within 8 ulp and 2^-20. The relative error of D is at most 2^-22 over the angle, plus the rounding to
    the dtype.
    """
    x, y, *_ = arrays
    S, D = (np.asarray(t, np.float64) for t in closed(_rules._cosine_closed, x, y, rule=Rule(1, 0.0, BOTH)))
    true = np.array([float(t) for t in batch.similarities])
    f = FORMATS[batch.dtype]
    assert np.all(np.abs(S - true) <= 16 * f.unit * np.abs(true) + 2.0**-20)
    true = np.array([float(t) for t in batch.distances])
    angle = np.array([float(p.angle) for p in batch.pairs])
    rounding = f.unit if f.digits < 24 else 0.0
    excess = np.abs(D - true) - true * (slack * 2.0**-22 / angle + rounding) - f.least / 2
    assert np.all(excess[angle > 1e-2] <= 0)


@pytest.mark.parametrize(
    ("batch", "dtype_name", "what"),
    # XLA compiles each of these cases, so there are few. The sign of a distance is the same code in every
    # dtype and length.
    [(17, name, SIMILARITY) for name in ("float16", "bfloat16", "float32", "float64")]
    + [(2, "float32", SIMILARITY), (17, "float32", DISTANCE)],
    indirect=["batch", "dtype_name"],
)
def test_derivatives(batch, arrays, slack, what):
    """Check that no derivative is less accurate than the plain formula in the dtype itself."""
    x, y, u, v, g = arrays
    rule, bound, sign = (
        Rule(1, 0.0, what),
        bounds.textbook(batch.dtype, batch.n),
        1 if what == SIMILARITY else -1,
    )
    gx, gy = closed(_rules._gradient_closed, x, y, sign * g, rule=rule, x_shape=x.shape, y_shape=y.shape)
    (only,) = closed(_rules._gradient_closed, x, y, sign * g, rule=rule, x_shape=None, y_shape=y.shape)
    (J,) = closed(_rules._tangent_closed, x, y, u, v, rule=rule, has_u=True, has_v=True)
    truth = batch.gradients
    rows = [
        (gx, truth.true[0], truth.scale[0]),
        (gy, truth.true[1], truth.scale[1]),
        (sign * J, *batch.totals),
    ]
    ratios = [excess(batch, *row, bound) for row in rows]
    assert max(ratios) <= 1
    np.testing.assert_array_equal(only, gy)
    assert [t.dtype for t in (gx, gy, J)] == [x.dtype] * 3


def excess(batch, got, true, scale, bound):
    measured = errors(np.asarray(got, np.float64).ravel(), true, batch.dtype)
    return float(np.max(measured.ulp / bound.allowed(measured.in_ulp(scale))))


SHAPES = [
    ((4, 5), (4, 5), 1),
    ((1, 5), (4, 5), 1),
    ((4, 1), (4, 5), 1),
    ((5, 4), (5, 1), 0),
    ((2, 1, 3), (1, 4, 3), 2),
]
SHAPES += [((0, 3), (1, 3), 1), ((4, 0), (4, 0), 1), ((4, 1), (4, 0), 1)]


@pytest.mark.parametrize(("x", "y", "axis"), SHAPES, ids=str)
def test_the_kernel_and_the_closed_form_are_one_function(x, y, axis, rng):
    """Check that both agree in every shape, up to the rounding of float64."""
    x, y, u, v = (jnp.asarray(rng.standard_normal(s)) for s in (x, y, x, y))
    rule = Rule(axis, 0.0, DISTANCE)
    g = jnp.asarray(rng.standard_normal(_rules._cosine_shapes(x, y, rule=rule)[0]))
    for name, args, options in [
        ("cosine", (x, y), {}),
        ("tangent", (x, y, u, v), {"has_u": True, "has_v": True}),
        ("tangent", (x, y, v), {"has_u": False, "has_v": True}),
        ("gradient", (x, y, g), {"x_shape": x.shape, "y_shape": y.shape}),
    ]:
        forms = (getattr(_rules, f"_{name}_{by}") for by in ("closed", "native"))
        got, expected = (closed(form, *args, rule=rule, **options) for form in forms)
        close(got, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("skip_zero", [False, True])
def test_rows_that_are_not_finite(skip_zero, rng):
    x, y = matrices(rng)
    x = x.at[0, 0].set(jnp.nan).at[1, 1].set(jnp.inf).at[2].set(0)
    g = jnp.array([0.0, 1.0, 1.0, 1.0])
    rule = Rule(1, 0.0, SIMILARITY, skip_zero)
    S = closed(_rules._cosine_closed, x, y, rule=rule)[0]
    np.testing.assert_array_equal(np.isnan(S), [True, True, False, False])
    gx, gy = closed(_rules._gradient_closed, x, y, g, rule=rule, x_shape=x.shape, y_shape=y.shape)
    spoilt = [not skip_zero, True, False, False]
    np.testing.assert_array_equal(np.isnan(gx).all(1), spoilt)
    np.testing.assert_array_equal(np.isnan(gy).any(1), spoilt)
    assert (gx[2] == 0).all()


@pytest.mark.parametrize("batch", [17], indirect=True)
def test_unit_vectors(batch, arrays, slack):
    x, _, u, *_ = arrays
    eps = float(jnp.finfo(x.dtype).eps)
    (a,) = closed(_normalize._closed, x, axis=1, eps=0.0)
    (h,) = closed(_normalize._gradient_closed, x, u, axis=1, eps=0.0)
    exact = N.normalize(np.asarray(batch.x))
    np.testing.assert_allclose(np.asarray(a, np.float64), exact, rtol=4 * eps, atol=eps * 1e-2)
    v, w = np.asarray(batch.x), np.asarray(batch.u)
    norm = np.sqrt((v * v).sum(1, keepdims=True))
    true = (w - (w * exact).sum(1, keepdims=True) * exact) / norm
    scale = np.sqrt((w * w).sum(1, keepdims=True)) / norm
    assert np.all(np.abs(np.asarray(h, np.float64) - true) <= 4 * eps * scale)


def test_derivatives_of_the_closed_forms_themselves(rng):
    """Check reverse mode through the closed forms, which is possible on a platform without the kernel."""
    x, y = matrices(rng)
    rule = Rule(1, 0.0, DISTANCE, skip_zero=True)
    g = jax.jit(jax.grad(lambda x: _rules._cosine_closed(x, y, rule=rule)[0].sum()))(x)
    close(g, N.cosine_similarity_grad(np.asarray(x), np.asarray(y), -np.ones(4))[0], rtol=1e-9, atol=1e-12)


@pytest.fixture
def optimized():
    """Enable the optimizations that other tests disable: they rearrange the computation."""
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, False)
    yield
    jax.config.update(name, before)


def every_form(x, y, g, u, v):
    """Return the closed forms of every quantity, under the names of `ranges.Rows`."""
    rule, n = Rule(1, 0.0, BOTH), x.shape
    S, D = _rules._cosine_closed(x, y, rule=rule)
    similarity = Rule(1, 0.0, SIMILARITY)
    (gx, _) = _rules._gradient_closed(x, y, g[:, 0], rule=similarity, x_shape=n, y_shape=n)
    (J,) = _rules._tangent_closed(x, y, u, v, rule=similarity, has_u=True, has_v=True)
    hx = closed_forms.curvature(OPS, x, y, u, v, g, similarity)[0]
    (unit,) = _normalize._closed(x, axis=1, eps=0.0)
    return {"S": S, "D": D, "unit": unit, "gx": gx, "J": J, "hx": hx}


@pytest.mark.parametrize("n", ranges.LENGTHS)
@pytest.mark.parametrize(
    ("dtype_name", "x64"),
    [("float16", True), ("bfloat16", True), ("float32", True), ("float32", False), ("float64", True)],
)
def test_both_ends_of_the_range(dtype, dtype_name, n, x64, optimized):
    """Check components from the smallest normal to the largest number. XLA may rearrange the formulas."""
    rows = ranges.rows(dtype_name, n, subnormal=False)
    with jax.enable_x64(x64):
        arrays = [np.asarray(t).astype(dtype) for t in (rows.x, rows.y, rows.g, rows.u, rows.v)]
        got = {k: np.asarray(t, np.float64) for k, t in jax.jit(every_form)(*arrays).items()}
    rows.check(dtype_name, not x64, **got)


@pytest.mark.parametrize("eps", [0.0, "subnormal"])
def test_subnormal_components_count_as_zeros(dtype, dtype_name, eps):
    """Check that subnormal components count as zeros, because XLA flushes them on the CPU.

    Those of float16 do not: they are normal numbers of float32.
    """
    f = FORMATS[dtype_name]
    tiny, least = 2.0 ** (1 - f.emax), 3 * f.least
    x = np.array([[least, 0], [tiny, least], [0, 0]]).astype(dtype)
    y = np.array([[1, 2], [1, 2], [0, 1]]).astype(dtype)
    zeros = np.array([[0, 0], [tiny, 0], [0, 0]])
    eps = eps and f.least
    expected = [oracle.similarity(a, b, eps) for a, b in zip(x if f.emax < 16 else zeros, y, strict=True)]
    rule = Rule(1, eps, BOTH)
    S, D = closed(_rules._cosine_closed, x, y, rule=rule)
    (unit,) = closed(_normalize._closed, x, axis=1, eps=eps)
    np.testing.assert_allclose(np.asarray(S, np.float64), np.array(expected, np.float64), rtol=8 * f.unit)
    np.testing.assert_allclose(np.asarray(D, np.float64), 1 - np.asarray(S, np.float64), rtol=8 * f.unit)
    assert np.isfinite(np.asarray(unit, np.float64)).all()
    if f.emax > 16:
        np.testing.assert_array_equal(np.asarray(unit[:2], np.float64), [[0, 0], [1, 0]])
